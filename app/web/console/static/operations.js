// What those who run the service look at: its health, the index, what was asked of the indexer, parameters, rates.

import { call, request } from "./api.js";
import { lineChart } from "./chart.js";
import { badge, button, confirmed, fill, h, number, problemBox, table, time } from "./dom.js";
import { buckets, parseMetrics, quantile, total } from "./metrics.js";
import { can } from "./session.js";

const INDEX = "/v1/admin/index";
const HTTP = "registry_http_request_seconds";
const SEARCH_ROUTE = "/v1/instruments/search";
const READ_METRICS_MS = 2000;
const READ_INDEX_MS = 3000;
const READ_JOB_MS = 400;
const GOOD = new Set(["ready", "up", "fresh", "readable", "live", "done"]);

export function mount(root) {
  const leaving = new AbortController();
  const { signal } = leaving;
  const [health, index, job, jobs, config, rates] = Array.from({ length: 6 }, () => h("div", {}));
  let following = null;

  const section = (title, ...content) => h("section", { class: "panel" }, h("h2", {}, title), content);
  const needs = (scope) => h("p", { class: "muted" }, `A key with the scope ${scope} sees this.`);
  fill(
    root,
    h("section", { class: "page wide" },
      h("h1", {}, "Operations"),
      section("Health", health),
      section("Requests", rates),
      section("Index", can("index:admin") ? [job, index] : needs("index:admin")),
      can("index:admin") ? section("Jobs", jobs) : null,
      section("Parameters", can("config:admin") ? config : needs("config:admin"))),
  );

  /** Does it again and again while somebody looks. */
  async function every(wait, work, box) {
    while (!signal.aborted) {
      if (!document.hidden) {
        try {
          await work();
        } catch (error) {
          if (signal.aborted) return;
          fill(box, problemBox(error));
        }
      }
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }

  async function showHealth() {
    const response = await request("/health/ready", { signal });
    const state = await response.json();
    const facts = { Service: state.status, Postgres: state.postgres, Redis: state.redis, Index: state.index, "Profile copies": state.profile_copies };
    fill(
      health,
      h("dl", { class: "tiles" },
        Object.entries(facts).map(([name, word]) => h("div", {}, h("dt", {}, name), h("dd", {}, badge(word, GOOD.has(word) ? "good" : "warn")))),
        h("div", {}, h("dt", {}, "Generation"), h("dd", {}, number(state.index_generation))),
        h("div", {}, h("dt", {}, "Index age"), h("dd", {}, state.index_age_s === null ? "–" : `${state.index_age_s} s`))),
    );
  }

  async function showIndex() {
    const { data } = await call(INDEX, { signal });
    const kept = data.generations.filter((one) => one.state === "kept");
    const held = index.contains(document.activeElement) ? document.activeElement.textContent : null;
    fill(
      index,
      data.redis_error ? h("p", { class: "problem" }, data.redis_error) : null,
      h("p", {}, `Schema ${data.schema}. ${number(data.rows)} rows in Postgres, `, data.oldest_unindexed_s === null ? "all of them in the live generation" : `a change has waited for ${data.oldest_unindexed_s} s`, `; it last equalled Postgres ${data.age_s ?? "–"} s ago. Led by ${data.leader ?? "nobody: no indexer runs"}. `, data.redis_memory_bytes === null ? "" : `Redis uses ${number(Math.round(data.redis_memory_bytes / 1e6))} MB.`),
      data.parked ? h("p", { class: "problem" }, `${data.parked} rows cannot be indexed: ${data.parked_rows.map((one) => `${one.instrument}: ${one.reason}`).join("; ")}`) : null,
      table("Generations", ["Generation", "State", "Documents", "Created", "Live since"], data.generations.map((one) => [one.number, badge(one.state, GOOD.has(one.state) ? "good" : "plain"), number(one.documents), time(one.created_at), time(one.live_at)])),
      h("p", { class: "actions" },
        button("Roll back", () => ask("rollback", "Roll back?", `Searches are answered from generation ${kept[0]?.number} again, which is level with Postgres.`, "Roll back"), { disabled: !kept.length || Boolean(following) }),
        button("Rebuild", () => ask("rebuild", "Rebuild the index?", "The next generation is built beside the live one and verified before it takes over; searches go on meanwhile.", "Rebuild"), { class: "primary", disabled: Boolean(following) })),
      h("details", {}, h("summary", {}, "Last refreshes that found changes"), table("Refreshes", ["Ended", "Seconds", "Read", "Written", "Removed"], data.last_refreshes.map((one) => [time(one.at), one.seconds.toFixed(3), number(one.read), number(one.written), number(one.removed)]))),
    );
    if (held) [...index.querySelectorAll("button, summary")].find((one) => one.textContent === held)?.focus();
  }

  async function ask(what, title, text, yes) {
    if (!(await confirmed(title, text, yes))) return;
    try {
      const { data } = await call(`${INDEX}/${what}`, { method: "POST" });
      await track(data.id);
    } catch (error) {
      const place = error.headers?.get("Location");
      if (error.status === 409 && place) await track(place.split("/").pop());
      else fill(job, problemBox(error));
    }
  }

  /** Shows how far a job is, until it has ended. */
  async function track(id) {
    if (following) return;
    following = id;
    const bar = h("progress", { max: 1, "aria-label": "Progress of the job" });
    const told = h("p", { role: "status" });
    const failure = h("div", {});
    const cancel = button("Cancel it", async () => {
      cancel.disabled = true;
      await call(`${INDEX}/jobs/${id}`, { method: "DELETE" }).catch((error) => fill(failure, problemBox(error)));
    }, { class: "small" });
    fill(job, h("div", { class: "job" }, h("h3", {}, `Job ${id}`), bar, told, failure, cancel));
    try {
      for (;;) {
        const { data } = await call(`${INDEX}/jobs/${id}`, { signal });
        if (data.total) bar.value = data.done / data.total;
        else bar.removeAttribute("value");
        told.textContent = progress(data);
        if (data.finished_at) {
          bar.value = data.state === "done" ? 1 : 0;
          cancel.remove();
          break;
        }
        await new Promise((resolve) => setTimeout(resolve, READ_JOB_MS));
      }
      following = null;
      await Promise.all([showIndex(), showJobs(), showHealth()]);
    } catch (error) {
      following = null;
      if (!signal.aborted) fill(failure, problemBox(error));
    }
  }

  async function showJobs(before = null, rows = []) {
    const { data } = await call(`${INDEX}/jobs`, { query: { before }, signal });
    rows.push(...data.jobs);
    const running = rows.find((one) => !one.finished_at);
    if (running && before === null) track(running.id);
    fill(
      jobs,
      table("Jobs", ["Job", "Kind", "State", "Asked by", "Asked", "Took", "Generation", "Verified", "Error"], rows.map((one) => [one.id, one.kind, badge(one.state, GOOD.has(one.state) ? "good" : one.state === "failed" ? "warn" : "plain"), one.requested_by, time(one.requested_at), took(one), number(one.generation), one.checks ? Object.entries(one.checks).map(([name, count]) => `${name} ${number(count)}`).join(", ") : "–", one.error ?? ""])),
      data.next_before ? button("Older", () => showJobs(data.next_before, rows).catch((error) => jobs.append(problemBox(error)))) : null,
    );
  }

  async function showConfig() {
    const { data: description } = await call("/openapi.json", { signal });
    if (!description.paths["/v1/admin/config"]) return fill(config, h("p", { class: "muted" }, "This version does not show its parameters."));
    const { data } = await call("/v1/admin/config", { signal });
    return fill(
      config,
      data.service ? h("p", {}, `Configuration service: ${data.service.kind} at ${data.service.url}, `, badge(data.service.up ? "up" : "down", data.service.up ? "good" : "warn"), data.service.problem ? ` ${data.service.problem}` : "") : h("p", {}, "No configuration service is set."),
      table("Parameters", ["Parameter", "Value", "Source", "Default", "Bounds", "Since", "Problem"], data.parameters.map((one) => [h("code", {}, one.name), `${one.value} ${one.unit ?? ""}`, badge(one.source, one.problem ? "warn" : "plain"), String(one.default), one.minimum === null || one.minimum === undefined ? "–" : `${number(one.minimum)} to ${number(one.maximum)}`, time(one.since), one.problem ?? ""])),
    );
  }

  function showRates() {
    const charts = {
      latency: lineChart("Latency", " ms", ["p50", "p95", "p99"]),
      rate: lineChart("Requests a second", "", ["requests"]),
      errors: lineChart("Errors a second", "", ["5xx", "4xx"]),
      cache: lineChart("Searches from the cache", " %", ["hits"]),
    };
    const route = h("select", { "aria-label": "Requests to show" }, [["", "All requests"], [SEARCH_ROUTE, "Searches alone"]].map(([value, text]) => h("option", { value }, text)));
    const failure = h("div", {});
    fill(rates, route, failure, h("div", { class: "charts" }, Object.values(charts).map((one) => one.node)));
    let last = null;
    return every(READ_METRICS_MS, async () => {
      const response = await request("/metrics", { signal });
      if (!response.ok) return;
      const now = { at: performance.now(), samples: parseMetrics(await response.text()) };
      fill(failure);
      if (last) {
        const seconds = (now.at - last.at) / 1000;
        const fits = (more) => (labels) => (!route.value || labels.route === route.value) && more(labels);
        const since = (name, more = () => true) => total(now.samples, name, more) - total(last.samples, name, more);
        const all = fits(() => true);
        const observed = buckets(now.samples, HTTP, all);
        const before = buckets(last.samples, HTTP, all);
        const percentile = (q) => {
          const found = quantile(q, observed, before);
          return found === null ? null : found * 1000;
        };
        charts.latency.push([percentile(0.5), percentile(0.95), percentile(0.99)]);
        charts.rate.push([since(`${HTTP}_count`, all) / seconds]);
        charts.errors.push(["5", "4"].map((digit) => since(`${HTTP}_count`, fits((labels) => labels.status?.startsWith(digit))) / seconds));
        const asked = since("registry_cache_requests_total");
        charts.cache.push([asked ? (100 * since("registry_cache_requests_total", ({ result }) => result !== "miss")) / asked : null]);
      }
      last = now;
    }, failure);
  }

  every(READ_INDEX_MS, showHealth, health);
  showRates();
  if (can("index:admin")) {
    every(READ_INDEX_MS, showIndex, index);
    showJobs().catch((error) => signal.aborted || fill(jobs, problemBox(error)));
  }
  if (can("config:admin")) showConfig().catch((error) => signal.aborted || fill(config, problemBox(error)));
  return { leave: () => leaving.abort(), again() {} };
}

function progress(job) {
  if (job.finished_at) return `${job.kind} ${job.state}${job.state === "done" && job.generation ? `: generation ${job.generation} is live` : ""}${job.error ? `: ${job.error}` : ""}`;
  const parts = [`${job.kind}, ${job.phase ?? job.state}`];
  if (job.total) parts.push(`${number(job.done)} of ${number(job.total)}`);
  if (job.rate) parts.push(`${number(Math.round(job.rate))}/s`);
  if (job.eta_s !== null && job.eta_s !== undefined) parts.push(`${Math.ceil(job.eta_s)} s left`);
  return parts.join(" · ");
}

function took(job) {
  return job.started_at && job.finished_at ? `${((new Date(job.finished_at) - new Date(job.started_at)) / 1000).toFixed(1)} s` : "–";
}
