// What is said about one recording of a dataset, or about all that are selected, as a form.

import { field } from "./api.js";
import { button, disable, el, visible } from "./dom.js";
import { told } from "./sentences.js";
import { languageName, number, say } from "./words.js";

const SWITCHES = {
  is_instrumental: [
    [false, "vocals"],
    [true, "instrumental"],
  ],
  excluded: [
    [false, "used"],
    [true, "excluded"],
  ],
  prompt_override: [
    [null, "drawn"],
    ["caption", "caption"],
    ["genre", "genre"],
  ],
};
/** Field -> how large it is: lines of text, a short text, or a choice. */
const FIELDS = {
  caption: 2,
  lyrics: 5,
  genre: "wide",
  bpm: "short",
  keyscale: "short",
  timesignature: "short",
  language: "short",
  custom_tag: "short",
  repeat: "short",
  is_instrumental: "choice",
  prompt_override: "choice",
  excluded: "choice",
};
let count = 0;

export class SampleForm {
  constructor(table) {
    this.table = table;
    this.inputs = {};
    this.rows = [];
    const sign = (name, label, press) => button({ icon: name, name: say(label), class: "ace-icon filled", press });
    this.previous = sign("chevron-left", "previousOne", () => table.step(-1, true));
    this.next = sign("chevron-right", "nextOne", () => table.step(1, true));
    this.title = el("strong", { class: "ace-cut" });
    this.place = el("span", { class: "ace-count" });
    this.problems = el("div", { class: "ace-note warn", hidden: true });
    const fields = Object.entries(FIELDS).map(([name, size]) => this.field(name, size));
    this.root = el(
      "div",
      { class: "ace-sample", role: "group", "aria-label": say("sampleForm"), hidden: true },
      el(
        "div",
        { class: "ace-head" },
        this.title,
        el("span", { class: "ace-space" }),
        this.previous,
        this.place,
        this.next,
        sign("times", "close", () => table.leave()),
      ),
      this.problems,
      el("div", { class: "ace-fields" }, ...fields),
      button({ icon: "check", label: say("saveNext"), class: "ace-button ace-primary", press: () => table.step(1, true) }),
    );
    this.root.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.target.blur?.();
        table.step(1, true);
      } else if (event.key === "Escape") table.leave();
    });
  }

  field(name, size) {
    const id = `ace-sample-${++count}`;
    const change = () => this.change(name);
    const input =
      size === "choice"
        ? el("select", { id, class: "ace-field", on: { change } })
        : typeof size === "number"
          ? el("textarea", { id, class: "ace-field", rows: size, spellcheck: "false", on: { change } })
          : el("input", { id, class: "ace-field", type: "text", autocomplete: "off", on: { change } });
    const wrong = el("span", { class: "ace-wrong", role: "alert", hidden: true });
    this.inputs[name] = { input, wrong };
    return el(
      "div",
      { class: `ace-said ${typeof size === "number" ? "wide" : size}` },
      el("label", { for: id, text: say(`f_${name}`) }),
      input,
      wrong,
    );
  }

  /** Shows these rows together; where they differ a field is empty and says so. */
  show(rows, place, all) {
    this.rows = rows;
    const { edits } = this.table;
    const several = rows.length > 1;
    this.title.textContent = several ? say("selectedCount", number(rows.length)) : (rows[0]?.name ?? "");
    this.title.title = rows.map((row) => row.name).join("\n");
    this.place.textContent = several ? "" : `${place + 1} / ${all}`;
    for (const part of [this.previous, this.next, this.place]) visible(part, !several);
    disable(this.previous, place <= 0 && say("previousOne"));
    disable(this.next, place >= all - 1 && say("nextOne"));
    const said = several ? [] : (rows[0]?.problems ?? []);
    this.problems.replaceChildren(...said.map((text) => el("div", { text: told(text) })));
    visible(this.problems, said.length > 0);
    for (const [name, { input, wrong }] of Object.entries(this.inputs)) {
      const values = rows.map((row) => edits.value(row, name));
      const equal = values.every((value) => value === values[0]);
      visible(wrong, false);
      input.removeAttribute("aria-invalid");
      if (input.tagName === "SELECT") {
        const options = SWITCHES[name].map(([value, word]) =>
          el("option", { value: JSON.stringify(value), text: say(`o_${word}`) }),
        );
        if (!equal) options.unshift(el("option", { value: "", text: say("differ") }));
        input.replaceChildren(...options);
        input.value = equal ? JSON.stringify(values[0]) : "";
      } else {
        input.value = equal ? String(values[0] ?? "") : "";
        input.placeholder = equal ? "" : say("differ");
        if (name === "language" && equal) input.title = values[0] === "unknown" ? "" : languageName(values[0]);
      }
    }
  }

  /** Takes over what was written, in its one spelling; what makes no sense stays there with the reason. */
  async change(name) {
    const { input, wrong } = this.inputs[name];
    const rows = this.rows;
    visible(wrong, false);
    input.removeAttribute("aria-invalid");
    try {
      if (input.tagName === "SELECT" && !input.value) return;
      const given = input.tagName === "SELECT" ? JSON.parse(input.value) : input.value;
      const value = await field(name, given);
      this.table.edits.set(rows, name, value);
    } catch (error) {
      wrong.textContent = error.message;
      visible(wrong, true);
      input.setAttribute("aria-invalid", "true");
    }
  }

  focus() {
    this.inputs.caption.input.focus();
  }
}
