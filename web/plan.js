// The plan as a form: what is given, what the model decides, and what it decided. It writes the text of a plan, in
// which `?` stands for what the model is asked; without one it is used word for word, and nothing before it runs again.

import { app } from "../../scripts/app.js";
import { planned } from "./api.js";
import { spelled } from "./drawers.js";
import { button, clock, disable, el, icon, visible } from "./dom.js";
import { alone } from "./editor.js";
import { runUpTo } from "./part.js";
import { told } from "./sentences.js";
import { languageName, say } from "./words.js";

/** Field -> the switch of the node with which the model decides it. */
const FIELDS = {
  bpm: "metas",
  keyscale: "metas",
  timesignature: "metas",
  duration: "metas",
  language: "language",
  caption: "caption",
};
const TEXT_OUTPUT = 1;
const KEPT = "acestep_plan";
const PAUSE = 300;

export class PlanForm {
  /** `edited(text)` after each edit; `grown()` when its height changes; `choices`: field -> values to choose from. */
  constructor(node, { edited, grown, choices }) {
    this.node = node;
    this.edited = edited;
    this.written = "";
    this.given = {};
    this.chosen = {};
    this.ran = {};
    this.rows = {};
    this.live = el("div", { class: "ace-hidden", role: "status" });
    const signs = [icon("thumbtack"), say("given"), icon("sparkles"), say("free")];
    const legend = el("span", { class: "ace-legend ace-quiet" }, ...signs);
    const head = el(
      "div",
      { class: "ace-thread-head", style: { "--ace-thread": "var(--ace-codes)" } },
      el("strong", { text: say("plan") }),
      el("span", { class: "ace-space" }),
      legend,
    );
    this.problem = el("div", { class: "ace-problem", hidden: true });
    const rows = Object.keys(FIELDS).map((name) => this.row(name, choices[name]));
    const main = (sign, name, kind, press) =>
      button({ icon: sign, label: say(name), class: `ace-button ace-main ${kind}`, press });
    this.again = main("refresh", "planAgain", "", () => this.plan());
    const render = main("play", "render", "ace-primary", () => app.queuePrompt(0));
    const foot = el("div", { class: "ace-buttons" }, this.again, render);
    this.ends = [head, foot];
    this.root = el("div", { class: "ace ace-plan" }, head, ...rows, this.problem, foot, this.live);
    alone(this.root);
    new ResizeObserver(() => grown()).observe(this.root);
    this.draw();
  }

  row(name, choices) {
    const label = say(name);
    const field = control(name, choices);
    field.setAttribute("aria-label", label);
    field.addEventListener(field.tagName === "SELECT" ? "change" : "input", () => this.give(name, field.value));
    field.addEventListener("keydown", (event) => {
      if (event.key === "Backspace" && field.value === "" && name in this.given) this.give(name, "");
    });
    const choice = el("span", { class: "ace-choice" });
    const pin = button({ icon: "sparkles", name: "", class: "ace-icon ace-pin", press: () => this.turn(name) });
    const problem = el("div", { class: "ace-problem", hidden: true, id: `ace-problem-${name}-${++made}` });
    field.setAttribute("aria-describedby", problem.id);
    const shown = el("span", { class: "ace-name", text: label });
    const line = el("div", { class: "ace-plan-line" }, shown, field, choice, pin);
    this.rows[name] = { field, choice, pin, problem };
    return el("div", { class: `ace-plan-row ${name}`, role: "group", "aria-label": label }, line, problem);
  }

  /** Looks again when a wire comes or goes. */
  watch(node) {
    const changed = node.onConnectionsChange;
    node.onConnectionsChange = (...given) => {
      const answer = changed?.apply(node, given);
      this.draw();
      return answer;
    };
  }

  /** The least height of the widget in its node: of what is in it, as the node may stretch the form itself. */
  least() {
    const [head, foot] = this.ends;
    return Math.max(396, foot.offsetTop + foot.offsetHeight - head.offsetTop + 20);
  }

  get text() {
    return this.written;
  }

  /** A plan from elsewhere: a graph that is opened, or written by hand. */
  set text(text) {
    if ((text ?? "") === this.written) return;
    this.written = text ?? "";
    this.read();
  }

  async read() {
    const text = this.written;
    const kept = this.node.properties?.[KEPT] ?? {};
    try {
      const { fields, problems } = text.trim() ? await planned({ text }) : { fields: {}, problems: {} };
      if (text !== this.written) return;
      this.fault(told(problems.text));
      const free = Object.keys(fields).filter((name) => name in kept && String(kept[name]) === String(fields[name]));
      this.chosen = { ...(text.trim() ? Object.fromEntries(free.map((name) => [name, fields[name]])) : kept) };
      this.given = Object.fromEntries(Object.entries(fields).filter(([name]) => !free.includes(name)));
      this.settled = free.length > 0;
      for (const [name, value] of Object.entries(this.given)) this.given[name] = typed(name, value);
    } catch (error) {
      this.fault(error.message);
    }
    this.draw();
  }

  fault(text) {
    this.problem.textContent = text ?? "";
    visible(this.problem, Boolean(text));
  }

  give(name, value) {
    if (value.trim()) this.given[name] = value;
    else delete this.given[name];
    this.write();
  }

  /** From free to given, with what the model chose, or back. */
  turn(name) {
    const { field } = this.rows[name];
    if (name in this.given) {
      delete this.given[name];
      this.write();
    } else if (name in this.chosen) this.keep(name);
    else field.focus();
  }

