// The table of a dataset on Edit Dataset: hear each recording, see and correct what is said about it. What it changes is
// the value of the node's `edits`, so the graph holds it, and works the same without this table.

import { button, el, icon, visible } from "./dom.js";
import { Edits } from "./edits.js";
import { lasting } from "./lengths.js";
import { Player } from "./player.js";
import { Rows } from "./rows.js";
import { SampleForm } from "./sample.js";
import { told } from "./sentences.js";
import { themed } from "./theme.js";
import { number, say } from "./words.js";

const STATES = ["ready", "edited", "unlabeled", "problem", "excluded"];
const COLUMNS = {
  name: "name",
  sound: null,
  caption: "caption",
  words: null,
  length: "seconds",
  bpm: "bpm",
  key: "keyscale",
  state: "state",
};
const WIDTH = 760;
const HEIGHT = 460;

export class DatasetTable {
  constructor(node) {
    this.node = node;
    this.rows = [];
    this.shown = [];
    this.place = -1;
    this.selected = new Set();
    this.sorted = { by: null, down: false };
    this.widget = node.widgets.find((widget) => widget.name === "edits");
    this.widget.hidden = true; // the table writes it; "As text" shows it
    this.edits = new Edits(this.widget, () => this.refresh());
    this.player = new Player(
      () => this.list.mark(),
      () => this.list.mark(),
    );
    this.list = new Rows(this);
    this.form = new SampleForm(this);
    this.root = el("div", { class: "ace ace-dataset", role: "region", "aria-label": say("dataset") }, ...this.parts());
    this.root.addEventListener("keydown", (event) => this.press(event));
    this.root.addEventListener("pointerdown", (event) => event.stopPropagation());
    this.root.addEventListener(
      "wheel",
      (event) => event.target.closest(".ace-rows, textarea, .ace-sample") && event.stopPropagation(),
    );
    themed(() => this.list.show(this.shown));
    this.refresh();
  }

  parts() {
    this.about = el("span", { class: "ace-quiet ace-cut" });
    this.find = el("input", {
      type: "search",
      class: "ace-field",
      placeholder: say("find"),
      "aria-label": say("find"),
    });
    this.only = el("select", { class: "ace-field", "aria-label": say("show") });
    for (const input of [this.find, this.only]) input.addEventListener("input", () => this.refresh(true));
    this.back = button({ icon: "undo", name: say("undo"), class: "ace-icon", press: () => this.undo() });
    this.asText = button({ label: say("asText"), class: "ace-button line", press: () => this.turn() });
    this.heads = Object.fromEntries(Object.keys(COLUMNS).map((name) => [name, this.head(name)]));
    this.empty = el("div", { class: "ace-empty" }, el("span", { text: say("noRows") }));
    this.broken = el(
      "div",
      { class: "ace-note err", hidden: true },
      icon("exclamation-triangle"),
      el("span", { text: say("brokenEdits") }),
    );
    this.counts = el("span", { role: "status" });
    this.foot = el(
      "div",
      { class: "ace-foot" },
      this.counts,
      el("span", { class: "ace-space" }),
      el("span", { text: say("tableKeys") }),
    );
    this.grid = el(
      "div",
      { class: "ace-grid", role: "grid", "aria-label": say("recordings") },
      this.list.keys,
      el("div", { class: "ace-row head", role: "row" }, el("span"), ...Object.values(this.heads)),
      this.list.root,
    );
    this.body = el("div", { class: "ace-split" }, this.grid, this.form.root);
    this.bar = el(
      "div",
      { class: "ace-head" },
      el("strong", { text: say("dataset") }),
      this.about,
      el("span", { class: "ace-space" }),
      this.find,
      this.only,
      this.back,
      this.asText,
    );
    return [this.bar, this.broken, this.empty, this.body, this.foot];
  }

  head(name) {
    const text = say(`c_${name}`);
    if (!COLUMNS[name]) return el("span", { class: `ace-cell ${name}`, role: "columnheader", text });
    const press = () => {
      const { by, down } = this.sorted;
      this.sorted = by === name ? (down ? { by: null, down: false } : { by, down: true }) : { by: name, down: false };
      this.refresh(true);
    };
    return el(
      "span",
      { class: `ace-cell ${name}`, role: "columnheader" },
      el("button", { type: "button", text, on: { click: press } }),
    );
  }

