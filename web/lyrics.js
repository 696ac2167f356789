// Lyrics beside a song: running along where it is known when each line is sung, standing still where it is not.

import { button, clock, el, icon } from "./dom.js";
import { say, sayer } from "./words.js";

/** A heading such as [Chorus]. */
export const TAG = /^\s*(\[[^\]]*\]\s*)+$/;

export class Lyrics {
  /** `seek` takes seconds; `redo` a line that is to be sung anew. */
  constructor(seek, redo) {
    this.seek = seek;
    this.redo = redo;
    this.root = el("div", { class: "ace-lyrics", tabindex: "0", "data-capture-wheel": "true" });
    this.root.addEventListener("keydown", (event) => this.key(event));
    this.root.addEventListener("click", (event) => this.pressed(event.target));
    this.blank = el(
      "div",
      { role: "listitem", class: "ace-timed" },
      el(
        "button",
        { type: "button", class: "ace-line", tabindex: "-1" },
        el("span", { class: "ace-words" }),
        icon("play"),
        el("span", { class: "ace-time" }),
      ),
      button({ icon: "pencil", class: "ace-icon ace-redo", tabindex: "-1" }),
    );
    this.lines = [];
    this.current = -1;
  }

  /** `lines`: `[start, end, text, words]`, or nothing; `text`: what stands there then. */
  show(lines, text, language) {
    this.lines = (lines ?? []).map(([start, end, words, parts]) => ({
      start,
      end,
      text: words,
      parts,
      tag: TAG.test(words),
    }));
    this.current = -1;
    this.root.lang = language && language !== "unknown" ? language : "";
    this.root.setAttribute("role", "list");
    this.root.setAttribute("aria-label", say("lyrics"));
    const rows = this.lines.length ? this.lines : still(text ?? "");
    const [before, named] = [[...this.root.children], [sayer("toLine"), sayer("redoLine")]];
    for (const [place, row] of rows.entries()) {
      row.element = this.row(before[place], row);
      if (row.element.className === "ace-timed") timed(row, named);
      else write(row.element, row.text.replace(/^\[|\]$/g, "") || " ");
    }
    for (const element of before.slice(rows.length)) element.remove();
  }

  /** An element for a line: the one that stands in its place if it is of that kind, as hundreds take long to lay out. */
  row(before, { tag, text, start }) {
    const kind = tag ? "ace-tag" : start === undefined ? "ace-line still" : "ace-timed";
    if (before?.className === kind) return before;
    const made = kind === "ace-timed" ? this.blank.cloneNode(true) : el("div", { class: kind, role: "listitem", text });
    if (before) before.replaceWith(made);
    else this.root.append(made);
    return made;
  }

  pressed(target) {
    const element = target.closest(".ace-timed");
    const line = element && this.lines.find((one) => one.element === element);
    if (line && target.closest(".ace-redo")) this.redo(line);
    else if (line && target.closest(".ace-line")) this.seek(line.start);
  }

  /** The words of a line, each with an element of its own from the first time on. */
  words(line) {
    if (!line || line.tag) return [];
    if (!line.words) {
      const parts = line.parts?.length ? line.parts : [[line.start, line.end, line.text]];
      line.words = parts.map(([start, , word]) => ({ start, element: el("span", { text: word }) }));
      line.element.querySelector(".ace-words").replaceChildren(...line.words.map((word) => word.element));
    }
    return line.words;
  }

  get sung() {
    return this.lines.filter((line) => !line.tag);
  }

  /** Marks what is being sung; the line scrolls to the second place. */
  follow(time, smooth) {
    if (!this.lines.length) return;
    const now = this.lines.findLastIndex((line) => !line.tag && line.start <= time);
    if (now !== this.current) {
      const before = this.lines[this.current]?.element;
      before?.firstChild.removeAttribute("aria-current");
      for (const word of this.words(this.lines[this.current])) word.element.classList.remove("sung");
      this.current = now;
      const line = this.lines[now];
      line?.element.firstChild.setAttribute("aria-current", "true");
      if (!this.scrolling) requestAnimationFrame(() => this.scroll());
      this.scrolling = { smooth };
    }
    for (const word of this.words(this.lines[now])) word.element.classList.toggle("sung", word.start <= time);
  }

  /** Where a line stands is asked once a frame: it lays out all of them. */
  scroll() {
    const { smooth } = this.scrolling;
    this.scrolling = null;
    const element = this.lines[this.current]?.element;
    const top = element ? element.offsetTop - this.root.offsetTop - 26 : 0;
    this.root.scrollTo({ top: Math.max(0, top), behavior: smooth ? "smooth" : "instant" });
  }

  /** The start of the line before or after the one that is sung. */
  step(by, time) {
    const sung = this.sung;
    const now = sung.findLastIndex((line) => line.start <= time);
    const to = sung[Math.max(0, Math.min(sung.length - 1, now + by))];
    return to?.start ?? null;
  }

  /** The lines with their times as the text of an LRC file. */
  asLrc() {
    const stamp = (seconds) =>
      `${String(Math.floor(seconds / 60)).padStart(2, "0")}:${(seconds % 60).toFixed(2).padStart(5, "0")}`;
    return this.sung.map((line) => `[${stamp(line.start)}]${line.text}\n`).join("");
  }

  key(event) {
    if (event.key !== "Enter" || this.current < 0 || event.target !== this.root) return;
    this.seek(this.lines[this.current].start);
    event.stopPropagation();
  }
}

/** Lines of which nobody knows when they are sung. */
function still(text) {
  return text.split("\n").map((line) => ({ text: line, tag: TAG.test(line) }));
}

/** Writes into a copy of the blank line; its words are parted when they are sung. */
function timed({ element, start, text, parts }, [toLine, redoLine]) {
  const [line, redo] = element.children;
  const [words, , time] = line.children;
  line.removeAttribute("aria-current");
  write(words, parts?.length ? parts.map(([, , word]) => word).join("") : text);
  write(time, clock(start));
  if (line.ariaLabel === toLine(text)) return;
  line.ariaLabel = toLine(text);
  redo.title = redo.ariaLabel = redoLine(text);
}

/** What is written already stays as it is, but for a line that was parted into words. */
function write(element, text) {
  if (element.textContent !== text || element.firstElementChild) element.textContent = text;
}

/** The parts of a song by its tags: `[start, end, name]`. */
export function sections(lines, seconds) {
  const tags = (lines ?? []).filter(([, , text]) => TAG.test(text));
  return tags.map(([start, , text], place) => {
    const name = text
      .trim()
      .replace(/^\[|\]$/g, "")
      .split(/\s+-\s+/)[0];
    return [start, tags[place + 1]?.[0] ?? seconds, name];
  });
}

/** These parts as marks above a waveform; `share`: a moment in percent of it; `now`: whether a part is chosen. */
export function sectionMarks(parts, share, now = () => false) {
  return parts.map(([start, end, name]) => {
    const style = { left: `${share(start)}%`, width: `${share(end) - share(start)}%` };
    return el("span", { title: name, class: now(start, end) ? "now" : "", style }, el("span", { text: name }));
  });
}