  keep(name) {
    this.given[name] = typed(name, this.chosen[name]);
    this.write();
    this.rows[name].field.focus();
  }

  /** The plan's text. What the model chose stays in it, so that it is not asked again for what it said already. */
  write(settled = Object.keys(this.chosen).length > 0) {
    this.settled = settled;
    const lines = Object.keys(FIELDS).flatMap((name) => {
      const value = this.given[name] ?? (settled ? this.chosen[name] : undefined);
      if (value !== undefined) return [`${name}: ${JSON.stringify(String(value))}`];
      return this.asks(name) ? [`${name}: ?`] : [];
    });
    const decided = settled || Object.keys(this.given).length > 0;
    this.written = decided ? lines.join("\n") : "";
    this.remember();
    this.fault("");
    this.draw();
    this.edited(this.written);
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.check(), PAUSE);
  }

  /** So that a graph that is saved tells what was chosen from what was given. */
  remember() {
    const free = Object.entries(this.chosen).filter(([name]) => !(name in this.given));
    this.node.properties[KEPT] = Object.fromEntries(free);
  }

  asks(name) {
    return this.node.widgets?.find((widget) => widget.name === FIELDS[name])?.value !== false;
  }

  /** Says what is wrong with what was typed; nothing is changed for it. */
  async check() {
    const given = { ...this.given };
    const { problems } = await planned({ fields: given }).catch(() => ({ problems: {} }));
    for (const [name, { field, problem }] of Object.entries(this.rows)) {
      if (this.given[name] !== given[name]) continue;
      const wrong = told(problems[name] ?? "");
      problem.textContent = wrong;
      visible(problem, Boolean(wrong));
      field.setAttribute("aria-invalid", String(Boolean(wrong)));
    }
  }

  /** What a run decided: fields of the plan. */
  show(fields) {
    const before = this.chosen;
    this.chosen = Object.fromEntries(Object.entries(fields).filter(([name]) => !(name in this.given)));
    this.remember();
    this.ran = { ...this.given };
    this.wait(false);
    for (const [name, { choice }] of Object.entries(this.rows))
      if (name in this.chosen && name in before && String(before[name]) !== String(this.chosen[name])) {
        choice.classList.add("ace-new");
        setTimeout(() => choice.classList.remove("ace-new"), 2000);
      }
    this.draw();
  }

  wait(yes) {
    this.root.classList.toggle("ace-waiting", yes);
    this.again.toggleAttribute("aria-busy", yes);
  }

  async plan() {
    if (this.again.hasAttribute("aria-busy")) return;
    this.write(false);
    const seed = this.node.widgets.find((widget) => widget.name === "seed");
    seed.value = Math.floor(Math.random() * 2 ** 32);
    seed.callback?.(seed.value);
    this.wait(true);
    this.live.textContent = say("planning");
    try {
      const { plan } = await runUpTo(this.node, TEXT_OUTPUT);
      this.show(JSON.parse(plan[0]));
      this.live.textContent = say("planReady");
    } catch (error) {
      this.fault(error.message === "cancelled" ? "" : error.message);
    }
    this.wait(false);
  }

  /** Whether the plan comes by a wire: then it is not ours to write. */
  get wired() {
    const input = this.node.inputs?.findIndex((one) => one.widget?.name === "edited_plan");
    return input >= 0 && Boolean(this.node.isInputConnected?.(input));
  }

  draw() {
    for (const [name, { field, choice, pin, problem }] of Object.entries(this.rows)) {
      const given = name in this.given;
      const value = given ? String(this.given[name]) : "";
      if (field.value !== value) {
        if (field.tagName === "SELECT" && ![...field.options].some((one) => one.value === value))
          field.append(el("option", { value, text: spelled(name, value) }));
        field.value = value;
      }
      if (!given) visible(problem, false);
      if (!given) field.setAttribute("aria-invalid", "false");
      pin.firstChild.className = `pi pi-${given ? "thumbtack" : "sparkles"}`;
      pin.setAttribute("aria-pressed", String(given));
      const says = `${say(name)}: ${say(given ? "given" : "free")}`;
      pin.title = says;
      pin.setAttribute("aria-label", says);
      choice.replaceChildren(...this.told(name, given));
      disable(field, this.wired ? say("planByWire") : "");
      field.disabled = this.wired;
    }
  }

  told(name, given) {
    if (given) {
      const same = [this.ran[name], name in this.chosen && typed(name, this.chosen[name])].includes(this.given[name]);
      return same ? [say("asGiven")] : [];
    }
    if (!(name in this.chosen)) return [];
    const chosen = spelled(name, this.chosen[name]);
    const keep = button({ label: say("keep"), class: "ace-keep", press: () => this.keep(name) });
    keep.setAttribute("aria-label", `${say("keep")}: ${say(name)} ${chosen}`);
    return [el("span", { class: "ace-cut", text: chosen, title: chosen }), " · ", keep];
  }
}

let made = 0;

function control(name, choices) {
  const free = say("open");
  const field = { class: "ace-field", placeholder: free, spellcheck: "false" };
  if (name === "caption") return el("textarea", { ...field, rows: "3", "data-capture-wheel": "true" });
  if (!choices) return el("input", { ...field, type: "text" });
  const shown = (value) => (name === "language" ? languageName(value) : spelled(name, value));
  const options = choices.map((value) => el("option", { value, text: shown(value) }));
  return el("select", { class: "ace-field" }, el("option", { value: "", text: free }), ...options);
}

/** A value as somebody would type it. */
function typed(name, value) {
  return name === "duration" && Number.isInteger(Number(value)) ? clock(value) : String(value);
}
