// The list of the songbook: days, batches and songs as a tree, of which only what can be seen is drawn.

import { peaks } from "./api.js";
import { button, el, icon, titleOf, visible } from "./dom.js";
import { isFavourite } from "./favourites.js";
import { Wave } from "./wave.js";
import { language, number, say, sayCount } from "./words.js";

const ROW = 56;
const HEAD = 36;
const BEYOND = 10 * ROW;
const PRESS_MS = 500;

export class SongList {
  /**
   * `book`: `song(index)` (undefined while it is not loaded), `need(index)`, `playing(song)`, `play(index)`,
   * `favour(index)`, `select(index, how)`, `selected`, `drag(event, index)`, `details(batch)`, `went(batch)`.
   */
  constructor(book) {
    this.book = book;
    this.batches = [];
    this.folded = new Set();
    this.days = new Set();
    this.open = null;
    this.blocks = [];
    this.order = [];
    this.active = null;
    this.drawn = new Map();
    this.inner = el("div", { class: "ace-list-inner" });
    this.root = el("div", { class: "ace-list", role: "tree", tabindex: "0", "aria-label": say("songbook") }, this.inner);
    this.root.setAttribute("aria-multiselectable", "true");
    this.root.addEventListener("scroll", () => this.later());
    this.details = new ResizeObserver(() => this.measure());
    new ResizeObserver(() => this.later()).observe(this.root);
  }

  /** `all`: whether everything is unfolded, as for a search. */
  show(batches, all) {
    this.batches = batches;
    this.all = all;
    this.layout();
  }

  /** Where everything stands. */
  layout() {
    const today = dayOf(Date.now() / 1000);
    let [y, first, day] = [0, 0, null];
    this.blocks = [];
    this.order = [];
    for (const batch of this.batches) {
      const name = dayOf(batch.time);
      if (!this.all && name !== today && name !== day?.name) {
        day = { kind: "day", id: `day ${name}`, name, time: batch.time, y, height: HEAD, songs: 0, batches: 0 };
        this.blocks.push(day);
        this.order.push(day.id);
        y += HEAD;
      }
      if (day && name === day.name) {
        day.songs += batch.songs;
        day.batches += 1;
      }
      if (this.all || name === today || this.days.has(name)) {
        const closed = this.folded.has(batch.number) && !this.all;
        const told = this.open?.number === batch.number && !closed ? this.open.height : 0;
        const height = HEAD + (closed ? 0 : told + batch.songs * ROW);
        const id = `batch ${batch.number}`;
        this.blocks.push({ ...batch, kind: "batch", id, y, height, first, closed, told });
        this.order.push(id);
        if (!closed) for (let place = 0; place < batch.songs; place++) this.order.push(`song ${first + place}`);
        y += height;
      }
      first += batch.songs;
    }
    this.inner.style.height = `${y}px`;
    if (!this.order.includes(this.active)) this.active = this.order.find((id) => id.startsWith("song")) ?? null;
    this.draw();
  }

  later() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  draw() {
    const from = this.root.scrollTop - BEYOND;
    const to = this.root.scrollTop + (this.root.clientHeight || 600) + BEYOND;
    const seen = new Set();
    const groups = [];
    for (const block of this.blocks) {
      if (block.y + block.height < from || block.y > to) continue;
      seen.add(block.id);
      const outer = this.place(block.id, this.inner, () => el("div", { class: "ace-group", role: "none" }), block.y);
      outer.style.height = `${block.height}px`;
      groups.push(outer);
      if (outer.dataset.of !== this.headKey(block)) this.head(outer, block);
      if (block.kind !== "batch" || block.closed) continue;
      const top = block.y + HEAD + block.told;
      const begin = Math.max(0, Math.floor((from - top) / ROW));
      const end = Math.min(block.songs, Math.ceil((to - top) / ROW));
      const rows = [];
      for (let place = begin; place < end; place++) {
        const index = block.first + place;
        const song = this.book.song(index);
        if (!song) this.book.need(index);
        const [id, told] = song ? [fileId(song), JSON.stringify(song)] : [`place ${index}`, ""];
        if (this.drawn.get(id)?.told !== told) this.drop(id);
        seen.add(id);
        const row = this.place(id, outer, () => this.row(song, told), top - block.y + place * ROW);
        this.mark(row, song, index, block.songs, place);
        rows.push(row);
      }
      inOrder(rows);
    }
    inOrder(groups);
    for (const id of this.drawn.keys()) if (!seen.has(id)) this.drop(id);
    const active = this.index === null ? this.drawn.get(this.active) : this.rowAt(this.index);
    if (active) this.root.setAttribute("aria-activedescendant", (active.head ?? active).id);
    else this.root.removeAttribute("aria-activedescendant");
  }

  place(id, parent, make, y) {
    let element = this.drawn.get(id);
    if (!element) {
      element = make();
      this.drawn.set(id, element);
    }
    if (element.parentElement !== parent) parent.append(element);
    element.style.top = `${y}px`;
    return element;
  }

