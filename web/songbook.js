// The songbook: every song of the output folder in a sidebar tab, newest batch first, while more are being made.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { bringBack, download, emptyTrash, peaks, remove, songs, trash, zip } from "./api.js";
import { autogen } from "./autogen.js";
import { detailsOf } from "./batch_details.js";
import { disable, disabled, el, icon, visible } from "./dom.js";
import { favour, isFavourite, onFavourites, refresh } from "./favourites.js";
import { press } from "./songbook_keys.js";
import { build, offer, tellRun } from "./songbook_parts.js";
import { carry } from "./song_drag.js";
import { SongFoot } from "./song_foot.js";
import { SongList } from "./song_list.js";
import { themed } from "./theme.js";
import { megabytes, number, say, sayCount } from "./words.js";

const PAGE = 100;
const ASK_FROM = 10;
const UNDO_MS = 10_000;
const KEYS_MS = 200;

export class Songbook {
  constructor() {
    this.rows = new Map();
    this.pages = new Map();
    this.selected = new Set();
    this.batch = 0;
    this.revision = 0;
    this.total = 0;
    this.deleted = null;
    this.order = 0;
    this.autogen = autogen();
    this.parts = build(this);
    this.foot = new SongFoot(this);
    this.list = new SongList(this);
    const { top, empty, none, loading, snack } = this.parts;
    const middle = el("div", { class: "ace-book-middle" }, this.list.root, empty, none, loading, snack);
    this.root = el("section", { class: "ace ace-songbook", "aria-label": say("songbook") }, top, middle, this.foot.root);
    this.root.addEventListener("keydown", (event) => press(this, event));
    onFavourites(() => this.list.draw());
    themed(() => this.list.draw());
    this.autogen.watch(
      () => tellRun(this.parts, this.autogen),
      () => this.load(true),
    );
  }

  /** The tab was opened. */
  open(element) {
    element.replaceChildren(this.root);
    element.style.height = "100%";
    refresh();
    this.load(true);
  }

  // -- songs ------------------------------------------------------------------------------------------------------------

  get wanted() {
    const { search, key, model, slowest, fastest, loved } = this.parts;
    const asked = { words: search.value.trim(), key: key.value, model: model.value, slowest: slowest.value, fastest: fastest.value };
    return Object.fromEntries(Object.entries({ ...asked, favourites: loved.checked ? "1" : "" }).filter(([, value]) => value));
  }

  get filtered() {
    return Object.keys(this.wanted).length > 0;
  }

  /** Asks for the first page anew; `stay` keeps the selection and the place. */
  async load(stay = false) {
    const order = ++this.order;
    const slow = setTimeout(() => visible(this.parts.loading, !this.rows.size), 200);
    this.list.root.setAttribute("aria-busy", "true");
    visible(this.parts.note, false);
    try {
      const page = await songs({ ...this.wanted, limit: PAGE });
      if (order !== this.order) return;
      this.take(page, stay);
    } catch (error) {
      if (order === this.order) this.fail(say("songsFailed", error.message), true);
    } finally {
      clearTimeout(slow);
      visible(this.parts.loading, false);
      if (order === this.order) this.list.root.removeAttribute("aria-busy");
    }
  }

  take(page, stay) {
    const same = stay && page.revision === this.revision && page.total === this.total;
    if (!same) this.unselect();
    this.rows = new Map();
    this.pages = new Map([[0, true]]);
    [this.revision, this.total, this.newest] = [page.revision, page.total, page.newest];
    page.songs.forEach((song, index) => this.rows.set(index, song));
    const follows = this.batch === this.seen && !this.foot.player.playing;
    if (!stay || this.batch > page.newest || !this.batch || follows) this.batch = page.newest;
    this.seen = page.newest;
    if (!this.filtered) this.autogen.know(page.songs.filter((song) => song.batch === page.newest).map((song) => song.file));
    offer(this.parts.key, page.keys);
    offer(this.parts.model, page.models);
    if (this.list.open && !page.batches.some(({ number: one }) => one === this.list.open.number)) this.list.open = null;
    this.list.show(page.batches, this.filtered);
    const { empty, none, count, turning } = this.parts;
    visible(empty, page.all === 0);
    visible(none, page.all > 0 && page.total === 0);
    none.firstChild.textContent = say("noMatch");
    visible(count, this.filtered && page.total > 0);
    count.textContent = say("songsOf", number(page.total), number(page.all));
    visible(turning, page.all > 0 && !this.filtered);
    this.tellPlace();
    this.chips();
  }

  song(index) {
    return this.rows.get(index);
  }

  /** Asks for the page that holds a song; what came after a change of the folder is asked for again. */
  async need(index) {
    const offset = Math.floor(index / PAGE) * PAGE;
    if (this.pages.has(offset)) return;
    this.pages.set(offset, true);
    const order = this.order;
    try {
      const page = await songs({ ...this.wanted, offset, limit: PAGE });
      if (order !== this.order) return;
      if (page.revision !== this.revision) {
        this.load(true);
        return;
      }
      page.songs.forEach((song, place) => this.rows.set(offset + place, song));
      this.list.draw();
    } catch {
      this.pages.delete(offset); // the next look asks again
    }
  }

