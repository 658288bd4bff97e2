// Requests to the service: its problems as errors, and whether it is there at all.

const LOOK_AGAIN_MS = 1500;

/** What the service refused, in its own words. */
export class Problem extends Error {
  constructor(status, body, headers) {
    super(body.detail ?? body.title ?? `the service answered ${status}`);
    this.status = status;
    this.errors = body.errors ?? [];
    this.headers = headers;
  }
}

/** The service did not answer. */
export class Unreachable extends Error {
  constructor() {
    super("The service does not answer.");
    this.errors = [];
  }
}

/** Events: `gone` and `back` of the service, `refused` of the key. */
export const service = new EventTarget();

const credential = { key: null };
let isGone = false;

export function useKey(key) {
  credential.key = key;
}

export function withQuery(path, query = {}) {
  const pairs = Object.entries(query).flatMap(([name, value]) => [value].flat().map((one) => [name, one]));
  const text = new URLSearchParams(pairs.filter(([, value]) => value !== null && value !== undefined && value !== "")).toString();
  return text ? `${path}?${text}` : path;
}

/** The response of a request, whatever its status. Raises Unreachable. */
export async function request(path, { method = "GET", query, body, headers = {}, signal, key = credential.key } = {}) {
  const sent = { ...headers };
  if (key) sent.Authorization = `Bearer ${key}`;
  if (body !== undefined) sent["Content-Type"] = "application/json";
  try {
    const response = await fetch(withQuery(path, query), { method, headers: sent, signal, body: body === undefined ? undefined : JSON.stringify(body) });
    if (isGone) isBack();
    return response;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    lose();
    throw new Unreachable();
  }
}

/** The JSON of a successful answer, with its headers. Raises Problem or Unreachable. */
export async function call(path, options = {}) {
  const response = await request(path, options);
  const text = await response.text();
  if (!response.ok) {
    const problem = new Problem(response.status, parsed(text) ?? {}, response.headers);
    if (response.status === 401 && options.key === undefined && credential.key) service.dispatchEvent(new CustomEvent("refused", { detail: problem }));
    throw problem;
  }
  return { data: parsed(text), headers: response.headers, status: response.status };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function lose() {
  if (isGone) return;
  isGone = true;
  service.dispatchEvent(new Event("gone"));
  const look = () => {
    if (isGone) fetch("/health/live").then(isBack, () => setTimeout(look, LOOK_AGAIN_MS));
  };
  setTimeout(look, LOOK_AGAIN_MS);
}

function isBack() {
  if (!isGone) return;
  isGone = false;
  service.dispatchEvent(new Event("back"));
}
