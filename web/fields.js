// Controls that read and write widgets of the open graph: what a form shows is the graph, and nothing else is kept.

import { app } from "../../scripts/app.js";
import { el } from "./dom.js";
import { languageName, say } from "./words.js";

export const ACTIVE = 0;
export const BYPASSED = 4;

/** The nodes of some classes in the open graph. */
export function nodesOf(...classes) {
  return app.graph.nodes.filter((node) => classes.includes(node.comfyClass));
}

/** A widget of the first node of a class. */
export function widgetOf(kind, name) {
  return nodesOf(kind)[0]?.widgets?.find((widget) => widget.name === name);
}

/** Writes a widget as a person does. */
export function write(kind, name, value) {
  for (const node of nodesOf(kind))
    for (const widget of node.widgets ?? [])
      if (widget.name === name && widget.value !== value) {
        widget.value = value;
        widget.callback?.(value);
      }
  app.graph.setDirtyCanvas(true, true);
}

/** Lets nodes work or passes them by. */
export function bypass(classes, off) {
  for (const node of nodesOf(...classes)) node.mode = off ? BYPASSED : ACTIVE;
  app.graph.setDirtyCanvas(true, true);
}

let numbers = 0;

/** A control under its label. */
export function labelled(text, control, more = {}) {
  control.id ||= `ace-field-${++numbers}`;
  return el("div", { class: "ace-labelled", ...more }, el("label", { for: control.id, text }), control);
}

export function area(value, rows, change, more = {}) {
  const made = el("textarea", {
    class: "ace-field",
    rows,
    spellcheck: "false",
    ...more,
    on: { input: () => change(made.value) },
  });
  made.value = value ?? "";
  return made;
}

/** A field for a line of text. */
export function line(value, change) {
  const made = el("input", {
    class: "ace-field",
    autocomplete: "off",
    spellcheck: "false",
    on: { input: () => change(made.value) },
  });
  made.value = value ?? "";
  return made;
}

export function choice(values, value, change, name = (text) => text) {
  const made = el("select", { class: "ace-field", on: { change: () => change(made.value) } });
  for (const entry of values) made.append(el("option", { value: entry, text: name(entry), selected: entry === value }));
  return made;
}

/** A field for a number that may be left open. `read` gives undefined for what it does not understand. */
export function open(value, { read, show, change, empty = 0, wrong }) {
  const made = el("input", {
    class: "ace-field",
    placeholder: say("auto"),
    title: say("autoTip"),
    autocomplete: "off",
  });
  made.value = value === empty ? "" : show(value);
  made.addEventListener("focus", () => setTimeout(() => made.select())); // what is typed takes the place of what is there
  made.addEventListener("change", () => {
    const found = made.value.trim() ? read(made.value.trim()) : empty;
    made.setAttribute("aria-invalid", String(found === undefined));
    wrong(found === undefined);
    if (found === undefined) return;
    made.value = found === empty ? "" : show(found);
    change(found);
  });
  return made;
}

/** "1:30" or "90" -> 90. */
export function seconds(text) {
  const found = /^(?:(\d+):(\d{1,2})|(\d+(?:[.,]\d+)?))$/.exec(text);
  if (!found) return undefined;
  return found[3] ? Number(found[3].replace(",", ".")) : Number(found[1]) * 60 + Number(found[2]);
}

export function whole(text) {
  return /^\d+$/.test(text) ? Number(text) : undefined;
}

/** A switch with a sentence beside it. */
export function toggle(text, about, on, change) {
  const made = el("button", {
    type: "button",
    class: "ace-switch",
    role: "switch",
    "aria-checked": String(on),
    "aria-label": text,
  });
  made.addEventListener("click", () => {
    if (made.getAttribute("aria-disabled") === "true") return;
    const now = made.getAttribute("aria-checked") !== "true";
    made.setAttribute("aria-checked", String(now));
    change(now);
  });
  const words = el(
    "span",
    { class: "ace-switch-words" },
    el("strong", { text }),
    about && el("span", { class: "ace-quiet", text: about }),
  );
  return { root: el("div", { class: "ace-switch-row" }, words, made), button: made };
}

/** The name of a language code; what is left open is "Auto". */
export function spokenLanguage(code) {
  return code === "unknown" ? say("auto") : languageName(code);
}
