// Two people changed one profile: what each did, field by field, and which of it to keep.

import { button, h, modal } from "./dom.js";
import { same } from "./draft.js";

const FIELDS = { name: "Name", description: "Description", channels: "Channels", delivery: "Delivery", status: "Status", selection: "Selection" };

/** The fields in which mine and theirs differ, and who changed each since `base`. */
export function differences(base, mine, theirs) {
  return Object.keys(FIELDS).filter((name) => !same(mine[name], theirs[name])).map((name) => {
    const [byMe, byThem] = [!same(base[name], mine[name]), !same(base[name], theirs[name])];
    return { name, by: byMe && byThem ? "both" : byMe ? "mine" : "theirs" };
  });
}

/** Listed instruments with what either side added, and without what either removed; null where one is a saved search. */
export function mergedMembers(base, mine, theirs) {
  const [before, my, their] = [base, mine, theirs].map((one) => one.selection.instruments);
  if (!before || !my || !their) return null;
  const [mySet, theirSet, beforeSet] = [new Set(my), new Set(their), new Set(before)];
  const merged = [...their.filter((id) => mySet.has(id) || !beforeSet.has(id)), ...my.filter((id) => !theirSet.has(id) && !beforeSet.has(id))];
  return merged.length ? merged : null;
}

/** `decided(content)` with what is to be saved, or null to take theirs. */
export function openConflict({ base, mine, theirs, version }, decided) {
  const rows = differences(base, mine, theirs);
  const merged = mergedMembers(base, mine, theirs);
  const chosen = Object.fromEntries(rows.map(({ name, by }) => [name, by === "theirs" ? "theirs" : name === "selection" && by === "both" && merged ? "merged" : "mine"]));
  const option = (name, side, content) =>
    h("label", { class: `side ${side}` },
      h("input", { type: "radio", name: `keep-${name}`, value: side, checked: chosen[name] === side, onchange: () => (chosen[name] = side) }),
      h("b", {}, { mine: "Mine", theirs: "Theirs", merged: "Both merged" }[side]), h("span", {}, content));
  const answer = (content) => () => {
    dialog.close();
    decided(content);
  };
  const combined = () => {
    const content = { ...theirs };
    for (const { name } of rows) if (chosen[name] !== "theirs") content[name] = chosen[name] === "merged" ? { instruments: merged } : mine[name];
    dialog.close();
    decided(content);
  };
  const dialog = modal(
    "Somebody saved first",
    h("p", {}, `Version ${version} was saved while you were editing. Nothing of yours is lost: choose what to keep.`),
    rows.length ? rows.map(({ name, by }) =>
      h("fieldset", { class: "difference" },
        h("legend", {}, `${FIELDS[name]}, changed by ${{ both: "both of you", mine: "you", theirs: "them" }[by]}`),
        option(name, "mine", told(name, mine, base)), option(name, "theirs", told(name, theirs, base)),
        name === "selection" && by === "both" && merged ? option(name, "merged", `${merged.length} instruments`) : null),
    ) : h("p", {}, "Both versions are the same."),
    h("p", { class: "actions" }, button("Go on editing", () => dialog.close()), button("Take theirs", answer(null)), button("Save all of mine", answer(mine)), button("Save what is chosen", combined, { class: "primary" })),
  );
  dialog.classList.add("wide");
}

function told(name, content, base) {
  const value = content[name];
  if (name === "channels") return value.join(", ");
  if (name === "delivery") return Object.entries(value).map(([key, one]) => `${key.replace("_", " ")}: ${one}`).join(", ");
  if (name !== "selection") return value || "(empty)";
  if (value.query) return `saved search: ${Object.entries(value.query).map(([key, one]) => `${key} = ${[one].flat().join(" or ")}`).join(", ")}`;
  const before = new Set(base.selection.instruments ?? []);
  const now = new Set(value.instruments);
  const added = value.instruments.filter((id) => !before.has(id));
  const removed = [...before].filter((id) => !now.has(id));
  return `${value.instruments.length} instruments${added.length ? `; added ${some(added)}` : ""}${removed.length ? `; removed ${some(removed)}` : ""}`;
}

function some(ids) {
  return ids.length > 10 ? `${ids.slice(0, 10).join(", ")} and ${ids.length - 10} more` : ids.join(", ");
}
