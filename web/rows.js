// The rows of a dataset that can be seen: of a thousand only these are elements.

import { peaks } from "./api.js";
import { button, clock, disable, el, icon } from "./dom.js";
import { Wave } from "./wave.js";
import { say } from "./words.js";

const HEIGHT = 40;
const AROUND = 5;
const SIGNS = {
  ready: "check",
  edited: "pencil",
  unlabeled: "clock",
  problem: "exclamation-triangle",
  excluded: "ban",
};

export class Rows {
  /** `table` tells values and states, and does what rows are pressed for. */
  constructor(table) {
    this.table = table;
    this.seen = new Map();
    this.shown = [];
    this.inside = el("div", { class: "ace-rows-all" });
    // The canvas keeps its own undo off what is typed into, so an input takes the keys of the list.
    this.keys = el("input", { class: "ace-hidden", readonly: true, role: "combobox", "aria-label": say("recordings") });
    this.keys.setAttribute("aria-haspopup", "grid");
    this.keys.setAttribute("aria-expanded", "true");
    this.root = el("div", { class: "ace-rows", role: "rowgroup", "data-capture-wheel": "true" }, this.inside);
    this.root.addEventListener("scroll", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(this.root);
  }

  /** `shown`: the rows that pass the filter, in order. */
  show(shown) {
    this.shown = shown;
    this.inside.style.height = `${shown.length * HEIGHT}px`;
    this.seen.clear();
    this.inside.replaceChildren();
    this.draw();
  }

  draw() {
    const first = Math.max(0, Math.floor(this.root.scrollTop / HEIGHT) - AROUND);
    const last = Math.min(
      this.shown.length,
      Math.ceil((this.root.scrollTop + this.root.clientHeight) / HEIGHT) + AROUND,
    );
    for (const [row, made] of this.seen)
      if (made.place < first || made.place >= last) {
        made.root.remove();
        this.seen.delete(row);
      }
    for (let place = first; place < last; place++) {
      const row = this.shown[place];
      if (this.seen.has(row)) continue;
      const made = this.make(row, place);
      this.seen.set(row, made);
      this.inside.append(made.root);
    }
    this.mark();
  }

  make(row, place) {
    const { table } = this;
    const of = (field) => table.edits.value(row, field);
    const state = table.state(row);
    const cell = (kind, text, more = {}) =>
      el("span", { role: "gridcell", class: `ace-cell ${kind} ace-cut`, text, title: text, ...more });
    const wave = new Wave({ class: "ace-row-wave" });
    if (row.audio)
      peaks(row.audio).then(
        (found) => wave.show(found.levels),
        () => {},
      ); // a flat line says enough
    const play = button({
      icon: "play",
      name: `${say("play")}: ${row.name}`,
      class: "ace-icon filled ace-round",
      tabindex: "-1",
      press: () => table.play(row),
    });
    disable(play, !row.audio && say("unreachable"));
    const words = of("is_instrumental") ? say("instrumental") : firstLine(of("lyrics"));
    const root = el(
      "div",
      {
        class: "ace-row",
        role: "row",
        id: `ace-row-${row.id}`,
        "aria-rowindex": place + 2,
        style: { top: `${place * HEIGHT}px` },
        on: {
          pointerdown: (event) => event.target.closest("button") || table.choose(place, event),
          click: () => this.focus(),
        },
      },
      el("span", { role: "gridcell" }, play),
      cell("name", row.name),
      el("span", { role: "gridcell", class: "ace-cell sound" }, wave.canvas),
      cell("caption", of("caption") || of("genre") || "—"),
      cell("words", words || "—"),
      cell("length", clock(row.seconds)),
      cell("bpm", String(of("bpm") ?? "—")),
      cell("key", of("keyscale") || "—"),
      el(
        "span",
        { role: "gridcell", class: `ace-cell state ${state}`, title: table.reason(row, state) },
        icon(SIGNS[state]),
        el("span", { class: "ace-cut", text: table.reason(row, state) }),
      ),
    );
    root.addEventListener("dblclick", () => table.edit());
    return { root, place, play, wave };
  }

  /** What is chosen, and what plays. */
  mark() {
    const { table } = this;
    const chosen = this.shown[table.place];
    this.keys.setAttribute("aria-activedescendant", chosen ? `ace-row-${chosen.id}` : "");
    for (const [row, made] of this.seen) {
      made.root.classList.toggle("chosen", made.place === table.place);
      made.root.setAttribute("aria-selected", String(table.selected.has(row.id) || made.place === table.place));
      made.root.classList.toggle("selected", table.selected.has(row.id));
      const playing = table.playing === row && table.player.playing;
      made.play.firstChild.className = `pi pi-${playing ? "pause" : "play"}`;
      const share = table.playing === row && row.seconds ? table.player.time / row.seconds : 0;
      if (share !== made.wave.share) {
        made.wave.share = share;
        made.wave.later();
      }
    }
  }

  focus() {
    this.keys.focus({ preventScroll: true });
  }

  /** Brings a row into view. */
  reveal(place) {
    const { scrollTop, clientHeight } = this.root;
    const top = place * HEIGHT;
    if (top < scrollTop) this.root.scrollTop = top;
    else if (top + HEIGHT > scrollTop + clientHeight) this.root.scrollTop = top + HEIGHT - clientHeight;
  }
}

function firstLine(text) {
  return (text ?? "").split("\n").find((line) => line.trim() && !line.trim().startsWith("[")) ?? "";
}
