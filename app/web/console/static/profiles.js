// The caller's subscription profiles.

import { call } from "./api.js";
import { badge, button, fill, h, number, problemBox, table, time } from "./dom.js";
import { can } from "./session.js";

export const PROFILES = "/v1/subscription-profiles";

export function mount(root) {
  const leaving = new AbortController();
  const shown = h("div", {});
  fill(
    root,
    h("section", { class: "page" },
      h("header", { class: "heading" }, h("h1", {}, "Subscription profiles"), can("profiles:write") ? h("a", { class: "button primary", href: "#/profiles/new" }, "New profile") : null),
      shown),
  );
  if (!can("profiles:read")) {
    fill(shown, h("p", {}, "Sign in with a key that has the scope profiles:read to see its profiles."));
    return { leave() {} };
  }
  const rows = [];

  async function load(cursor = null) {
    try {
      const { data } = await call(PROFILES, { query: { cursor }, signal: leaving.signal });
      rows.push(...data.profiles);
      fill(
        shown,
        rows.length ? table("Profiles", ["Name", "Status", "Instruments", "Channels", "Version", "Changed", "Owner"], rows.map(cells)) : h("p", {}, "There is none yet."),
        data.next_cursor ? button("More", () => load(data.next_cursor)) : null,
      );
    } catch (error) {
      if (error.name !== "AbortError") fill(shown, problemBox(error));
    }
  }

  load();
  return { leave: () => leaving.abort() };
}

function cells(one) {
  return [
    h("a", { href: `#/profiles/${one.id}` }, one.name),
    badge(one.status, one.status === "active" ? "good" : "warn"),
    one.instrument_count === null ? "dynamic" : number(one.instrument_count),
    one.channels.join(", "),
    one.version,
    time(one.updated_at),
    one.owner,
  ];
}
