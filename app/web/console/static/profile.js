// One subscription profile: read, edited, saved over nobody else's work, and followed as it changes.

import { call } from "./api.js";
import { openConflict } from "./conflict.js";
import { badge, button, confirmed, field, fill, h, problemBox, say, settled, time } from "./dom.js";
import { changes } from "./detail.js";
import { PROFILES } from "./profiles.js";
import { memberEditor } from "./members.js";
import { queryEditor } from "./query.js";
import { can } from "./session.js";
import { follow } from "./stream.js";

const CHANNELS = ["trades", "quotes", "bars", "book", "reference"];
const MODES = { streaming: "every message as it comes", conflated: "the newest of each interval", snapshot: "all of it once per interval" };
const BARS = ["", "1s", "1m", "5m", "15m", "1h", "1d"];
const EMPTY = { name: "", description: "", channels: ["trades"], delivery: { mode: "streaming" }, status: "active", selection: { instruments: [] } };
const KEPT_EVENTS = 20;
const unsaved = new Map(); // drafts of profiles that somebody left without saving

export function contentOf({ name, description, channels, delivery, status, selection }) {
  return structuredClone({ name, description, channels, delivery, status, selection });
}

export function mount(root, { parameter }) {
  const id = parameter === "new" ? null : parameter;
  const leaving = new AbortController();
  const { signal } = leaving;
  const page = h("section", { class: "page" }, h("p", { role: "status" }, id ? "Loading …" : ""));
  const onceKey = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  let base = null;
  let draft = structuredClone(EMPTY);
  let etag = null;
  let parts = null;
  fill(root, page);

  if (!can(id ? "profiles:read" : "profiles:write")) {
    fill(page, h("h1", {}, "Profile"), h("p", {}, `Sign in with a key that has the scope ${id ? "profiles:read" : "profiles:write"}.`));
  } else if (id) {
    load().then(() => follow(`${PROFILES}/${id}/stream`, signal, told, state));
  } else {
    show({ version: null });
  }

  async function load() {
    try {
      const { data, headers } = await call(`${PROFILES}/${id}`, { signal });
      take(data, headers.get("ETag"));
      if (unsaved.has(id)) restore(data);
    } catch (error) {
      if (error.name !== "AbortError") fill(page, h("h1", {}, "Profile"), problemBox(error));
    }
  }

  function take(profile, tag) {
    [base, draft, etag] = [contentOf(profile), contentOf(profile), tag];
    show(profile);
  }

  /** What was left without being saved, as it was: also what it was made of, so that it is no news to save it. */
  function restore(profile) {
    [base, draft, etag] = unsaved.get(id);
    unsaved.delete(id);
    show(profile);
    fill(parts.message, h("div", { class: "news", role: "status" }, "These are your changes of before, not saved yet."));
  }

  function isChanged() {
    return base === null ? JSON.stringify(draft) !== JSON.stringify(EMPTY) : JSON.stringify(base) !== JSON.stringify(draft);
  }

  function edited() {
    parts.save.disabled = !isChanged();
    parts.undo.hidden = !base || !isChanged();
  }

  function show(profile) {
    const editable = can("profiles:write");
    const kept = parts?.live;
    const live = kept ?? { state: h("span", { class: "badge" }, ""), log: h("ol", { class: "log", "aria-label": "Live events" }) };
    const message = h("div", {});
    const save = h("button", { type: "submit", class: "primary", disabled: true }, id ? "Save" : "Create");
    const undo = button("Undo changes", () => show(Object.assign(profile, { restored: (draft = structuredClone(base)) })), { hidden: true });
    parts = { save, undo, message, live, version: profile.version };
    const set = (name) => (event) => {
      draft[name] = event.target.value;
      edited();
    };
    const selection = h("div", {});
    const showSelection = () =>
      fill(selection, draft.selection.query
        ? queryEditor(draft.selection.query, (query) => {
            draft.selection = { query };
            edited();
          }, signal)
        : memberEditor(draft.selection.instruments, (instruments) => {
            draft.selection = { instruments };
            edited();
          }, signal));
    const kind = (value, label) =>
      h("label", { class: "check" }, h("input", { type: "radio", name: "kind", value, checked: (value === "query") === Boolean(draft.selection.query), onchange: () => {
        draft.selection = value === "query" ? { query: {} } : { instruments: [] };
        if (base && (value === "query") === Boolean(base.selection.query)) draft.selection = structuredClone(base.selection);
        showSelection();
        edited();
      } }), ` ${label}`);
    fill(
      page,
      h("p", {}, h("a", { href: "#/profiles" }, "← Profiles")),
      h("header", { class: "heading" }, h("h1", {}, id ? draft.name : "New profile"), id ? h("p", {}, badge(`version ${profile.version}`, "plain"), live.state, " changed ", time(profile.updated_at)) : null),
      h("form", { onsubmit: submit },
        h("fieldset", { class: "group", disabled: !editable },
          h("legend", {}, "What it is"),
          field("Name", h("input", { name: "name", value: draft.name, required: true, autocomplete: "off", oninput: set("name") })),
          field("Description", h("textarea", { name: "description", rows: "2", value: draft.description, maxlength: "1000", oninput: set("description") })),
          field("Status", h("select", { name: "status", onchange: set("status") }, ["active", "paused"].map((one) => h("option", { value: one, selected: draft.status === one }, one)))),
          h("div", { class: "checks", role: "group", "aria-label": "Channels" }, h("span", {}, "Channels"), CHANNELS.map((one) => h("label", { class: "check" }, h("input", { type: "checkbox", checked: draft.channels.includes(one), onchange: (event) => {
            draft.channels = CHANNELS.filter((channel) => (channel === one ? event.target.checked : draft.channels.includes(channel)));
            edited();
          } }), ` ${one}`))),
          deliveryFields()),
        h("fieldset", { class: "group", disabled: !editable }, h("legend", {}, "What it selects"), h("div", { class: "checks" }, kind("instruments", "Instruments, one by one"), kind("query", "A search, whatever it finds")), selection),
        message,
        editable ? h("p", { class: "actions" }, id ? button("Delete", remove, { class: "danger" }) : null, undo, save) : null),
      id ? h("section", {}, h("h2", {}, "Live"), live.log) : null,
      id ? h("details", { ontoggle: (event) => event.target.open && showTrail(event.target) }, h("summary", {}, "Audit trail")) : null,
    );
    showSelection();
    edited();
  }

  function deliveryFields() {
    const box = h("div", { class: "row" });
    const put = (name, value) => {
      const { [name]: _, ...others } = draft.delivery;
      draft.delivery = value === "" || value === null ? others : { ...others, [name]: value };
      edited();
    };
    const whole = (event, name) => put(name, event.target.value === "" ? "" : Number(event.target.value));
    const showFields = () => fill(
      box,
      field("Delivery", h("select", { name: "mode", onchange: (event) => {
        put("mode", event.target.value);
        if (event.target.value === "streaming") put("interval_ms", "");
        showFields();
      } }, Object.entries(MODES).map(([mode, text]) => h("option", { value: mode, selected: draft.delivery.mode === mode }, `${mode}: ${text}`)))),
      draft.delivery.mode === "streaming" ? null : field("Interval (ms)", h("input", { type: "number", min: "10", max: "86400000", required: true, value: draft.delivery.interval_ms ?? "", oninput: (event) => whole(event, "interval_ms") })),
      field("Bars", h("select", { onchange: (event) => put("bar_interval", event.target.value) }, BARS.map((one) => h("option", { value: one, selected: (draft.delivery.bar_interval ?? "") === one }, one || "not chosen"))), "needs the channel bars"),
      field("Book depth", h("input", { type: "number", min: "1", max: "1000", value: draft.delivery.book_depth ?? "", oninput: (event) => whole(event, "book_depth") }), "needs the channel book"),
    );
    showFields();
    return box;
  }

  async function submit(event) {
    event.preventDefault();
    await save(draft, etag);
  }

  async function save(content, tag) {
    parts.save.disabled = true;
    fill(parts.message);
    try {
      if (!id) {
        const { data } = await call(PROFILES, { method: "POST", body: content, headers: { "Idempotency-Key": onceKey } });
        say("Created");
        draft = structuredClone(EMPTY);
        location.hash = `#/profiles/${data.id}`;
        return;
      }
      const { data, headers } = await call(`${PROFILES}/${id}`, { method: "PUT", body: content, headers: { "If-Match": tag } });
      say(`Saved as version ${data.version}`);
      take(data, headers.get("ETag"));
    } catch (error) {
      parts.save.disabled = false;
      if (error.status === 412) await conflict(content);
      else fill(parts.message, problemBox(error));
    }
  }

  /** Somebody saved first: both versions are shown, and one of them or both together is kept. */
  async function conflict(mine = draft) {
    try {
      const { data, headers } = await call(`${PROFILES}/${id}`, { signal });
      const theirs = contentOf(data);
      openConflict({ base, mine, theirs, version: data.version }, (content) => {
        if (content === null) take(data, headers.get("ETag"));
        else save(content, headers.get("ETag"));
      });
    } catch (error) {
      if (error.name !== "AbortError") fill(parts.message, problemBox(error));
    }
  }

  async function remove() {
    if (!(await confirmed("Delete this profile?", `“${base.name}” stops at once for whoever listens to it. Its audit trail stays.`, "Delete"))) return;
    try {
      await call(`${PROFILES}/${id}`, { method: "DELETE", headers: { "If-Match": etag } });
      draft = structuredClone(base);
      location.hash = "#/profiles";
    } catch (error) {
      if (error.status === 412) await conflict();
      else fill(parts.message, problemBox(error));
    }
  }

  const refresh = settled(() => load(), 50);

  function told(kind, data) {
    if (signal.aborted || !parts) return;
    if (kind !== "ready") parts.live.log.prepend(h("li", {}, time(data.at), ` ${kind}: ${summary(kind, data)}`));
    while (parts.live.log.children.length > KEPT_EVENTS) parts.live.log.lastChild.remove();
    const isNews = (data.version ?? 0) > (parts.version ?? 0) || kind === "reset";
    if (kind === "deleted") fill(parts.message, h("div", { class: "problem", role: "alert" }, "This profile was deleted."));
    else if (isNews && !isChanged()) refresh();
    else if (isNews) fill(parts.message, h("div", { class: "news", role: "alert" }, h("p", {}, `Somebody saved version ${data.version} while you are editing.`), button("Compare", () => conflict())));
  }

  function state(now) {
    if (!parts) return;
    parts.live.state.className = `badge ${now === "live" ? "good" : "warn"}`;
    parts.live.state.textContent = { live: "live", lost: "reconnecting", ended: "ended", refused: "not live" }[now];
  }

  async function showTrail(box, before = null) {
    if (before === null && box.querySelector("ol")) return;
    try {
      const { data } = await call(`${PROFILES}/${id}/events`, { query: { before }, signal });
      const list = box.querySelector("ol") ?? box.appendChild(h("ol", { class: "history" }));
      list.append(...data.events.map((event) => h("li", {}, h("p", {}, h("b", {}, `${event.number}. ${event.kind}`), ` version ${event.version} `, time(event.at), event.actor ? ` by ${event.actor}` : ""), event.detail.changes ? changes(event.detail.changes) : null)));
      if (data.next_before) {
        const older = button("Older", () => {
          older.remove();
          showTrail(box, data.next_before);
        }, { class: "small" });
        box.append(older);
      }
    } catch (error) {
      if (error.name !== "AbortError") box.append(problemBox(error));
    }
  }

  return {
    isEdited: () => parts !== null && isChanged(),
    again() {},
    leave() {
      leaving.abort();
      if (id && base && isChanged()) unsaved.set(id, [base, draft, etag]);
    },
  };
}

function summary(kind, data) {
  if (kind === "updated") return [...Object.keys(data.changes ?? {}), data.added?.length ? `${data.added.length} added` : "", data.removed?.length ? `${data.removed.length} removed` : ""].filter(Boolean).join(", ");
  if (kind === "instruments") return data.instruments.map((one) => `${one.id} ${Object.keys(one.changes).join(", ")}`).join("; ");
  if (kind === "membership") return `${data.added_count} came, ${data.removed_count} went`;
  return data.reason ?? `version ${data.version ?? ""}`;
}
