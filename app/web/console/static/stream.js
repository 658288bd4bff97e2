// Server-sent events over fetch: EventSource cannot send a key. Comes back with the last number it has.

import { request } from "./api.js";

const SILENT_MS = 60_000;
const LONGEST_WAIT_MS = 15_000;

/** Follows a stream until `signal` aborts or it has ended; `told(kind, data)` for each event, `is(state)` for `live`, `lost`, `ended`, `refused`. */
export async function follow(path, signal, told, is) {
  let last = null;
  let failures = 0;
  while (!signal.aborted) {
    const asking = new AbortController();
    const stop = () => asking.abort();
    signal.addEventListener("abort", stop);
    let silence = setTimeout(stop, SILENT_MS);
    let wait = null;
    try {
      const headers = { Accept: "text/event-stream", ...(last === null ? {} : { "Last-Event-ID": last }) };
      const response = await request(path, { headers, signal: asking.signal });
      if (response.ok) {
        is("live");
        for await (const { id, event, data } of events(response.body)) {
          clearTimeout(silence);
          silence = setTimeout(stop, SILENT_MS);
          failures = 0;
          if (event === null) continue;
          last = id ?? last;
          told(event, JSON.parse(data));
          if (event === "deleted") return is("ended");
        }
      } else if ([401, 403, 404].includes(response.status)) {
        return is(response.status === 404 ? "ended" : "refused");
      } else {
        wait = Number(response.headers.get("Retry-After")) * 1000 || null;
      }
    } catch (error) {
      if (signal.aborted) return undefined;
    } finally {
      clearTimeout(silence);
      signal.removeEventListener("abort", stop);
    }
    is("lost");
    failures += 1;
    await pause(wait ?? Math.random() * Math.min(LONGEST_WAIT_MS, 500 * 2 ** failures), signal);
  }
  return undefined;
}

/** Of a body of server-sent events each, and `event` null for a comment. */
export async function* events(body) {
  let buffer = "";
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    buffer += value.replace(/\r\n?/g, "\n");
    for (let end; (end = buffer.indexOf("\n\n")) >= 0; buffer = buffer.slice(end + 2)) yield parsed(buffer.slice(0, end));
  }
}

function parsed(frame) {
  const found = { id: null, event: null, data: "" };
  for (const line of frame.split("\n")) {
    const [, name, value] = /^(\w+): ?(.*)$/s.exec(line) ?? [];
    if (name === "data") found.data += (found.data ? "\n" : "") + value;
    else if (name in found) found[name] = value;
  }
  return found;
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}
