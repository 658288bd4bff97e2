// What those who run the service look at: its health, rates, the index, the indexer's jobs, parameters.

import { call, Problem, request } from "./api.js";
import { lineChart } from "./chart.js";
import {
  badge, button, confirmed, fill, h, number, problemBox, showRows, table, time, update,
} from "./dom.js";
import { buckets, fell, parseMetrics, quantile, total } from "./metrics.js";
import { can, session, who } from "./session.js";

const INDEX = "/v1/admin/index";
const HTTP = "registry_http_request_seconds";
const CACHE = "registry_cache_requests_total";
const SEARCH_ROUTE = "/v1/instruments/search";
const READ_METRICS_MS = 2000;
const READ_INDEX_MS = 3000;
const READ_JOBS_MS = 5000;
const READ_CONFIG_MS = 30_000;
const READ_JOB_MS = 400;
const READ_JOB_AGAIN_MS = 2000;
const GOOD = new Set(["ready", "up", "fresh", "readable", "live", "done"]);
const GENERATION_HEADS = ["Generation", "State", "Documents", "Created", "Live since"];
const REFRESH_HEADS = ["Ended", "Seconds", "Read", "Written", "Removed"];
const JOB_HEADS = ["Job", "Kind", "State", "Asked by", "Asked", "Took", "Generation", "Verified", "Error"];
const PARAMETER_HEADS = ["Parameter", "Value", "Source", "Default", "Bounds", "Since", "Problem"];
const REBUILDING =
  "The next generation is built beside the live one and verified before it takes over. Searches go on.";