  // -- what is shown ----------------------------------------------------------------------------------------------------

  /** The outputs of the node after a run. */
  show(output) {
    const told = JSON.stringify([output.acestep_dataset, output.acestep_edits]);
    if (!output.acestep_dataset || told === this.told) return;
    this.told = told;
    const first = !this.rows.length;
    this.rows = output.acestep_dataset;
    this.edits.show(this.rows, output.acestep_edits?.[0]);
    this.selected.clear();
    this.refresh();
    if (first && this.rows.length && this.node.setSize) {
      const [width, height] = this.node.size;
      this.node.setSize([Math.max(WIDTH, width), Math.max(height, this.node.computeSize()[1])]);
    }
  }

  least() {
    return this.rows.length ? HEIGHT : 144;
  }

  dispose() {
    this.player.stop();
  }

  state(row) {
    const own = this.edits.of(row);
    if (this.edits.value(row, "excluded", own)) return "excluded";
    const said = ["caption", "genre"].some((field) => this.edits.value(row, field, own));
    if (row.problems.length > (said ? 0 : 1) && this.edits.ran(row, own)) return "problem"; // one is that nothing is said
    if (Object.keys(own).length) return "edited";
    return row.labeled && row.caption ? "ready" : "unlabeled";
  }

  reason(row, state) {
    const first = told(row.problems[0]);
    if (state !== "problem") return say(`s_${state}`);
    const stem = row.name.replace(/\.[^.]*$/, "");
    return [`${row.name}: `, `${row.name} `, stem].reduce((text, known) => text.replace(known, ""), first);
  }

  /** Everything anew; `jump`: another filter or order, so the choice is looked for there. */
  refresh(jump = false) {
    const chosen = this.shown[this.place];
    const whole = this.rows.length > 0;
    for (const part of [this.body, this.foot, this.find, this.only, this.about]) visible(part, whole);
    visible(this.empty, !whole);
    visible(this.broken, this.edits.read() === null);
    visible(this.back, this.edits.before.length > 0);
    const states = new Map(this.rows.map((row) => [row.id, this.state(row)]));
    this.options(states);
    const words = this.find.value.trim().toLowerCase();
    const said = (row) => ["caption", "genre", "lyrics"].map((name) => this.edits.value(row, name)).join("\n");
    this.shown = this.rows.filter(
      (row) =>
        (!this.only.value || states.get(row.id) === this.only.value) &&
        (!words || `${row.name}\n${said(row)}`.toLowerCase().includes(words)),
    );
    this.order(states);
    this.place = jump || chosen ? this.shown.indexOf(chosen) : this.place;
    this.list.show(this.shown);
    this.grid.setAttribute("aria-rowcount", String(this.shown.length + 1));
    const seconds = this.rows.reduce((sum, row) => sum + row.seconds, 0);
    this.about.textContent = whole ? `${say("recordingCount", number(this.rows.length))} · ${lasting(seconds)}` : "";
    const counted = STATES.map((state) => [state, [...states.values()].filter((found) => found === state).length]);
    this.counts.textContent = counted
      .filter(([, count]) => count)
      .map(([state, count]) => `${number(count)} ${say(`s_${state}`)}`)
      .join(" · ");
    this.fill();
  }

  options(states) {
    const now = this.only.value;
    const there = new Set(states.values());
    this.only.replaceChildren(
      el("option", { value: "", text: say("all") }),
      ...STATES.filter((state) => there.has(state) || state === now).map((state) =>
        el("option", { value: state, text: say(`s_${state}`) }),
      ),
    );
    this.only.value = now;
  }

