// The song widget: every song of a run, to hear, see, judge and send on, where the graph made it.

import { download, peaks, save, zip } from "./api.js";
import { factChips, scoreChips } from "./chips.js";
import { clock, disable, disabled, el, flash, icon, inFront, titleOf, visible } from "./dom.js";
import { favour, forget, isFavourite, onFavourites } from "./favourites.js";
import { press } from "./keys.js";
import { askLine } from "./line.js";
import { sectionMarks, sections } from "./lyrics.js";
import { build } from "./parts.js";
import { equalGains, Player } from "./player.js";
import { judge, openGraph, reuse, send } from "./send.js";
import { Size } from "./size.js";
import { bestOf } from "./takes.js";
import { themed } from "./theme.js";
import { say, sayCount } from "./words.js";

const calm = matchMedia("(prefers-reduced-motion: reduce)");
export const widgets = new Set();

export class SongWidget {
  constructor(node) {
    this.node = node;
    this.songs = [];
    this.place = 0;
    this.marks = { a: null, b: null };
    this.player = new Player(
      () => this.transport(),
      () => this.move(),
    );
    this.compare = this.compare.bind(this);
    Object.assign(this, build(this));
    this.root = el("div", { class: "ace ace-song", role: "region", tabindex: "-1", "data-capture-wheel": "true" });
    this.root.append(this.body, this.player.audio);
    this.root.addEventListener("keydown", (event) => press(this, event));
    this.root.addEventListener("pointerdown", (event) => event.stopPropagation());
    this.root.addEventListener("wheel", (event) => this.scrolls() && event.stopPropagation());
    this.size = new Size(this);
    themed(() => this.redraw());
    this.loved = () => this.hearts();
    onFavourites(this.loved);
    widgets.add(this);
    this.show(null);
  }

  /** The wheel belongs to the widget only where there is something to scroll. */
  scrolls() {
    return this.body.scrollHeight > this.body.clientHeight + 1;
  }

  dispose() {
    this.player.stop();
    widgets.delete(this);
    forget(this.loved);
  }

  // -- what is shown ----------------------------------------------------------------------------------------------------

  get song() {
    return this.songs[this.place];
  }

  get seconds() {
    return this.song?.peaks?.seconds ?? this.player.audio.duration ?? 0;
  }

  /** The outputs of the node after a run; nothing shows the empty frame. */
  show(output, interrupts = false) {
    const files = output?.audio ?? [];
    const facts = (output?.songs ?? []).map((text) => JSON.parse(text));
    const same = files.length > 0 && JSON.stringify(files) === JSON.stringify(this.songs.map((song) => song.made));
    if (same) return;
    this.waiting = files.length && this.player.playing && !interrupts ? output : null;
    visible(this.fresh, this.waiting !== null);
    if (this.waiting) return;
    this.songs = files.map((file, place) => ({
      file,
      made: file,
      facts: { scores: {}, ...facts[place] },
      peaks: null,
    }));
    this.marks = { a: null, b: null };
    visible(this.empty, !files.length);
    visible(this.result, files.length > 0);
    visible(this.failure, false);
    this.root.classList.toggle("ace-has-songs", files.length > 0);
    if (!files.length) return;
    this.takes.show(this.songs, bestOf(this.songs));
    this.choose(0, false);
    this.status.textContent = sayCount("ready", files.length);
    this.measure();
    this.size.grow();
  }

  /** The newest songs, which waited for the one that was playing. */
  renew() {
    this.show(this.waiting, true);
  }

  async measure() {
    const songs = this.songs;
    for (const song of songs) {
      try {
        song.peaks = await peaks(song.file);
      } catch {
        song.peaks = { levels: [], seconds: 0, loudness_db: null }; // the player tells whether the file is gone
      }
      if (songs !== this.songs) return;
      if (song === this.song) this.outline();
    }
    this.gains = equalGains(songs.map((song) => song.peaks.loudness_db));
    if (this.marks.a !== null) this.even();
  }

  choose(place, keep = true) {
    if (place < 0 || place >= this.songs.length) return;
    this.place = place;
    const { facts, file } = this.song;
    this.player.load(file, { keep, gain: this.marks.a === null ? 1 : (this.gains?.[place] ?? 1) });
    this.takes.mark(place);
    const title = titleOf(facts.caption, file.filename);
    this.title.textContent = title;
    this.title.title = facts.caption || file.filename;
    this.root.setAttribute("aria-label", `${say("take", place + 1)}: ${title}`);
    visible(this.note, Boolean(facts.test));
    this.maker.textContent = facts.test ? say(facts.toy ? "toyModel" : "testModel") : "";
    const several = this.songs.length > 1;
    for (const part of [this.before, this.count, this.after]) visible(part, several);
    this.count.textContent = `${place + 1} / ${this.songs.length}`;
    disable(this.before, place === 0 && say("previous"));
    disable(this.after, place === this.songs.length - 1 && say("next"));
    this.outline();
    this.words();
    this.judged();
    this.told();
    this.drawers.show(facts);
    this.ready();
    this.transport();
  }