export function mount(root) {
  const leaving = new AbortController();
  const { signal } = leaving;
  const caller = who();
  const readings = [];

  const section = (title, failure, ...content) =>
    h("section", { class: "panel" }, h("header", {}, h("h2", {}, title), failure), content);
  const needs = (title, scope) =>
    section(title, null, h("p", { class: "muted" }, `A key with the scope ${scope} sees this.`));
  fill(
    root,
    h("section", { class: "page wide" },
      h("h1", {}, "Operations"),
      healthSection(),
      ratesSection(),
      can("index:admin") ? indexSections() : needs("Index", "index:admin"),
      can("config:admin") ? parametersSection() : needs("Parameters", "config:admin")),
  );
  return { leave: () => leaving.abort(), again };

  function again() {
    if (who() !== caller) session.dispatchEvent(new Event("change")); // it could not be told before
    else readAll();
  }

  function readAll() {
    for (const reading of readings) reading();
  }

  /** Reads something now, again and again, and with everything else. */
  function keepReading(wait, read, box) {
    const reading = () => attempt(read, box);
    readings.push(reading);
    every(wait, reading);
  }

  /** Does it again and again while somebody looks. */
  async function every(wait, work) {
    while (!signal.aborted) {
      if (!document.hidden) await work();
      await pause(wait);
    }
  }

  /** Why it failed, which is told in `box`; null: it did not. */
  async function attempt(work, box) {
    try {
      await work();
      return null;
    } catch (error) {
      if (!signal.aborted) update(box, problemBox(error));
      return error;
    }
  }

  /** The service's own answer at a path that a proxy may keep to itself. */
  async function answer(path, type, statuses) {
    const response = await request(path, { signal });
    const given = response.headers.get("Content-Type") ?? "";
    if (given.startsWith("application/problem+json")) {
      throw new Problem(response.status, await response.json(), response.headers);
    }
    if (!given.startsWith(type) || !statuses.includes(response.status)) {
      throw new Error(`Not to be had here: a proxy answers ${path} itself (${response.status}).`);
    }
    return response;
  }

  function healthSection() {
    const health = h("div", {});
    async function read() {
      const response = await answer("/health/ready", "application/json", [200, 503]);
      update(health, healthTiles(await response.json()));
    }
    keepReading(READ_INDEX_MS, read, health);
    return section("Health", null, health);
  }

  function ratesSection() {
    const latency = lineChart("Latency", " ms", ["p50", "p95", "p99"]);
    const rate = lineChart("Requests a second", "", ["requests"]);
    const errors = lineChart("Errors a second", "", ["5xx", "4xx"]);
    const cache = lineChart("Searches from the cache", " %", ["hits"]);
    const charts = [latency, rate, errors, cache];
    const route = h("select", { "aria-label": "Requests to show", onchange: beginAnew },
      h("option", { value: "" }, "All requests"),
      h("option", { value: SEARCH_ROUTE }, "Searches alone"));
    const failure = h("div", {});
    let last = null;

    function beginAnew() {
      for (const chart of [latency, rate, errors]) chart.clear();
    }

    async function read() {
      const response = await answer("/metrics", "text/plain", [200]);
      const now = { at: performance.now(), samples: parseMetrics(await response.text()) };
      fill(failure);
      if (last && fell(now.samples, last.samples, `${HTTP}_count`)) charts.forEach((chart) => chart.push([]));
      else if (last) draw(now, last);
      last = now;
    }

    function draw(now, before) {
      const seconds = (now.at - before.at) / 1000;
      const isChosen = (labels) => !route.value || labels.route === route.value;
      const hasStatus = (digit) => (labels) => isChosen(labels) && labels.status.startsWith(digit);
      const since = (name, fits) => total(now.samples, name, fits) - total(before.samples, name, fits);
      const perSecond = (fits) => since(`${HTTP}_count`, fits) / seconds;
      const observed = [now, before].map(({ samples }) => buckets(samples, HTTP, isChosen));
      const asked = since(CACHE);
      const missed = since(CACHE, ({ result }) => result === "miss");
      latency.push([0.5, 0.95, 0.99].map((q) => milliseconds(quantile(q, ...observed))));
      rate.push([perSecond(isChosen)]);
      errors.push([perSecond(hasStatus("5")), perSecond(hasStatus("4"))]);
      cache.push([asked ? (100 * (asked - missed)) / asked : null]);
    }

    every(READ_METRICS_MS, () => attempt(read, failure));
    const drawn = h("div", { class: "charts" }, charts.map(({ node }) => node));
    return section("Requests", failure, h("div", {}, route, drawn));
  }

  function indexSections() {
    const [failure, job, facts, jobsFailure] = Array.from({ length: 4 }, () => h("div", {}));
    const generations = table("Generations", GENERATION_HEADS);
    const refreshes = table("Refreshes", REFRESH_HEADS);
    const rollBack = button("Roll back", askRollBack);
    const rebuild = button("Rebuild", askRebuild, { class: "primary" });
    const index = h("div", { hidden: true },
      generations,
      h("p", { class: "actions" }, rollBack, rebuild),
      h("details", {}, h("summary", {}, "Last refreshes that found changes"), refreshes));
    const list = table("Jobs", JOB_HEADS);
    const older = button("Older", () => attempt(() => readJobs(next), jobsFailure));
    const jobs = h("div", { hidden: true }, list, older);
    const known = new Map();
    let next = null; // where older jobs than the known ones begin
    let kept = null;
    let following = null;
    let ended = null; // the job that was followed last: a list read before may have it as running

    async function readIndex() {
      const { data } = await call(INDEX, { signal });
      kept = data.generations.find((one) => one.state === "kept");
      fill(failure);
      update(facts, indexFacts(data));
      showRows(generations, data.generations.map(generationCells));
      showRows(refreshes, data.last_refreshes.map(refreshCells));
      rollBack.disabled = !kept || following !== null;
      rebuild.disabled = following !== null;
      index.hidden = false;
    }

    /** The newest jobs, or those before one; one that runs is followed, whoever asked for it. */
    async function readJobs(before = null) {
      const { data } = await call(`${INDEX}/jobs`, { query: { before }, signal });
      fill(jobsFailure);
      if (before === null && !data.jobs.some((one) => known.has(one.id))) known.clear();
      if (before !== null || !known.size) next = data.next_before;
      for (const one of data.jobs) known.set(one.id, one);
      showRows(list, [...known.values()].sort((one, other) => other.id - one.id).map(jobCells));
      older.hidden = next === null;
      jobs.hidden = false;
      const running = data.jobs.find((one) => !one.finished_at);
      if (running && running.id !== ended) follow(running.id);
    }

    function askRollBack() {
      const which = `generation ${kept.number} again, which is level with Postgres`;
      ask("rollback", "Roll back?", `Searches are answered from ${which}.`, "Roll back");
    }

    function askRebuild() {
      ask("rebuild", "Rebuild the index?", REBUILDING, "Rebuild");
    }

    async function ask(what, title, text, yes) {
      if (!(await confirmed(title, text, yes))) return;
      try {
        const { data } = await call(`${INDEX}/${what}`, { method: "POST" });
        follow(data.id);
      } catch (error) {
        const place = error.headers?.get("Location");
        if (error.status === 409 && place) follow(Number(place.split("/").pop()));
        else fill(job, problemBox(error));
      }
    }

    /** Shows how far a job is until it has ended, also when it cannot be read for a while. */
    async function follow(id) {
      if (following !== null) return;
      following = id;
      const path = `${INDEX}/jobs/${id}`;
      const bar = h("progress", { max: 1, "aria-label": "Progress of the job" });
      const told = h("p", { role: "status" });
      const [problem, refusal] = [h("div", {}), h("div", {})];
      const cancel = button("Cancel it", async () => {
        cancel.disabled = true;
        if (await attempt(() => call(path, { method: "DELETE" }), refusal)) cancel.disabled = false;
      }, { class: "small" });
      let hasEnded = false;
      fill(job, h("div", { class: "job" }, h("h3", {}, `Job ${id}`), bar, told, problem, refusal, cancel));

      async function read() {
        const { data } = await call(path, { signal });
        fill(problem);
        hasEnded = data.finished_at !== null;
        if (hasEnded) bar.value = data.state === "done" ? 1 : 0;
        else if (data.total) bar.value = data.done / data.total;
        else bar.removeAttribute("value");
        told.textContent = progress(data);
      }

      while (!hasEnded) {
        const error = await attempt(read, problem);
        if (signal.aborted) return;
        if (error?.status === 404) break;
        if (!hasEnded) await pause(error ? READ_JOB_AGAIN_MS : READ_JOB_MS);
      }
      cancel.remove();
      [following, ended] = [null, id];
      readAll();
    }

    keepReading(READ_INDEX_MS, readIndex, failure);
    keepReading(READ_JOBS_MS, readJobs, jobsFailure);
    return [section("Index", failure, job, facts, index), section("Jobs", jobsFailure, jobs)];
  }

  function parametersSection() {
    const [failure, service] = [h("div", {}), h("div", {})];
    const parameters = table("Parameters", PARAMETER_HEADS);
    const config = h("div", { hidden: true }, service, parameters);
    async function read() {
      const { data } = await call("/v1/admin/config", { signal });
      fill(failure);
      update(service, serviceFacts(data.service));
      showRows(parameters, data.parameters.map(parameterCells));
      config.hidden = false;
    }
    keepReading(READ_CONFIG_MS, read, failure);
    return section("Parameters", failure, config);
  }
}