  /** The element of the song at a place, if it is drawn. */
  rowAt(index) {
    const song = this.book.song(index);
    return this.drawn.get(song ? fileId(song) : `place ${index}`);
  }

  drop(id) {
    this.drawn.get(id)?.remove();
    this.drawn.delete(id);
  }

  headKey(block) {
    const first = block.kind === "batch" ? this.book.song(block.first) : null;
    return JSON.stringify([block, this.open?.number === block.number, Boolean(first), this.days.has(block.name)]);
  }

  head(outer, block) {
    const batch = block.kind === "batch";
    const open = batch ? !block.closed : this.days.has(block.name);
    const first = batch ? this.book.song(block.first) : null;
    const told = batch
      ? [sayCount("songs", block.songs), first && (first.task && first.task !== "text2music" ? first.task : first.model)]
      : [sayCount("songs", block.songs), sayCount("batches", block.batches)];
    const head = el(
      "div",
      {
        class: "ace-group-head",
        id: `ace-list-${block.id.replaceAll(" ", "-")}`,
        role: "treeitem",
        "aria-level": "1",
        "aria-expanded": String(open),
        on: { click: () => this.fold(block) },
      },
      icon(open ? "chevron-down" : "chevron-right"),
      el("strong", { text: batch ? say("batch", number(block.number)) : dayName(block.time) }),
      el("span", { class: "ace-quiet ace-cut", text: told.filter(Boolean).join(" · ") }),
      el("span", { class: "ace-space" }),
      batch && el("span", { class: "ace-quiet", text: clockOf(block.time) }),
    );
    if (batch) {
      const shown = this.open?.number === block.number;
      const press = (event) => {
        event.stopPropagation();
        this.book.details(block);
      };
      head.append(
        button({ icon: "ellipsis-h", name: say("details"), class: "ace-icon", press, tabindex: "-1", "aria-expanded": String(shown) }),
      );
    }
    outer.dataset.of = this.headKey(block);
    outer.head?.remove();
    outer.head = head;
    outer.prepend(head);
    if (batch && this.open?.number === block.number && !block.closed) head.after(this.open.root);
    head.classList.toggle("active", this.active === block.id);
  }