  hearts() {
    if (!this.song) return;
    const loved = isFavourite(this.song.file);
    this.heart.firstChild.className = `pi pi-heart${loved ? "-fill" : ""}`;
    this.heart.setAttribute("aria-pressed", String(loved));
  }

  /** What can be done with this song, and why something cannot. */
  ready() {
    this.hearts();
    const { facts, file } = this.song;
    disable(this.actions.save, file.type === "output" && say("isSaved"));
    const sings = !facts.instrumental && facts.lyrics;
    disable(this.actions.lrc, !sings && say("needsLyrics"));
  }

  outline() {
    const { facts } = this.song;
    this.wave.show(this.song.peaks?.levels ?? []);
    const parts = sections(facts.lines, this.seconds).filter(([start, end]) => end > start);
    visible(this.sections, parts.length > 0 && this.seconds > 0);
    const share = (time) => (time / this.seconds) * 100;
    this.sections.replaceChildren(...sectionMarks(parts, share));
    this.parts = parts;
    this.moment = "";
    this.move();
  }

  words() {
    const { facts } = this.song;
    const shown = facts.lines?.length || (facts.lyrics && !facts.instrumental);
    visible(this.lyrics.root.parentElement, Boolean(shown));
    this.lyrics.show(facts.lines, facts.lyrics, facts.language);
  }

  judged() {
    const chips = scoreChips(this.song.facts.scores);
    this.scores.replaceChildren(...chips);
    visible(this.scores.parentElement, chips.length > 0);
  }

  told() {
    const { facts, peaks: outline } = this.song;
    const chips = factChips(facts, outline?.seconds || facts.duration, (text, pressed) => this.copy(text, pressed));
    this.facts.replaceChildren(...chips);
    visible(this.facts.parentElement, chips.length > 0);
  }

  transport() {
    if (!this.song) return;
    const { playing, missing } = this.player;
    this.playing.firstChild.className = `pi pi-${playing ? "pause" : "play"}`;
    this.playing.setAttribute("aria-label", say(playing ? "pause" : "play"));
    this.playing.title = say(playing ? "pause" : "play");
    disable(this.playing, missing && say("gone"));
    this.title.classList.toggle("ace-gone", missing);
    for (const button of [...this.tiles.children, this.actions.download]) disable(button, missing && say("gone"));
    this.loop.setAttribute("aria-pressed", String(this.player.loop));
    const silent = this.player.muted || this.player.volume === 0;
    this.mute.firstChild.className = `pi pi-volume-${silent ? "off" : "up"}`;
    this.mute.setAttribute("aria-pressed", String(this.player.muted));
    this.volume.value = String(this.player.volume);
    this.volume.style.setProperty("--ace-share", `${this.player.volume * 100}%`);
    const { a, b } = this.marks;
    const name = (mark) => (mark === null ? "–" : String(mark + 1));
    visible(this.swap, this.songs.length > 1);
    this.swap.setAttribute("aria-pressed", String(a !== null));
    this.swap.replaceChildren(
      el("strong", { text: "A" }),
      a === null ? "" : ` ${name(a)} `,
      icon("arrow-right-arrow-left"),
      el("strong", { text: "B" }),
      b === null ? "" : ` ${name(b)}`,
    );
    this.swap.title = a === null ? say("compare") : say("equal");
    this.move();
  }

  /** Where the song is: clock, waveform, running lyrics. */
  move() {
    const [time, whole] = [this.player.time, this.seconds];
    this.wave.follow(whole ? time / whole : 0);
    this.lyrics.follow(time, !calm.matches);
    const now = this.parts?.findLastIndex(([start]) => start <= time) ?? -1;
    const told = `${clock(time)} / ${clock(whole)} ${now}`;
    if (told === this.moment) return; // seconds are written once a second
    this.moment = told;
    this.clock.firstChild.textContent = clock(time);
    this.clock.lastChild.textContent = ` / ${clock(whole)}`;
    for (const [place, part] of [...this.sections.children].entries()) part.classList.toggle("now", place === now);
    this.slider.setAttribute("aria-valuemax", String(Math.round(whole)));
    this.slider.setAttribute("aria-valuenow", String(Math.round(time)));
    this.slider.setAttribute(
      "aria-valuetext",
      say("minutes", clock(time), clock(whole)) + (now >= 0 ? `, ${this.parts[now][2]}` : ""),
    );
  }

  redraw() {
    this.wave.later();
    this.quiet.later();
    this.judgedTakes();
  }

  judgedTakes() {
    if (!this.songs.length) return;
    this.takes.show(this.songs, bestOf(this.songs));
    this.takes.mark(this.place);
  }

