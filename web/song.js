// The song widget: every song of a run, to hear, see, judge and send on, where the graph made it.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { address, download, peaks, save, zip } from "./api.js";
import { button, clock, disable, disabled, el, icon, kept, visible } from "./dom.js";
import { Drawers, spelled } from "./drawers.js";
import { Lyrics, sections } from "./lyrics.js";
import { equalGains, Player } from "./player.js";
import { judge, openGraph, reuse, send, TARGETS } from "./send.js";
import { Takes } from "./takes.js";
import { themed } from "./theme.js";
import { Wave } from "./wave.js";
import { languageName, number, say } from "./words.js";

const TILES = { cover: "sync", repaint: "pencil", extend: "arrows-h", layer: "plus", reference: "headphones" };
const MIN_HEIGHT = 56;
const EMPTY_HEIGHT = 112;
const WIDTH = 440;
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const widgets = new Set();

export class SongWidget {
  constructor(node) {
    this.node = node;
    this.songs = [];
    this.place = 0;
    this.marks = { a: null, b: null };
    this.progress = null;
    this.growing = 2;
    this.resting = false;
    this.player = new Player(
      () => this.transport(),
      () => this.move(),
    );
    this.root = el("div", { class: "ace ace-song", role: "region", tabindex: "-1", "data-capture-wheel": "true" });
    this.build();
    this.root.addEventListener("keydown", (event) => this.key(event));
    for (const event of ["pointerdown", "wheel"]) this.root.addEventListener(event, (news) => this.inside(event) && news.stopPropagation());
    new ResizeObserver(() => this.fit()).observe(this.root);
    themed(() => this.redraw());
    widgets.add(this);
    this.show(null);
  }

  /** A click belongs to the widget; the wheel only where there is something to scroll. */
  inside(event) {
    return event !== "wheel" || this.body.scrollHeight > this.body.clientHeight + 1;
  }

  dispose() {
    this.player.stop();
    widgets.delete(this);
  }

  // -- building ---------------------------------------------------------------------------------------------------------

  build() {
    this.status = el("div", { class: "ace-hidden", role: "status" });
    this.empty = el("div", { class: "ace-empty" }, this.emptyWave().canvas, el("span", { text: say("empty") }));
    this.note = el("div", { class: "ace-note warn", hidden: true }, icon("exclamation-triangle"), el("span", {}, el("strong", { text: say("testModel") }), " ", say("testHow")));
    this.failure = el("div", { class: "ace-note err", hidden: true }, icon("exclamation-triangle"), el("span", {}));
    this.title = el("span", { class: "ace-title" });
    this.count = el("span", { class: "ace-count" });
    this.before = button({ icon: "chevron-left", name: say("previous"), class: "ace-icon filled", press: () => this.choose(this.place - 1) });
    this.after = button({ icon: "chevron-right", name: say("next"), class: "ace-icon filled", press: () => this.choose(this.place + 1) });
    this.more = button({ icon: "ellipsis-v", name: say("more"), class: "ace-icon", press: () => this.menu(), "aria-expanded": "false" });
    this.large = button({ icon: "expand", name: say("expand"), class: "ace-icon ace-expand", press: () => this.expand() });
    const head = el("div", { class: "ace-head" }, this.before, this.count, this.after, this.title, this.large, this.more);
    this.choices = el("div", { class: "ace-menu", role: "menu", hidden: true });
    this.takes = new Takes((place) => this.choose(place));
    this.sections = el("div", { class: "ace-sections" });
    this.wave = new Wave({ knob: true });
    this.bubble = el("span", { class: "ace-bubble", hidden: true });
    this.slider = el("div", { class: "ace-slider", role: "slider", tabindex: "0", "aria-label": say("position"), "aria-valuemin": "0" }, this.wave.canvas, this.bubble);
    this.seeking();
    this.playing = button({ icon: "play", name: say("play"), class: "ace-play", press: () => this.player.toggle() });
    this.clock = el("span", { class: "ace-clock" }, el("strong"), el("span"));
    this.loop = button({ icon: "replay", name: say("loop"), class: "ace-icon", press: () => (this.player.loop = !this.player.loop) });
    this.swap = el("button", { type: "button", class: "ace-button line ace-swap", title: say("compare"), "aria-label": say("compare"), on: { click: () => this.compare() } });
    this.mute = button({ icon: "volume-up", name: say("mute"), class: "ace-icon", press: () => this.player.mute() });
    this.volume = el("input", { type: "range", min: "0", max: "1", step: "0.05", class: "ace-volume", "aria-label": say("volume"), on: { input: () => this.player.setVolume(Number(this.volume.value)) } });
    const transport = el("div", { class: "ace-transport" }, this.playing, this.clock, el("span", { class: "ace-space" }), this.loop, this.swap, this.mute, this.volume);
    this.lyrics = new Lyrics((seconds) => {
      this.player.seek(seconds);
      this.player.play();
    });
    this.scores = el("div", { class: "ace-scores" });
    this.facts = el("div", { class: "ace-facts" });
    this.tiles = el("div", { class: "ace-tiles" }, ...Object.entries(TILES).map(([kind, sign]) => el("button", { type: "button", class: "ace-tile", on: { click: (event) => this.act(event.currentTarget, () => send(kind, this.song)) } }, icon(sign), el("span", { text: say(kind) }))));
    this.actions = Object.fromEntries(
      [
        ["score", "star", () => this.listen()],
        ["lrc", "align-left", () => this.timed()],
        ["save", "save", () => this.keep()],
        ["reuse", "undo", () => reuse(this.song), "reused"],
        ["download", "download", () => download(this.song.file)],
      ].map(([name, sign, work, done]) => [name, button({ icon: sign, label: say(name), class: "ace-button line", press: (event) => this.act(event.currentTarget, work, done && say(done)) })]),
    );
    this.drawers = new Drawers((text, pressed) => this.copy(text, pressed));
    this.running = el(
      "div",
      { class: "ace-running", hidden: true },
      el("span", { class: "ace-ring", role: "progressbar", "aria-valuemin": "0", "aria-valuemax": "100" }),
      el("span", {}, el("strong", { text: say("running") }), el("span", { class: "ace-quiet" })),
      el("span", { class: "ace-space" }),
      button({ icon: "times", label: say("cancel"), class: "ace-button line", press: () => api.interrupt(this.progress?.prompt ?? null) }),
    );
    const one = (name, ...children) => el("div", { class: `ace-block ${name}` }, ...children);
    this.result = el(
      "div",
      { class: "ace-result" },
      one("head", head, this.choices),
      one("strip", this.takes.root),
      one("music", this.sections, this.slider),
      one("transport", transport),
      one("words", this.lyrics.root),
      one("scores", this.scores),
      one("facts", this.facts),
      one("send", this.tiles, el("div", { class: "ace-actions" }, ...Object.values(this.actions))),
      one("drawers", this.drawers.root),
    );
    this.body = el("div", { class: "ace-body" }, this.status, this.note, this.failure, this.empty, this.result, this.running);
    this.root.append(this.body, this.player.audio);
  }

