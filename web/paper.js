// A text field in front of a coloured copy of its text. Where the colours are comes from elsewhere, with offsets.

import { el } from "./dom.js";

export class Paper {
  /** `changed(text)` after each edit of the user, never while an input method composes. */
  constructor({ label, placeholder, changed }) {
    this.marks = [];
    this.unheard = 0;
    this.seen = "";
    this.composing = false;
    this.ink = el("div", { class: "ace-ink", "aria-hidden": "true" });
    this.area = el("textarea", {
      class: "ace-area",
      spellcheck: "false",
      rows: "6",
      "aria-label": label,
      placeholder,
      "data-capture-wheel": "true",
    });
    this.root = el("div", { class: "ace-paper" }, this.ink, this.area);
    this.area.addEventListener("compositionstart", () => (this.composing = true));
    this.area.addEventListener("compositionend", () => {
      this.composing = false;
      this.edited(changed);
    });
    this.area.addEventListener("input", () => this.edited(changed));
    this.area.addEventListener("scroll", () => this.ink.scrollTo(0, this.area.scrollTop));
    this.area.addEventListener("wheel", (event) => {
      if (this.area.scrollHeight > this.area.clientHeight + 1) event.stopPropagation();
    });
  }

  get text() {
    return this.area.value;
  }

  set text(text) {
    this.area.value = text;
    this.edited(() => {});
  }

  edited(changed) {
    const text = this.area.value;
    this.marks = moved(this.marks, this.seen, text);
    this.seen = text;
    this.draw();
    if (!this.composing) changed(text);
  }

  /** `marks`: `[start, end, known]` of headings of this very text; `unheard`: how many of its last lines are not read. */
  colour(text, marks, unheard) {
    if (text !== this.area.value) return;
    this.marks = marks;
    this.unheard = unheard;
    this.draw();
  }

  draw() {
    const text = this.area.value;
    const lost = this.unheard ? lastLines(text, this.unheard) : text.length;
    const cuts = new Set([0, lost, text.length, ...this.marks.flatMap(([start, end]) => [start, end])]);
    const places = [...cuts].sort((one, other) => one - other);
    const parts = places.slice(1).map((end, at) => {
      const start = places[at];
      const mark = this.marks.find(([from, to]) => from <= start && end <= to);
      const kinds = [mark && (mark[2] ? "ace-known" : "ace-unknown"), start >= lost && "ace-unheard"];
      return el("span", { class: kinds.filter(Boolean).join(" "), text: text.slice(start, end) });
    });
    this.ink.replaceChildren(...parts, "\n");
    this.area.rows = Math.max(6, Math.min(14, text.split("\n").length));
    this.ink.scrollTo(0, this.area.scrollTop);
  }

  /** Puts a text in place of a part, so that the browser can undo it. */
  type(start, end, text) {
    this.area.focus();
    this.area.setSelectionRange(start, end);
    if (document.execCommand?.("insertText", false, text)) return;
    this.area.setRangeText(text, start, end, "end");
    this.area.dispatchEvent(new Event("input"));
  }
}

/** Where the last `count` lines that are not empty begin. */
function lastLines(text, count) {
  let place = text.trimEnd().length;
  for (let line = 0; line < count && place > 0; line++) place = text.slice(0, place).trimEnd().lastIndexOf("\n");
  return Math.max(0, place + 1);
}

/** Marks of the text `before`, where they are in the text `after` one edit. */
export function moved(marks, before, after) {
  if (before === after) return marks;
  const least = Math.min(before.length, after.length);
  let head = 0;
  while (head < least && before[head] === after[head]) head++;
  let tail = 0;
  while (tail < least - head && before[before.length - 1 - tail] === after[after.length - 1 - tail]) tail++;
  const by = after.length - before.length;
  const end = before.length - tail;
  return marks
    .filter(([from, to]) => to <= head || from >= end || (from < head && to > end))
    .map(([from, to, known]) => [from >= end ? from + by : from, to <= head ? to : to + by, known]);
}