  async all() {
    const offsets = Array.from({ length: Math.ceil(this.total / PAGE) }, (_, page) => page * PAGE);
    await Promise.all(offsets.map((offset) => this.need(offset)));
  }

  searching() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => this.load(), KEYS_MS);
  }

  clear() {
    const { search, key, model, slowest, fastest, loved } = this.parts;
    for (const field of [search, key, model, slowest, fastest]) field.value = "";
    loved.checked = false;
    this.load();
  }

  filtering() {
    visible(this.parts.filters, this.parts.filters.hidden);
    this.parts.filter.setAttribute("aria-expanded", String(!this.parts.filters.hidden));
    if (!this.parts.filters.hidden) this.parts.key.focus();
  }

  chips() {
    const { chips, key, model, slowest, fastest, loved } = this.parts;
    const made = [];
    const chip = (text, undo) => {
      const press = () => {
        undo();
        this.load();
      };
      made.push(el("button", { type: "button", class: "ace-chip", title: say("clearOne", text), on: { click: press } }, el("span", { text }), icon("times")));
    };
    if (key.value) chip(key.value, () => (key.value = ""));
    if (model.value) chip(model.value, () => (model.value = ""));
    if (slowest.value || fastest.value)
      chip(`${slowest.value || 30}–${fastest.value || 300} bpm`, () => ([slowest.value, fastest.value] = ["", ""]));
    if (loved.checked) chip(say("favourites"), () => (loved.checked = false));
    chips.replaceChildren(...made);
    visible(chips, made.length > 0);
  }

  // -- batches ----------------------------------------------------------------------------------------------------------

  tellPlace() {
    const { place, older, newer } = this.parts;
    place.textContent = say("batchOf", number(this.batch), number(this.newest ?? 0));
    const numbers = this.list.batches.map((batch) => batch.number);
    disable(older, !numbers.some((one) => one < this.batch) && say("noOlder"));
    if (disabled(older) === false) older.title = say("olderTip");
    newer.title = this.batch < this.newest ? say("newerTip") : say("newerMakes");
  }

  /** To the next older (-1) or newer (1) batch; past the newest one the next is made. */
  turn(by) {
    const numbers = this.list.batches.map((batch) => batch.number);
    const next = by < 0 ? numbers.find((one) => one < this.batch) : numbers.findLast((one) => one > this.batch);
    if (next === undefined) {
      if (by > 0) this.autogen.make();
      return;
    }
    this.batch = next;
    this.list.goBatch(next);
    this.tellPlace();
  }

  async details(batch) {
    if (this.list.open?.number === batch.number) {
      this.list.tell(null);
      return;
    }
    const song = this.song(batch.first);
    if (!song) return;
    try {
      const root = await detailsOf(song, (button, work, done) => this.act(button, work, done));
      this.list.folded.delete(batch.number);
      this.list.tell({ number: batch.number, root });
    } catch (error) {
      this.fail(say("failed", error.message));
    }
  }

  // -- playing ----------------------------------------------------------------------------------------------------------

  /** Whether a song is the one in the player (null: no) and sounds (true). */
  playing(song) {
    return this.foot.song && same(this.foot.song.file, song.file) ? this.foot.player.playing : null;
  }

  share() {
    return this.foot.wave.share;
  }

  moved() {
    if (this.list?.root.isConnected) this.list.later();
  }

  play(index) {
    const song = this.song(index);
    if (!song) return;
    if (this.playing(song) !== null) {
      this.foot.player.toggle();
      return;
    }
    this.batch = song.batch;
    this.tellPlace();
    this.foot.load(song);
  }

  /** The place of the song in the player; null where it is not in the list. */
  get heardAt() {
    for (const [index, song] of this.rows) if (this.playing(song) !== null) return index;
    return null;
  }

  /** The song before or after the one in the player: takes of its batch, then the newer batch. */
  step(by) {
    const at = this.heardAt;
    if (at === null) return;
    const batches = this.list.batches;
    let first = 0;
    for (const [place, batch] of batches.entries()) {
      if (at < first + batch.songs) {
        const inside = at + by >= first && at + by < first + batch.songs;
        const beside = batches[place - by];
        if (inside) this.play(at + by);
        else if (beside) this.play(by > 0 ? first - beside.songs : first + batch.songs + beside.songs - 1);
        return;
      }
      first += batch.songs;
    }
  }

  ended() {
    this.step(1);
  }

  // -- favourites, selection --------------------------------------------------------------------------------------------

  async favour(index) {
    const song = this.song(index);
    if (song) await this.act(null, () => favour([song.file], !isFavourite(song.file)));
  }

  favourSelected() {
    const files = this.chosen.map((song) => song.file);
    return this.act(null, () => favour(files, !files.every(isFavourite)));
  }

  get chosen() {
    return [...this.selected].sort((one, other) => one - other).map((index) => this.song(index)).filter(Boolean);
  }

  async select(index, how) {
    if (how === "all") {
      await this.all();
      for (let place = 0; place < this.total; place++) this.selected.add(place);
    } else if (how === "range" && this.anchor !== undefined) {
      const [from, to] = [Math.min(this.anchor, index), Math.max(this.anchor, index)];
      for (let place = from; place <= to; place++) this.selected.add(place);
    } else if (!this.selected.delete(index)) {
      this.selected.add(index);
    }
    if (how !== "range") this.anchor = index;
    this.foot.select(this.selected.size, this.chosen.reduce((sum, song) => sum + song.bytes, 0));
    this.list.draw();
  }

  unselect() {
    this.selected.clear();
    this.foot.select(0, 0);
    this.list.draw();
  }

  zip(pressed) {
    return this.act(pressed, async () => download(await zip(this.chosen.map((song) => song.file))));
  }

  drag(event, index) {
    const song = this.song(index);
    const several = this.selected.has(index) ? this.chosen : [song];
    carry(event, several, this.list.rowAt(index)?.wave.levels);
    peaks(song.file).catch(() => {}); // a node that plays it will want them
  }

  // -- the trash --------------------------------------------------------------------------------------------------------

  /** Moves the selected songs, or one, into the trash. Many are asked about first. */
  async trash(index = null) {
    const gone = index === null ? this.chosen : [this.song(index)].filter(Boolean);
    if (!gone.length) return;
    if (gone.length >= ASK_FROM) {
      const asked = { title: say("delete"), message: say("deleteMany", number(gone.length)), type: "delete" };
      if (!(await app.extensionManager.dialog.confirm(asked))) return;
    }
    if (gone.some((song) => this.playing(song) !== null)) this.foot.unload();
    await this.act(null, async () => {
      const { entry, songs: count } = await remove(gone.map((song) => song.file));
      this.deleted = entry;
      this.say(sayCount("trashed", count));
      await this.load();
      refresh();
    });
  }

  async undo() {
    if (!this.deleted) return;
    const entry = this.deleted;
    this.deleted = null;
    visible(this.parts.snack, false);
    await this.act(null, async () => {
      await bringBack(entry);
      refresh();
      await this.load();
    });
  }

  say(text) {
    const { snack } = this.parts;
    snack.firstChild.textContent = text;
    visible(snack, true);
    clearTimeout(this.snacking);
    this.snacking = setTimeout(() => visible(snack, false), UNDO_MS);
  }

  async menu() {
    const { choices, more } = this.parts;
    const open = choices.hidden;
    visible(choices, open);
    more.setAttribute("aria-expanded", String(open));
    if (!open) return;
    const entry = (name, sign, work) => {
      const press = () => {
        this.menu();
        work();
      };
      return el("button", { type: "button", role: "menuitem", class: "ace-entry", on: { click: press } }, icon(sign), el("span", { text: name }));
    };
    const entries = [entry(say("reload"), "refresh", () => this.load(true))];
    const waiting = await trash().catch(() => ({ songs: 0 }));
    if (waiting.songs) {
      const size = [number(waiting.songs), megabytes(waiting.bytes)];
      entries.push(entry(say("emptyTrash", ...size), "trash", () => this.emptied(size)));
    }
    choices.replaceChildren(...entries, el("p", { class: "ace-quiet", text: say("bookKeys") }));
    choices.firstChild.focus();
  }

  async emptied(size) {
    const asked = { title: say("emptyTrash", ...size), message: say("emptySure"), type: "delete" };
    if (!(await app.extensionManager.dialog.confirm(asked))) return;
    this.deleted = null;
    visible(this.parts.snack, false);
    await this.act(null, () => emptyTrash());
  }

  // -- how it went ------------------------------------------------------------------------------------------------------

  async act(pressed, work) {
    if (pressed && (disabled(pressed) || pressed.getAttribute("aria-busy") === "true")) return;
    pressed?.setAttribute("aria-busy", "true");
    visible(this.parts.note, false);
    try {
      await work();
    } catch (error) {
      this.fail(say("failed", error.message));
    } finally {
      pressed?.removeAttribute("aria-busy");
    }
  }

  fail(text, again = false) {
    const { note } = this.parts;
    note.children[1].textContent = text;
    visible(this.parts.again, again);
    visible(note, true);
  }

  /** From the empty page to the first song. */
  first() {
    if (this.autogen.busy) return;
    this.autogen.make();
  }
}

function same(one, other) {
  return one.filename === other.filename && one.subfolder === other.subfolder && one.type === other.type;
}

/** Registers the tab. The songbook is made when it is first opened. */
export function addSongbook() {
  const manager = app.extensionManager;
  const bar = manager.sidebarTab?.registerSidebarTab ? manager.sidebarTab : manager;
  let book = null;
  bar.registerSidebarTab({
    id: "acestep.songbook",
    icon: "pi pi-book",
    title: say("songbook"),
    tooltip: say("songbook"),
    type: "custom",
    render: (element) => {
      book ??= new Songbook();
      book.open(element);
    },
  });
  api.addEventListener("reconnected", () => book?.load(true));
}