  order(states) {
    const { by, down } = this.sorted;
    for (const [name, head] of Object.entries(this.heads))
      if (COLUMNS[name]) head.setAttribute("aria-sort", name !== by ? "none" : down ? "descending" : "ascending");
    if (!by) return;
    const field = COLUMNS[by];
    const key = (row) => (field === "state" ? STATES.indexOf(states.get(row.id)) : this.edits.value(row, field));
    const compare = (one, other) =>
      typeof one === "number" && typeof other === "number"
        ? one - other
        : String(one ?? "").localeCompare(String(other ?? ""), undefined, { numeric: true });
    this.shown.sort((one, other) => compare(key(one), key(other)) * (down ? -1 : 1));
  }

  fill() {
    const chosen =
      this.selected.size > 1 ? this.rows.filter((row) => this.selected.has(row.id)) : [this.shown[this.place]];
    if (!chosen[0]) visible(this.form.root, false);
    else this.form.show(chosen, this.place, this.shown.length);
    this.list.mark();
  }

  // -- what can be done -------------------------------------------------------------------------------------------------

  choose(place, event = {}) {
    const row = this.shown[place];
    if (!row) return;
    if (event.ctrlKey || event.metaKey) this.select(row);
    else if (event.shiftKey) {
      const [from, to] = [Math.min(this.place, place), Math.max(this.place, place)];
      for (const other of this.shown.slice(Math.max(0, from), to + 1)) this.selected.add(other.id);
    } else this.selected.clear();
    this.place = place;
    if (event.type) visible(this.form.root, true); // pressed, not stepped over
    this.list.reveal(place);
    this.fill();
  }

  select(row) {
    if (!this.selected.delete(row.id)) this.selected.add(row.id);
  }

  step(by, editing = false) {
    if (this.selected.size > 1) this.selected.clear();
    this.choose(Math.max(0, Math.min(this.shown.length - 1, this.place + by)));
    if (editing) this.form.focus();
  }

  edit() {
    this.place = Math.max(0, this.place);
    this.fill();
    visible(this.form.root, this.shown.length > 0);
    this.form.focus();
  }

  leave() {
    visible(this.form.root, false);
    this.list.focus();
  }

  play(row) {
    if (!row?.audio) return;
    if (this.playing !== row) {
      this.playing = row;
      this.player.load(row.audio);
      this.player.play();
    } else this.player.toggle();
    this.list.mark();
  }

  undo() {
    this.edits.undo();
    this.list.focus();
  }

  exclude() {
    const rows = this.selected.size ? this.rows.filter((row) => this.selected.has(row.id)) : [this.shown[this.place]];
    if (rows[0]) this.edits.set(rows, "excluded", !this.edits.value(rows[0], "excluded"));
  }

  /** The corrections as JSON, to paste or to read. */
  turn() {
    this.widget.hidden = !this.widget.hidden;
    this.asText.setAttribute("aria-pressed", String(!this.widget.hidden));
    const least = this.node.computeSize?.()[1] ?? 0;
    if (this.node.size[1] < least) this.node.setSize([this.node.size[0], least]);
    this.node.graph?.setDirtyCanvas(true, true);
  }

  /** Keys work only in here; text fields keep theirs. */
  press(event) {
    if (event.key === "Tab") return;
    event.stopPropagation();
    if (event.target.matches("input, textarea, select") && event.target !== this.list.keys) return;
    const row = this.shown[this.place];
    const held = event.ctrlKey || event.metaKey;
    const keys = held
      ? {
          z: () => (event.shiftKey ? this.edits.redo() : this.edits.undo()),
          y: () => this.edits.redo(),
          a: () => this.all(),
        }
      : {
          ArrowDown: () => this.step(1),
          ArrowUp: () => this.step(-1),
          Home: () => this.choose(0),
          End: () => this.choose(this.shown.length - 1),
          " ": () => this.play(row),
          Enter: () => this.edit(),
          x: () => row && this.select(row),
          Delete: () => this.exclude(),
          "/": () => this.find.focus(),
          Escape: () => (this.form.root.hidden ? document.activeElement?.blur() : this.leave()),
        };
    const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act || (event.target.matches("button") && [" ", "Enter"].includes(event.key))) return;
    event.preventDefault();
    act();
    this.fill();
  }

  all() {
    for (const row of this.shown) this.selected.add(row.id);
  }
}