  emptyWave() {
    this.quiet = new Wave({ class: "ace-empty-wave" });
    this.quiet.show(Array.from({ length: 38 }, (_, i) => 60 + 60 * Math.sin((i / 37) * Math.PI) * (0.6 + 0.4 * Math.sin(i * 1.7))));
    return this.quiet;
  }

  seeking() {
    const share = (event) => {
      const box = this.slider.getBoundingClientRect();
      return Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
    };
    const hover = (event) => {
      this.wave.hover = share(event);
      this.bubble.textContent = clock(this.wave.hover * this.seconds);
      this.bubble.style.left = `${this.wave.hover * 100}%`;
      visible(this.bubble, this.seconds > 0);
      this.wave.later();
    };
    this.slider.addEventListener("pointerdown", (event) => {
      this.slider.setPointerCapture(event.pointerId);
      this.player.seek(share(event) * this.seconds);
    });
    this.slider.addEventListener("pointermove", (event) => {
      hover(event);
      if (this.slider.hasPointerCapture(event.pointerId)) this.player.seek(share(event) * this.seconds);
    });
    this.slider.addEventListener("pointerleave", () => {
      this.wave.hover = null;
      visible(this.bubble, false);
      this.wave.later();
    });
  }

  // -- what is shown ----------------------------------------------------------------------------------------------------

  get song() {
    return this.songs[this.place];
  }

  get seconds() {
    return this.song?.peaks?.seconds ?? this.player.audio.duration ?? 0;
  }

