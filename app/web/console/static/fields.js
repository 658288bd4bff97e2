// The fields of a profile: what they say is written into a draft.

import { field, fill, h } from "./dom.js";
import { memberEditor } from "./members.js";
import { queryEditor } from "./query.js";

const STATUSES = ["active", "paused"];
const CHANNELS = ["trades", "quotes", "bars", "book", "reference"];
const MODES = {
  streaming: "every message as it comes",
  conflated: "the newest of each interval",
  snapshot: "all of it once per interval",
};
const BARS = ["", "1s", "1m", "5m", "15m", "1h", "1d"];

/** `edited()` is called after each change of the draft's content. */
export function profileFields(draft, edited, signal) {
  const put = (name, value) => {
    draft.content[name] = value;
    edited();
  };
  return [
    h("fieldset", { class: "group" },
      h("legend", {}, "What it is"),
      traits(draft, put),
      channels(draft, put),
      delivery(draft, put)),
    h("fieldset", { class: "group" }, h("legend", {}, "What it selects"), selection(draft, put, signal)),
  ];
}

function traits(draft, put) {
  const { name, description, status } = draft.content;
  const from = (trait) => (event) => put(trait, event.target.value);
  const nameInput = h("input", {
    name: "name", value: name, required: true, autocomplete: "off", oninput: from("name"),
  });
  const descriptionInput = h("textarea", {
    name: "description", rows: "2", value: description, maxlength: "1000", oninput: from("description"),
  });
  const option = (one) => h("option", { value: one, selected: one === status }, one);
  return [
    field("Name", nameInput),
    field("Description", descriptionInput),
    field("Status", h("select", { name: "status", onchange: from("status") }, STATUSES.map(option))),
  ];
}

function channels(draft, put) {
  const isChosen = (channel) => draft.content.channels.includes(channel);
  const choose = (one) => (event) => {
    const isWanted = (channel) => (channel === one ? event.target.checked : isChosen(channel));
    put("channels", CHANNELS.filter(isWanted));
  };
  const check = (one) => h("input", { type: "checkbox", checked: isChosen(one), onchange: choose(one) });
  return h("div", { class: "checks", role: "group", "aria-label": "Channels" },
    h("span", {}, "Channels"),
    CHANNELS.map((one) => h("label", { class: "check" }, check(one), ` ${one}`)));
}

function delivery(draft, put) {
  const box = h("div", { class: "row" });
  const set = (name, value) => {
    const { [name]: _, ...others } = draft.content.delivery;
    put("delivery", value === "" ? others : { ...others, [name]: value });
  };
  const whole = (name) => (event) => set(name, event.target.value === "" ? "" : Number(event.target.value));
  const chooseMode = (event) => {
    set("mode", event.target.value);
    if (event.target.value === "streaming") set("interval_ms", "");
    show();
  };

  function show() {
    const { mode, interval_ms: interval, bar_interval: bar, book_depth: depth } = draft.content.delivery;
    const modes = Object.entries(MODES).map(([one, text]) =>
      h("option", { value: one, selected: one === mode }, `${one}: ${text}`));
    const intervalInput = h("input", {
      type: "number", min: "10", max: "86400000", required: true,
      value: interval ?? "", oninput: whole("interval_ms"),
    });
    const bars = BARS.map((one) =>
      h("option", { value: one, selected: one === (bar ?? "") }, one || "not chosen"));
    const depthInput = h("input", {
      type: "number", min: "1", max: "1000", value: depth ?? "", oninput: whole("book_depth"),
    });
    fill(
      box,
      field("Delivery", h("select", { name: "mode", onchange: chooseMode }, modes)),
      mode === "streaming" ? null : field("Interval (ms)", intervalInput),
      field("Bars", h("select", { onchange: (event) => set("bar_interval", event.target.value) }, bars),
        "needs the channel bars"),
      field("Book depth", depthInput, "needs the channel book"),
    );
  }

  show();
  return box;
}

function selection(draft, put, signal) {
  const box = h("div", {});
  const show = () => {
    const { query, instruments } = draft.content.selection;
    fill(box, query
      ? queryEditor(query, (changed) => put("selection", { query: changed }), signal)
      : memberEditor(instruments, (changed) => put("selection", { instruments: changed }), signal));
  };
  const turnTo = (kind, empty) => () => {
    put("selection", structuredClone(kind in draft.base.selection ? draft.base.selection : empty));
    show();
  };
  const choice = (kind, empty, label) => {
    const checked = kind in draft.content.selection;
    const onchange = turnTo(kind, empty);
    const input = h("input", { type: "radio", name: "kind", value: kind, checked, onchange });
    return h("label", { class: "check" }, input, ` ${label}`);
  };
  show();
  return [
    h("div", { class: "checks" },
      choice("instruments", { instruments: [] }, "Instruments, one by one"),
      choice("query", { query: {} }, "A search, whatever it finds")),
    box,
  ];
}