  hover(share) {
    this.wave.hover = share;
    this.wave.later();
    visible(this.bubble, share !== null && this.seconds > 0);
    if (share === null) return;
    this.bubble.textContent = clock(share * this.seconds);
    this.bubble.style.left = `${share * 100}%`;
  }

  // -- what can be done -------------------------------------------------------------------------------------------------

  /** Does what a button is for, and says on it how that went. */
  async act(pressed, work, done) {
    if (disabled(pressed) || pressed.getAttribute("aria-busy") === "true") return;
    pressed.setAttribute("aria-busy", "true");
    visible(this.failure, false);
    try {
      await work();
      if (done) flash(pressed, done);
    } catch (error) {
      this.fail(say("failed", error.message));
    } finally {
      pressed.removeAttribute("aria-busy");
    }
  }

  fail(text) {
    this.failure.lastChild.textContent = text;
    visible(this.failure, true);
    this.status.textContent = text;
  }

  async copy(text, pressed) {
    await navigator.clipboard.writeText(text);
    flash(pressed, say("copied"));
  }

  from(seconds) {
    this.player.seek(seconds);
    this.player.play();
  }

  /** Other words for a line: what they are to be is asked, then the song goes into Repaint with only that line open. */
  redo(line) {
    askLine(line, this, (edit) => this.act(this.tiles.children[1], () => send("repaint", this.song, edit)));
  }

  seekShare(share) {
    this.player.seek(share * this.seconds);
  }

  send(kind) {
    return send(kind, this.song);
  }

  reuse() {
    return reuse(this.song);
  }

  download() {
    download(this.song.file);
  }

  async save() {
    const song = this.song;
    [song.file] = await save(song.file);
    flash(this.actions.save, say("saved"));
    this.ready();
  }

  /** A song that was only played is kept first. */
  favour() {
    return this.act(this.heart, async () => {
      if (this.song.file.type !== "output") await this.save();
      await favour([this.song.file], !isFavourite(this.song.file));
    });
  }

  async score() {
    const song = this.song;
    this.status.textContent = say("judging");
    const { scores, lines } = await judge(song);
    song.facts = { ...song.facts, lines, scores: { ...song.facts.scores, ...scores } };
    if (song !== this.song) return;
    this.outline();
    this.words();
    this.judged();
    this.judgedTakes();
  }

  /** Timed lyrics as a file; listened for first where nobody has. */
  async lrc() {
    if (!this.song.facts.lines?.length) await this.score();
    const url = URL.createObjectURL(new Blob([this.lyrics.asLrc()], { type: "text/plain" }));
    el("a", { href: url, download: this.song.file.filename.replace(/\.\w+$/, ".lrc") }).click();
    URL.revokeObjectURL(url);
  }

  /** First A is marked, then B is the take that is heard next; from then on they swap. */
  compare(mark = false) {
    const { a, b } = this.marks;
    if (a === null || mark) this.marks = { a: this.place, b: mark && b !== this.place ? b : null };
    else if (this.place === a) this.choose(b ?? (a + 1) % this.songs.length);
    else {
      this.marks.b = this.place;
      this.choose(a);
    }
    if (this.marks.a !== null && this.place !== this.marks.a) this.marks.b = this.place;
    this.even();
    this.transport();
  }

  even() {
    this.player.gain = this.gains?.[this.place] ?? 1;
    this.player.level();
  }

  menu() {
    const open = this.choices.hidden;
    const entry = (name, sign, press) =>
      el(
        "button",
        { type: "button", role: "menuitem", class: "ace-entry", on: { click: press } },
        icon(sign),
        el("span", { text: name }),
      );
    this.choices.replaceChildren(
      entry(say("zip"), "download", () =>
        this.chosen(async () => download(await zip(this.songs.map((song) => song.file)))),
      ),
      entry(say("openGraph"), "share-alt", () => this.chosen(() => openGraph(this.song))),
      el("p", { class: "ace-quiet", text: say("keyList") }),
    );
    visible(this.choices, open);
    this.more.setAttribute("aria-expanded", String(open));
    if (open) this.choices.firstChild.focus();
  }

  chosen(work) {
    this.menu();
    return this.act(this.more, work);
  }

  /** The whole widget in front of everything, for nodes too small for it. */
  expand() {
    const dialog = inFront(this.body, {
      kind: "ace-song",
      name: this.title.textContent,
      shut: say("close"),
      key: (event) => press(this, event),
      closed: () => {
        this.root.prepend(this.body);
        this.large.focus();
      },
    });
    dialog.dataset.size = "full";
  }

  /** Esc: out of the menu, then out of the widget. */
  leave() {
    if (!this.choices.hidden) this.menu();
    else document.activeElement?.blur();
  }

  // -- a run is going on ------------------------------------------------------------------------------------------------

  run(progress) {
    visible(this.failure, false);
    this.running.show(progress);
  }

  ended(failed) {
    this.running.show(null);
    if (failed && this.songs.length) this.fail(say("runFailed"));
  }
}