  /** The outputs of the node after a run; nothing shows the empty frame. */
  show(output) {
    const files = output?.audio ?? [];
    const facts = (output?.songs ?? []).map((text) => JSON.parse(text));
    const same = files.length > 0 && JSON.stringify(files) === JSON.stringify(this.songs.map((song) => song.made));
    if (same) return;
    this.songs = files.map((file, place) => ({ file, made: file, facts: { scores: {}, ...facts[place] }, peaks: null }));
    this.marks = { a: null, b: null };
    visible(this.empty, !files.length);
    visible(this.result, files.length > 0);
    visible(this.failure, false);
    this.root.classList.toggle("ace-has-songs", files.length > 0);
    if (!files.length) return;
    this.takes.show(this.songs, this.best());
    this.choose(0, false);
    this.status.textContent = say("ready", number(files.length));
    this.measure();
    this.grow();
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

  best() {
    const totals = this.songs.map(({ facts: { scores } }) => {
      const given = [scores.alignment, scores.lm].filter((value) => typeof value === "number");
      return given.length ? given.reduce((sum, value) => sum + value, 0) / given.length : -1;
    });
    const top = Math.max(...totals);
    return top < 0 || this.songs.length < 2 ? -1 : totals.indexOf(top);
  }

  choose(place, keep = true) {
    if (place < 0 || place >= this.songs.length) return;
    this.place = place;
    const { facts, file } = this.song;
    this.player.load(file, { keep, gain: this.marks.a === null ? 1 : (this.gains?.[place] ?? 1) });
    this.takes.mark(place);
    const words = (facts.caption || file.filename).split("\n")[0];
    const title = facts.caption ? words.charAt(0).toUpperCase() + words.slice(1) : words;
    this.title.textContent = title;
    this.title.title = facts.caption || file.filename;
    this.root.setAttribute("aria-label", `${say("take", place + 1)}: ${title}`);
    visible(this.note, Boolean(facts.test));
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

  /** What can be done with this song, and why something cannot. */
  ready() {
    const { facts, file } = this.song;
    disable(this.actions.save, file.type === "output" && say("isSaved"));
    const sings = !facts.instrumental && facts.lyrics;
    disable(this.actions.lrc, !sings && say("needsLyrics"));
    for (const [place, kind] of Object.keys(TARGETS).entries()) this.tiles.children[place].title = say(kind);
  }

  outline() {
    const { facts } = this.song;
    this.wave.show(this.song.peaks?.levels ?? []);
    const parts = sections(facts.lines, this.seconds).filter(([start, end]) => end > start);
    visible(this.sections, parts.length > 0 && this.seconds > 0);
    this.sections.replaceChildren(
      ...parts.map(([start, end, name]) =>
        el("span", { title: name, style: { left: `${(start / this.seconds) * 100}%`, width: `${((end - start) / this.seconds) * 100}%` } }, el("span", { text: name })),
      ),
    );
    this.parts = parts;
    this.move();
  }

  words() {
    const { facts } = this.song;
    const shown = facts.lines?.length || (facts.lyrics && !facts.instrumental);
    visible(this.lyrics.root.parentElement, Boolean(shown));
    this.lyrics.show(facts.lines, facts.lyrics, facts.language);
  }

  judged() {
    const { alignment, lm } = this.song.facts.scores;
    const chips = [];
    for (const [name, tip, value] of [
      ["lyrics", "lyricsTip", alignment],
      ["match", "matchTip", lm],
    ]) {
      if (typeof value !== "number") continue;
      const halves = Math.round(value * 10);
      const stars = el("span", { class: "ace-stars", role: "img", "aria-label": say("stars", number(halves / 2, halves % 2)) });
      for (let star = 1; star <= 5; star++) stars.append(icon(halves >= 2 * star ? "star-fill" : halves === 2 * star - 1 ? "star-half-fill" : "star"));
      chips.push(el("div", { class: "ace-score", title: say(tip) }, el("span", { class: "ace-quiet", text: say(name) }), stars, el("strong", { text: number(value, 2) })));
    }
    this.scores.replaceChildren(...chips);
    visible(this.scores.parentElement, chips.length > 0);
  }

  told() {
    const { facts, peaks: outline } = this.song;
    const chips = [];
    const chip = (text) => text && chips.push(el("span", { class: "ace-chip", text }));
    const length = outline?.seconds || facts.duration;
    chip(length && clock(length));
    chip(facts.bpm && spelled("bpm", facts.bpm));
    chip(facts.keyscale);
    chip(facts.timesignature && spelled("timesignature", facts.timesignature));
    if (facts.instrumental) chip(say("instrumental"));
    else chip(facts.language && facts.language !== "unknown" && languageName(facts.language));
    if (facts.seed !== undefined)
      chips.push(el("button", { type: "button", class: "ace-chip", title: say("copySeed"), on: { click: (event) => this.copy(facts.seed, event.currentTarget) } }, el("span", { class: "ace-quiet", text: say("seed", facts.seed) }), icon("copy")));
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
    this.swap.replaceChildren(el("strong", { text: "A" }), a === null ? "" : ` ${name(a)} `, icon("arrow-right-arrow-left"), el("strong", { text: "B" }), b === null ? "" : ` ${name(b)}`);
    this.swap.title = a === null ? say("compare") : say("equal");
    this.move();
  }

  /** Where the song is: clock, waveform, running lyrics. */
  move() {
    const [time, whole] = [this.player.time, this.seconds];
    this.clock.firstChild.textContent = clock(time);
    this.clock.lastChild.textContent = ` / ${clock(whole)}`;
    this.wave.share = whole ? time / whole : 0;
    this.wave.later();
    this.lyrics.follow(time, !calm.matches);
    const now = this.parts?.findLastIndex(([start]) => start <= time) ?? -1;
    for (const [place, part] of [...this.sections.children].entries()) part.classList.toggle("now", place === now);
    this.slider.setAttribute("aria-valuemax", String(Math.round(whole)));
    this.slider.setAttribute("aria-valuenow", String(Math.round(time)));
    this.slider.setAttribute("aria-valuetext", say("minutes", clock(time), clock(whole)) + (now >= 0 ? `, ${this.parts[now][2]}` : ""));
  }

  redraw() {
    this.wave?.later();
    this.quiet?.later();
    if (this.songs.length) this.takes.show(this.songs, this.best());
    if (this.songs.length) this.takes.mark(this.place);
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

  async keep() {
    const song = this.song;
    const files = await save(song.file);
    song.file = files[0];
    flash(this.actions.save, say("saved"));
    this.ready();
  }

  async listen() {
    const song = this.song;
    this.status.textContent = say("judging");
    const { scores, lines } = await judge(song);
    song.facts = { ...song.facts, lines, scores: { ...song.facts.scores, ...scores } };
    if (song !== this.song) return;
    this.outline();
    this.words();
    this.judged();
    this.takes.show(this.songs, this.best());
    this.takes.mark(this.place);
    this.grow();
  }

  /** Timed lyrics as a file; listened for first where nobody has. */
  async timed() {
    if (!this.song.facts.lines?.length) await this.listen();
    const stamp = (seconds) => `${String(Math.floor(seconds / 60)).padStart(2, "0")}:${(seconds % 60).toFixed(2).padStart(5, "0")}`;
    const text = this.lyrics.sung.map((line) => `[${stamp(line.start)}]${line.text}\n`).join("");
    const link = el("a", { href: URL.createObjectURL(new Blob([text], { type: "text/plain" })), download: this.song.file.filename.replace(/\.\w+$/, ".lrc") });
    link.click();
    URL.revokeObjectURL(link.href);
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
    const entry = (name, sign, press) => el("button", { type: "button", role: "menuitem", class: "ace-entry", on: { click: press } }, icon(sign), el("span", { text: name }));
    this.choices.replaceChildren(
      entry(say("zip"), "download", () => this.chosen(async () => download(await zip(this.songs.map((song) => song.file))))),
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
    const dialog = el("dialog", { class: "ace ace-song ace-dialog", "aria-label": this.title.textContent }, this.body);
    dialog.append(button({ icon: "times", name: say("close"), class: "ace-icon ace-close", press: () => dialog.close() }));
    dialog.addEventListener("keydown", (event) => event.key !== "Escape" && this.key(event));
    dialog.addEventListener("close", () => {
      this.root.prepend(this.body);
      dialog.remove();
      this.large.focus();
    });
    document.body.append(dialog);
    dialog.dataset.size = "full";
    dialog.showModal();
  }

  key(event) {
    if (!this.song || event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches("input, button, [role=menuitem]");
    const step = event.shiftKey ? 1 : 5;
    const line = (by) => {
      const to = this.lyrics.step(by, this.player.time);
      if (to !== null) this.player.seek(to);
    };
    const keys = {
      " ": () => this.player.toggle(),
      k: () => this.player.toggle(),
      ArrowLeft: () => (event.target.role === "radio" ? this.choose(this.place - 1) : this.player.seek(this.player.time - step)),
      ArrowRight: () => (event.target.role === "radio" ? this.choose(this.place + 1) : this.player.seek(this.player.time + step)),
      ArrowUp: () => line(-1),
      ArrowDown: () => line(1),
      Home: () => this.player.seek(0),
      End: () => this.player.seek(this.seconds),
      PageUp: () => this.choose(this.place - 1),
      "[": () => this.choose(this.place - 1),
      PageDown: () => this.choose(this.place + 1),
      "]": () => this.choose(this.place + 1),
      l: () => (this.player.loop = !this.player.loop),
      a: () => this.songs.length > 1 && this.compare(true),
      x: () => this.songs.length > 1 && this.compare(),
      m: () => this.player.mute(),
      "+": () => this.player.louder(0.05),
      "-": () => this.player.louder(-0.05),
      s: () => this.act(this.actions.save, () => this.keep()),
      "?": () => this.menu(),
      Delete: () => {},
      Backspace: () => {},
    };
    if (event.key === "Escape") {
      if (!this.choices.hidden) this.menu();
      else document.activeElement?.blur();
      event.stopPropagation();
      return;
    }
    const press = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key] ?? (/^[1-8]$/.test(event.key) ? () => this.choose(Number(event.key) - 1) : null);
    if (!press) return;
    event.stopPropagation(); // the canvas would act on it too
    if (typing && [" ", "Enter"].includes(event.key)) return; // presses the button
    event.preventDefault();
    const focused = event.target.role === "radio";
    press();
    if (focused) this.takes.root.children[this.place].focus();
  }

  // -- a run is going on ------------------------------------------------------------------------------------------------

  /** `progress`: `{prompt, done, total}`, or null when the run has ended. */
  run(progress) {
    this.progress = progress;
    visible(this.running, progress !== null);
    if (progress === null) return;
    visible(this.failure, false);
    const [ring, words] = this.running.children;
    const share = progress.total ? progress.done / progress.total : 0;
    ring.style.setProperty("--ace-share", `${share * 100}%`);
    ring.setAttribute("aria-valuenow", String(Math.round(share * 100)));
    words.lastChild.textContent = progress.total ? say("step", number(progress.done), number(progress.total)) : "";
    ring.setAttribute("aria-label", words.textContent);
  }

  // -- size -------------------------------------------------------------------------------------------------------------

  /** The least height that the node must give; it may be smaller than what there is to show. */
  minHeight() {
    return this.songs.length ? MIN_HEIGHT : EMPTY_HEIGHT;
  }

  /** Only a classic node decides how high the widget is; elsewhere it is as high as its content. */
  fit() {
    const { clientWidth: width, clientHeight: height } = this.root;
    if (!width) return;
    const fixed = this.fixed();
    const small = fixed ? width < 320 || height < 200 : width < 240;
    this.root.dataset.size = small ? "compact" : fixed && height < 420 ? "medium" : "full";
    this.root.classList.toggle("ace-fixed", fixed);
    this.grow();
  }

  fixed() {
    return !window.LiteGraph?.vueNodesMode && !app.graph?.extra?.linearMode;
  }

  /** Makes the node large enough once, when the first songs come and it can be seen. */
  grow() {
    if (!this.growing || this.resting || !this.songs.length || !this.node.setSize || !this.root.clientWidth) return;
    const [width, height] = this.node.size;
    if (!this.fixed() || width < WIDTH) {
      this.node.setSize([Math.max(WIDTH, width), height]);
      if (!this.fixed()) this.growing = 0;
    } else {
      this.root.dataset.size = "full";
      this.root.classList.remove("ace-fixed"); // its own height, not that of the node
      const wanted = this.body.offsetHeight;
      this.root.classList.add("ace-fixed");
      const missing = wanted - this.root.clientHeight;
      if (missing > 0) this.node.setSize([width, height + missing]);
      this.growing--; // once more when that has been drawn
    }
    app.graph?.setDirtyCanvas(true, true);
    this.resting = this.growing > 0;
    if (!this.resting) return;
    setTimeout(() => {
      this.resting = false;
      this.grow();
    }, 50);
  }
}

function flash(pressed, text) {
  const label = pressed.querySelector("span");
  if (!label || pressed.dataset.flash) return;
  const before = label.textContent;
  pressed.dataset.flash = "true";
  label.textContent = text;
  setTimeout(() => {
    label.textContent = before;
    delete pressed.dataset.flash;
  }, 2000);
}

/** Tells all widgets of the open graph how far a run is. */
export function followRuns() {
  let prompt = null;
  const all = (call) => {
    for (const widget of widgets) if (widget.node.graph) call(widget);
  };
  api.addEventListener("execution_start", ({ detail }) => {
    prompt = detail.prompt_id;
    all((widget) => widget.run({ prompt, done: 0, total: 0 }));
  });
  api.addEventListener("progress", ({ detail }) => {
    if (detail.prompt_id === prompt) all((widget) => widget.run({ prompt, done: detail.value, total: detail.max }));
  });
  for (const event of ["execution_success", "execution_interrupted", "execution_error"])
    api.addEventListener(event, ({ detail }) => {
      if (detail.prompt_id !== prompt) return;
      all((widget) => {
        widget.run(null);
        if (event === "execution_error" && widget.songs.length) widget.fail(say("runFailed"));
      });
    });
}