  /** A row lives as long as its song is told alike, wherever it stands: it may just be pressed or dragged. */
  row(song, told) {
    const row = el("div", { class: "ace-row", role: "treeitem", "aria-level": "2" });
    row.told = told;
    if (!song) {
      row.classList.add("loading");
      return row;
    }
    row.draggable = true;
    const title = titleOf(song.caption, song.file.filename);
    const facts = [say("take", song.take), song.bpm, song.keyscale].filter(Boolean).join(" · ");
    const wave = new Wave({ class: "ace-row-wave" });
    setTimeout(() => row.isConnected && peaks(song.file).then((found) => wave.show(found.levels), () => {}), 150);
    row.wave = wave;
    row.play = button({ icon: "play", name: say("play"), class: "ace-row-play", press: () => this.book.play(row.index), tabindex: "-1" });
    row.heart = button({
      icon: "heart",
      name: say("favourite"),
      class: "ace-icon ace-heart",
      press: () => this.book.favour(row.index),
      tabindex: "-1",
    });
    row.box = el("span", { class: "ace-box", "aria-hidden": "true" }, icon("check"));
    const score = typeof song.score === "number" && number(song.score * 5, 1);
    row.append(
      row.box,
      row.play,
      el(
        "div",
        { class: "ace-row-text" },
        el("div", {}, el("span", { class: "ace-row-title ace-cut", text: title, title: song.caption || title, lang: langOf(song) }), row.heart),
        el(
          "div",
          { class: "ace-quiet" },
          el("span", { class: "ace-cut", text: song.damaged ? say("damaged") : facts }),
          el("span", { class: "ace-space" }),
          wave.canvas,
          score && el("span", { class: "ace-row-score", role: "img", "aria-label": say("stars", score) }, icon("star-fill"), score),
        ),
      ),
    );
    row.addEventListener("dragstart", (event) => this.book.drag(event, row.index));
    row.addEventListener("dblclick", () => this.book.play(row.index));
    row.addEventListener("click", (event) => {
      if (event.target.closest("button")) return;
      this.go(`song ${row.index}`);
      const several = this.book.selected.size > 0;
      if (event.shiftKey) this.book.select(row.index, "range");
      else if (event.ctrlKey || event.metaKey || several || event.target.closest(".ace-box")) this.book.select(row.index, "toggle");
    });
    let timer = null;
    row.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "touch") timer = setTimeout(() => this.book.select(row.index, "toggle"), PRESS_MS);
    });
    for (const end of ["pointerup", "pointercancel", "pointermove"]) row.addEventListener(end, () => clearTimeout(timer));
    return row;
  }

  /** What changes about a row without its song. */
  mark(row, song, index, songs, place) {
    row.index = index;
    row.id = `ace-list-song-${index}`;
    row.setAttribute("aria-setsize", songs);
    row.setAttribute("aria-posinset", place + 1);
    row.classList.toggle("active", this.active === `song ${index}`);
    if (!song) return;
    const playing = this.book.playing(song);
    row.classList.toggle("current", playing !== null);
    const sign = playing ? "pause" : "play";
    row.play.firstChild.className = `pi pi-${sign}`;
    row.play.setAttribute("aria-label", say(sign));
    row.wave.share = playing !== null ? this.book.share() : 0;
    if (playing !== null || row.wave.played) row.wave.later();
    row.wave.played = playing !== null;
    const loved = isFavourite(song.file);
    row.heart.firstChild.className = `pi pi-heart${loved ? "-fill" : ""}`;
    row.heart.setAttribute("aria-pressed", String(loved));
    row.setAttribute("aria-selected", String(this.book.selected.has(index)));
    visible(row.box, this.book.selected.size > 0);
  }

  fold(block) {
    const set = block.kind === "batch" ? this.folded : this.days;
    const id = block.kind === "batch" ? block.number : block.name;
    if (!set.delete(id)) set.add(id);
    this.active = block.id;
    this.layout();
  }

  /** The details of a batch below its head; null closes them. */
  tell(open) {
    this.details.disconnect();
    this.open?.root.remove();
    this.open = open;
    if (open) {
      open.height = 150;
      this.details.observe(open.root);
    }
    this.layout();
  }

  measure() {
    const height = this.open?.root.offsetHeight;
    if (!height || height === this.open.height) return;
    this.open.height = height;
    this.layout();
  }

  /** Makes an entry the active one and brings it into view. */
  go(id, top = false) {
    if (!id) return;
    this.active = id;
    const block = this.blockOf(id);
    if (!block) return;
    const place = id.startsWith("song") ? Number(id.split(" ")[1]) - block.first : -1;
    const y = block.y + (place < 0 ? 0 : HEAD + block.told + place * ROW);
    const { scrollTop, clientHeight } = this.root;
    const above = place < 0 ? 0 : HEAD;
    if (top || y - above < scrollTop) this.root.scrollTop = y - above;
    else if (y + ROW > scrollTop + clientHeight) this.root.scrollTop = y + ROW - clientHeight;
    for (const block of this.blocks) this.drawn.get(block.id)?.head?.classList.toggle("active", block.id === id);
    this.draw();
  }

  blockOf(id) {
    if (!id?.startsWith("song")) return this.blocks.find((block) => block.id === id);
    const index = Number(id.split(" ")[1]);
    return this.blocks.find((block) => block.kind === "batch" && index >= block.first && index < block.first + block.songs);
  }

  /** Unfolds a batch and goes there. */
  goBatch(wanted) {
    const batch = this.batches.find((entry) => entry.number === wanted);
    if (!batch) return;
    this.folded.delete(batch.number);
    this.days.add(dayOf(batch.time));
    this.layout();
    this.go(`batch ${wanted}`, true);
  }

  step(by) {
    const place = this.order.indexOf(this.active);
    this.go(this.order[Math.max(0, Math.min(this.order.length - 1, place + by))]);
  }

  /** Folds (-1) or unfolds (1) what is active; from a song folding goes to its head. */
  turn(way) {
    const block = this.blockOf(this.active);
    if (!block) return;
    const open = block.kind === "batch" ? !block.closed : this.days.has(block.name);
    if (this.active.startsWith("song")) {
      if (way < 0) this.go(block.id);
    } else if (open === way < 0) this.fold(block);
  }

  /** The place of the active song; null where a head is active. */
  get index() {
    return this.active?.startsWith("song") ? Number(this.active.split(" ")[1]) : null;
  }
}

/** Brings siblings into this order, for whoever reads the list; those that stood there stay, a new one moves. */
function inOrder(elements) {
  for (let at = elements.length - 2; at >= 0; at--) {
    const [element, below] = [elements[at], elements[at + 1]];
    if (!(element.compareDocumentPosition(below) & Node.DOCUMENT_POSITION_FOLLOWING)) below.before(element);
  }
}

function fileId({ file }) {
  return `file ${file.type}/${file.subfolder}/${file.filename}`;
}

function dayOf(seconds) {
  return new Date(seconds * 1000).toDateString();
}

function dayName(seconds) {
  if (dayOf(seconds) === dayOf(Date.now() / 1000 - 86400)) {
    const name = new Intl.RelativeTimeFormat(language(), { numeric: "auto" }).format(-1, "day");
    return name.charAt(0).toUpperCase() + name.slice(1);
  }
  return new Intl.DateTimeFormat(language(), { dateStyle: "medium" }).format(seconds * 1000);
}

function clockOf(seconds) {
  return new Intl.DateTimeFormat(language(), { timeStyle: "short" }).format(seconds * 1000);
}

function langOf(song) {
  return song.language && song.language !== "unknown" ? song.language : undefined;
}