function pause(wait) {
  return new Promise((resolve) => setTimeout(resolve, wait));
}

function milliseconds(seconds) {
  return seconds === null ? null : seconds * 1000;
}

function healthTiles(state) {
  const tile = (name, content) => h("div", {}, h("dt", {}, name), h("dd", {}, content));
  const word = (name, text) => tile(name, badge(text, GOOD.has(text) ? "good" : "warn"));
  return h("dl", { class: "tiles" },
    word("Service", state.status),
    word("Postgres", state.postgres),
    word("Redis", state.redis),
    word("Index", state.index),
    word("Profile copies", state.profile_copies),
    tile("Generation", number(state.index_generation)),
    tile("Index age", state.index_age_s === null ? "–" : `${state.index_age_s} s`));
}

function indexFacts(state) {
  const problem = (text) => h("p", { class: "problem" }, text);
  const waiting = state.oldest_unindexed_s === null
    ? "all of them in the live generation"
    : `a change has waited for ${state.oldest_unindexed_s} s`;
  const memory = state.redis_memory_bytes === null
    ? ""
    : ` Redis uses ${number(Math.round(state.redis_memory_bytes / 1e6))} MB.`;
  const parked = state.parked_rows.map((one) => `${one.instrument}: ${one.reason}`).join("; ");
  return [
    state.redis_error ? problem(state.redis_error) : null,
    h("p", {},
      `Schema ${state.schema}. ${number(state.rows)} rows in Postgres, ${waiting}; `,
      `it last equalled Postgres ${state.age_s ?? "–"} s ago. `,
      `Led by ${state.leader ?? "nobody: no indexer runs"}.${memory}`),
    state.parked ? problem(`${state.parked} rows cannot be indexed: ${parked}`) : null,
  ];
}

function stateBadge(state) {
  return badge(state, GOOD.has(state) ? "good" : state === "failed" ? "warn" : "plain");
}

function generationCells(one) {
  return [one.number, stateBadge(one.state), number(one.documents), time(one.created_at), time(one.live_at)];
}

function refreshCells(one) {
  return [time(one.at), one.seconds.toFixed(3), number(one.read), number(one.written), number(one.removed)];
}

function jobCells(job) {
  const verified = Object.entries(job.checks ?? {}).map(([name, count]) => `${name} ${number(count)}`);
  return [
    job.id,
    job.kind,
    stateBadge(job.state),
    job.requested_by,
    time(job.requested_at),
    took(job),
    number(job.generation),
    verified.join(", ") || "–",
    job.error ?? "",
  ];
}

function took(job) {
  if (!job.started_at || !job.finished_at) return "–";
  return `${((new Date(job.finished_at) - new Date(job.started_at)) / 1000).toFixed(1)} s`;
}

function progress(job) {
  if (job.finished_at) {
    const live = job.state === "done" && job.generation ? `: generation ${job.generation} is live` : "";
    return `${job.kind} ${job.state}${live}${job.error ? `: ${job.error}` : ""}`;
  }
  const parts = [`${job.kind}, ${job.phase ?? job.state}`];
  if (job.total) parts.push(`${number(job.done)} of ${number(job.total)}`);
  if (job.rate) parts.push(`${number(Math.round(job.rate))}/s`);
  if (job.eta_s !== null) parts.push(`${Math.ceil(job.eta_s)} s left`);
  return parts.join(" · ");
}

function serviceFacts(service) {
  if (!service) return h("p", {}, "No configuration service is set.");
  const { kind, url, up, problem } = service;
  const state = badge(up ? "up" : "down", up ? "good" : "warn");
  return h("p", {}, `Configuration service: ${kind} at ${url}, `, state, problem ? ` ${problem}` : "");
}

function parameterCells(one) {
  return [
    h("code", {}, one.name),
    `${one.value} ${one.unit ?? ""}`,
    badge(one.source, one.problem ? "warn" : "plain"),
    String(one.default),
    one.minimum === null ? "–" : `${number(one.minimum)} to ${number(one.maximum)}`,
    time(one.since),
    one.problem ?? "",
  ];
}
