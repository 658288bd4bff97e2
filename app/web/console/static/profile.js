// One subscription profile: read, edited, saved over nobody else's work, and followed as it changes.

import { call, Unreachable } from "./api.js";
import { openConflict } from "./conflict.js";
import { badge, button, confirmed, fill, h, problemBox, say, settled, time } from "./dom.js";
import { changes } from "./detail.js";
import { contentOf, Draft } from "./draft.js";
import { profileFields } from "./fields.js";
import { PROFILES } from "./profiles.js";
import { can, session } from "./session.js";
import { follow } from "./stream.js";

const KEPT_EVENTS = 20;
const STATES = { live: "live", lost: "reconnecting", ended: "ended", refused: "not live" };
const unsaved = new Map(); // drafts that somebody left without saving them, by the page's parameter

session.addEventListener("left", () => unsaved.clear());

export function mount(root, { parameter }) {
  const id = parameter === "new" ? null : parameter;
  const path = `${PROFILES}/${id}`;
  const leaving = new AbortController();
  const { signal } = leaving;
  const page = h("section", { class: "page" }, h("p", { role: "status" }, id ? "Loading …" : ""));
  const live = {
    state: h("span", { class: "badge" }),
    log: h("ol", { class: "log", "aria-label": "Live events" }),
  };
  const isEditable = can("profiles:write");
  const look = settled(read, 50);
  let draft = null; // until the profile is read
  let parts = null; // of what is shown, as soon as there is a draft
  let isSaving = false;
  fill(root, page);

  const scope = id ? "profiles:read" : "profiles:write";
  if (!can(scope)) {
    fill(page, h("h1", {}, "Profile"), h("p", {}, `Sign in with a key that has the scope ${scope}.`));
    return { leave() {} };
  }
  session.addEventListener("left", () => draft?.undo(), { signal });
  if (id) read().then(() => follow(`${path}/stream`, signal, told, state));
  else begin(new Draft());

  /** Reads the profile, at first and whenever it may have been saved since. */
  async function read() {
    if (isSaving) return look();
    try {
      const headers = draft ? { "If-None-Match": draft.etag } : {};
      const answer = await call(path, { headers, signal });
      return came(answer.data, answer.headers.get("ETag"));
    } catch (error) {
      if (error.name === "AbortError" || error.status === 304) return undefined;
      if (!draft) return fill(page, h("h1", {}, "Profile"), problemBox(error));
      if (error instanceof Unreachable) return undefined; // it is read `again`
      return fill(parts.message, problemBox(error));
    }
  }

  function came(profile, etag) {
    if (!draft) begin(new Draft(profile, etag));
    else if (isSaving) look();
    else if (profile.version <= draft.version) return;
    else if (draft.isChanged || document.querySelector("dialog[open]")) warn(profile.version);
    else take(profile, etag);
  }

  /** With what was left here without being saved, if something was. */
  function begin(fresh) {
    draft = unsaved.get(parameter) ?? fresh;
    show();
    if (unsaved.delete(parameter)) {
      const text = "These are your changes of before, not saved yet.";
      fill(parts.message, h("div", { class: "news", role: "status" }, text));
    }
  }

  function take(profile, etag) {
    draft = new Draft(profile, etag);
    show();
  }

  function warn(version) {
    const text = h("p", {}, `Somebody saved version ${version} while you are editing.`);
    fill(parts.message, h("div", { class: "news", role: "alert" }, text, button("Compare", () => compare())));
  }

  function show() {
    const focused = document.activeElement.name;
    const message = h("div", {});
    const save = h("button", { type: "submit", class: "primary", name: "save" }, id ? "Save" : "Create");
    const undo = button("Undo changes", () => {
      draft.undo();
      show();
    });
    const drop = id ? button("Delete", remove, { class: "danger" }) : null;
    const actions = isEditable ? h("p", { class: "actions" }, drop, undo, save) : null;
    const form = h("form", { onsubmit: submit }, profileFields(draft, edited, signal), message, actions);
    parts = { form, message, save, undo };
    fill(
      page,
      h("p", {}, h("a", { href: "#/profiles" }, "← Profiles")),
      heading(),
      form,
      id ? h("section", {}, h("h2", {}, "Live"), live.log) : null,
      id ? trail() : null,
    );
    hold(isSaving);
    focus(focused);
  }

  function heading() {
    if (!id) return h("header", { class: "heading" }, h("h1", {}, "New profile"));
    const version = badge(`version ${draft.version}`, "plain");
    const standing = h("p", {}, version, live.state, " changed ", time(draft.updatedAt));
    return h("header", { class: "heading" }, h("h1", {}, draft.base.name), standing);
  }

  function trail() {
    const open = (event) => event.target.open && showTrail(event.target);
    return h("details", { ontoggle: open }, h("summary", {}, "Audit trail"));
  }

  function edited() {
    parts.save.disabled = isSaving || !draft.isChanged;
    parts.undo.hidden = !draft.isChanged;
  }

  /** While something is saved nobody can write what its answer would overwrite. */
  function hold(isHeld) {
    isSaving = isHeld;
    parts.form.inert = isHeld;
    for (const fieldset of parts.form.querySelectorAll("fieldset")) fieldset.disabled = isHeld || !isEditable;
    edited();
  }

  /** Back to a field of this name, if the focus was lost with another form. */
  function focus(name) {
    if (document.activeElement === document.body) parts.form.elements[name]?.focus?.();
  }

  async function submit(event) {
    event.preventDefault();
    await save(draft.content, draft.etag);
  }

  async function save(content, etag) {
    const focused = document.activeElement.name;
    hold(true);
    fill(parts.message);
    try {
      const answer = await send(content, etag);
      saved(answer.data, answer.headers.get("ETag"));
    } catch (error) {
      if (signal.aborted) say(`Not saved: ${error.message}`);
      else if (error.status === 412) await compare(content);
      else fill(parts.message, problemBox(error));
    } finally {
      hold(false);
      focus(focused);
    }
  }

  function send(content, etag) {
    if (id) return call(path, { method: "PUT", body: content, headers: { "If-Match": etag } });
    const headers = { "Idempotency-Key": draft.idempotencyKey };
    return call(PROFILES, { method: "POST", body: content, headers });
  }

  function saved(profile, etag) {
    say(id ? `Saved as version ${profile.version}` : "Created");
    if (unsaved.get(parameter) === draft) unsaved.delete(parameter); // who saved has left meanwhile
    if (signal.aborted) return;
    if (id) return take(profile, etag);
    draft.undo();
    location.hash = `#/profiles/${profile.id}`;
  }

  /** Somebody saved first: both versions are shown, and one of them or both together is kept. */
  async function compare(mine = draft.content) {
    try {
      const { data, headers } = await call(path, { signal });
      const theirs = { base: draft.base, mine, theirs: contentOf(data), version: data.version };
      openConflict(theirs, (content) => {
        if (content !== null) return save(content, headers.get("ETag"));
        take(data, headers.get("ETag"));
        look(); // there may have been more while this was decided
      });
    } catch (error) {
      if (error.name !== "AbortError") fill(parts.message, problemBox(error));
    }
  }

  async function remove() {
    const text = `“${draft.base.name}” stops at once for whoever listens to it. Its audit trail stays.`;
    if (!(await confirmed("Delete this profile?", text, "Delete"))) return;
    try {
      await call(path, { method: "DELETE", headers: { "If-Match": draft.etag } });
      draft.undo();
      location.hash = "#/profiles";
    } catch (error) {
      if (error.status === 412) await compare();
      else fill(parts.message, problemBox(error));
    }
  }

  /** After `ready` and `reset` anything may have been saved that no event tells of. */
  function told(kind, data) {
    if (signal.aborted) return;
    if (kind !== "ready") live.log.prepend(h("li", {}, time(data.at), ` ${kind}: ${summary(kind, data)}`));
    while (live.log.children.length > KEPT_EVENTS) live.log.lastChild.remove();
    if (kind === "deleted") ended();
    else if (kind === "ready" || kind === "reset" || !draft || data.version > draft.version) look();
  }

  function ended() {
    look.cancel();
    const problem = h("div", { class: "problem", role: "alert" }, "This profile was deleted.");
    fill(parts?.message ?? page, problem);
  }

  function state(now) {
    live.state.className = `badge ${now === "live" ? "good" : "warn"}`;
    live.state.textContent = STATES[now];
  }

  async function showTrail(box, before = null) {
    if (before === null && box.querySelector("ol")) return;
    try {
      const { data } = await call(`${path}/events`, { query: { before }, signal });
      const list = box.querySelector("ol") ?? box.appendChild(h("ol", { class: "history" }));
      list.append(...data.events.map(entry));
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
    isEdited: () => Boolean(draft?.isChanged),
    again() {
      if (id) look();
    },
    leave() {
      leaving.abort();
      look.cancel();
      if (draft?.isChanged) unsaved.set(parameter, draft);
    },
  };
}

/** Of the audit trail. */
function entry({ number, kind, version, at, actor, detail }) {
  const what = h("b", {}, `${number}. ${kind}`);
  const heading = h("p", {}, what, ` version ${version} `, time(at), actor ? ` by ${actor}` : "");
  const { instruments, ...others } = detail.changes ?? {};
  return h("li", {},
    heading,
    instruments ? h("p", {}, `instruments: ${counted(instruments)}`) : null,
    Object.keys(others).length ? changes(others) : null);
}

function summary(kind, data) {
  if (kind === "updated") return Object.entries(data.changes).map(changed).join(", ");
  if (kind === "instruments") return data.instruments.map(changedInstrument).join("; ");
  if (kind === "membership") return `${data.added_count} came, ${data.removed_count} went`;
  return data.reason ?? `version ${data.version ?? ""}`;
}

function changedInstrument(one) {
  return `${one.id} ${Object.keys(one.changes).join(", ")}`;
}

function changed([name, change]) {
  return name === "instruments" ? `instruments (${counted(change)})` : name;
}

function counted({ added, removed, reordered }) {
  const counts = [added.length && `${added.length} added`, removed.length && `${removed.length} removed`];
  return [...counts, reordered && "reordered"].filter(Boolean).join(", ");
}
