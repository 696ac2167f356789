// What the form "Make a song" keeps folded: memory, meter, seed and file, then how steps, guidance and the language
// model are set, each field under the name and with the tip that its widget has on the node.

import { api } from "../../scripts/api.js";
import { el } from "./dom.js";
import { choice, labelled, line, nodesOf, open, toggle, whole, widgetOf, write } from "./fields.js";
import { language, say } from "./words.js";

const SEEDED = ["ACEStepPlan", "ACEStepPlanCodes", "ACEStepSampler"];
const TUNED = [
  ["ACEStepSchedule", "schedule", ["steps", "shift", "timesteps"]],
  ["ACEStepGuidance", "guidance", ["mode", "scale", "start", "end"]],
  ["ACEStepLMSampling", "lmSampling", ["temperature", "top_k", "top_p", "cfg_scale", "negative_prompt"]],
];
const WIDTHS = { timesteps: "most", mode: "wide", negative_prompt: "whole", preset: "wide" };

export const orAuto = (text) => (text === "auto" ? say("auto") : text);

/** The folded part; `tell` says one sentence in the form, or none. */
export function advanced(tell) {
  const root = el(
    "details",
    { class: "ace-make-advanced" },
    el(
      "summary",
      {},
      el("strong", { text: say("advanced") }),
      el("span", { class: "ace-quiet", text: say("advancedWords") }),
    ),
    el("div", { class: "ace-make-inputs" }, usual(tell), seedEach(), ...TUNED.map((group) => tuned(group, tell))),
  );
  root.addEventListener("toggle", () => tips(root), { once: true });
  root.addEventListener("toggle", () => root.open && root.scrollIntoView({ block: "nearest" })); // out from under the foot
  return root;
}

function usual(tell) {
  const listed = (label, kind, name, spell) => labelled(say(label), chosen(kind, name, spell), shape(name));
  const seed = open(widgetOf("ACEStepSampler", "seed")?.value, {
    read: whole,
    show: String,
    empty: null,
    change: (value) => SEEDED.forEach((kind) => value !== null && write(kind, "seed", value)),
    wrong: (yes) => tell(yes ? say("badNumber") : ""),
  });
  seed.placeholder = "";
  return el(
    "div",
    { class: "ace-make-row" },
    listed("cardMemory", "ACEStepLoader", "preset", orAuto),
    listed("timesignature", "ACEStepSong", "timesignature", orAuto),
    labelled(say("seedShort"), seed),
    listed("fileFormat", "ACEStepSaveSong", "format"),
  );
}

/** The switch that draws new seeds for each run. */
function seedEach() {
  const drawn = widgetOf("ACEStepSampler", "control_after_generate")?.value !== "fixed";
  const change = (on) => SEEDED.forEach((kind) => write(kind, "control_after_generate", on ? "randomize" : "fixed"));
  return toggle(say("seedEach"), "", drawn, change).root;
}

/** A group of settings under a heading; nothing where the graph has no such node. */
function tuned([kind, title, names], tell) {
  if (!nodesOf(kind).length) return null;
  const fields = names.map((name) => {
    const widget = widgetOf(kind, name);
    const control = field(kind, name, widget, tell);
    Object.assign(control.dataset, { kind, name });
    return labelled(widget.label ?? name, control, shape(name));
  });
  return el("fieldset", {}, el("h2", { text: say(title) }), el("div", { class: "ace-make-row" }, ...fields));
}

/** What the nodes say of their inputs; the frontend keeps it to itself, so it is asked for once the part is opened. */
async function tips(root) {
  const words = (await api.getCustomNodesI18n())[language()]?.nodeDefs;
  for (const control of root.querySelectorAll("[data-kind]"))
    control.title = words?.[control.dataset.kind]?.inputs[control.dataset.name]?.tooltip ?? "";
}

function shape(name) {
  return { class: ["ace-labelled", WIDTHS[name]].filter(Boolean).join(" ") };
}

function chosen(kind, name, spell) {
  const widget = widgetOf(kind, name);
  return choice(widget?.options.values ?? [], widget?.value, (value) => write(kind, name, value), spell);
}

function field(kind, name, widget, tell) {
  const change = (value) => write(kind, name, value);
  if (widget.options.values) return chosen(kind, name);
  if (typeof widget.value !== "number") return line(widget.value, change);
  const [type, { default: usually, empty }] = declared(kind, name);
  const { min, max } = widget.options;
  const number = open(widget.value, {
    read: (text) => within(type === "INT" ? whole(text) : Number(text.replace(",", ".")), min, max),
    show: String,
    empty: usually,
    change,
    wrong: (yes) => tell(yes ? say("badRange", min, max) : ""),
  });
  number.placeholder = usually === empty ? say("auto") : String(usually); // what an empty field means
  return number;
}

function within(value, min, max) {
  return value >= min && value <= max ? value : undefined;
}

/** How a node declares an input. */
function declared(kind, name) {
  const { required, optional } = window.LiteGraph.registered_node_types[kind].nodeData.input;
  return required?.[name] ?? optional[name];
}
