// The player at the foot of the songbook; above it, while songs are selected, what can be done with them.

import { peaks } from "./api.js";
import { button, clock, disable, el, titleOf, visible } from "./dom.js";
import { Player } from "./player.js";
import { Wave } from "./wave.js";
import { megabytes, number, say } from "./words.js";

export class SongFoot {
  /** `book`: `step(by)`, `ended()`, `moved()`, and for a selection `zip(button)`, `favourSelected()`, `trash()`, `unselect()`. */
  constructor(book) {
    this.song = null;
    this.player = new Player(
      () => this.changed(),
      () => this.move(),
    );
    this.player.audio.addEventListener("ended", () => book.ended());
    this.book = book;
    const sign = (name, label, press) => button({ icon: name, name: say(label), class: "ace-icon", press });
    this.title = el("strong", { class: "ace-cut" });
    this.clock = el("span", { class: "ace-quiet ace-time" });
    this.before = sign("step-backward", "songBefore", () => book.step(-1));
    this.playing = button({ icon: "play", name: say("play"), class: "ace-play", press: () => this.player.toggle() });
    this.after = sign("step-forward", "songAfter", () => book.step(1));
    this.mute = sign("volume-up", "mute", () => this.player.mute());
    this.wave = new Wave({ class: "ace-foot-wave" });
    const slider = { role: "slider", tabindex: "0", "aria-label": say("position"), "aria-valuemin": "0" };
    this.slider = el("div", { class: "ace-foot-slider", ...slider }, this.wave.canvas);
    const seek = (event) => {
      const box = this.slider.getBoundingClientRect();
      this.player.seek(Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) * this.seconds);
    };
    this.slider.addEventListener("pointerdown", (event) => {
      this.slider.setPointerCapture(event.pointerId);
      seek(event);
    });
    this.slider.addEventListener("pointermove", (event) => this.slider.hasPointerCapture(event.pointerId) && seek(event));
    this.slider.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -5, ArrowRight: 5 }[event.key];
      if (!by || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      this.player.seek(this.player.time + by);
    });
    this.count = el("strong", {});
    this.zip = button({ icon: "download", label: "ZIP", class: "ace-button", press: (event) => book.zip(event.currentTarget) });
    this.bar = el(
      "div",
      { class: "ace-selection", hidden: true },
      this.count,
      el("span", { class: "ace-space" }),
      this.zip,
      button({ icon: "heart", name: say("favourite"), class: "ace-icon filled", press: () => book.favourSelected() }),
      button({ icon: "trash", name: say("delete"), class: "ace-icon filled", press: () => book.trash() }),
      button({ icon: "times", name: say("unselect"), class: "ace-icon", press: () => book.unselect() }),
    );
    this.music = el(
      "div",
      { class: "ace-foot-music", hidden: true },
      el("div", { class: "ace-foot-line" }, this.title, el("span", { class: "ace-space" }), this.clock),
      el("div", { class: "ace-foot-line" }, this.before, this.playing, this.after, this.slider, this.mute),
    );
    this.root = el("div", { class: "ace-foot" }, this.bar, this.music, this.player.audio);
  }

  get seconds() {
    return this.outline?.seconds || this.player.audio.duration || 0;
  }

  async load(song) {
    this.song = song;
    this.outline = null;
    visible(this.music, true);
    this.title.textContent = titleOf(song.caption, song.file.filename);
    this.title.title = song.caption || song.file.filename;
    this.wave.show([]);
    this.player.load(song.file);
    this.player.play();
    const outline = await peaks(song.file).catch(() => null);
    if (this.song !== song || !outline) return;
    this.outline = outline;
    this.wave.show(outline.levels);
    this.move();
  }

  /** Lets go of the song, so that its file can be moved. */
  unload() {
    this.song = null;
    this.player.stop();
    this.player.item = null;
    this.player.audio.removeAttribute("src");
    this.player.audio.load();
    visible(this.music, false);
  }

  changed() {
    const { playing, missing } = this.player;
    const sign = playing ? "pause" : "play";
    this.playing.firstChild.className = `pi pi-${sign}`;
    this.playing.setAttribute("aria-label", say(sign));
    this.playing.title = say(sign);
    disable(this.playing, missing && say("gone"));
    this.title.classList.toggle("ace-gone", missing);
    const silent = this.player.muted || this.player.volume === 0;
    this.mute.firstChild.className = `pi pi-volume-${silent ? "off" : "up"}`;
    this.mute.setAttribute("aria-pressed", String(this.player.muted));
    this.book.moved();
  }

  move() {
    const [time, whole] = [this.player.time, this.seconds];
    this.wave.follow(whole ? time / whole : 0);
    this.book.moved();
    const told = `${clock(time)} / ${clock(whole)}`;
    if (told === this.clock.textContent) return; // seconds are written once a second
    this.clock.textContent = told;
    this.slider.setAttribute("aria-valuemax", String(Math.round(whole)));
    this.slider.setAttribute("aria-valuenow", String(Math.round(time)));
    this.slider.setAttribute("aria-valuetext", say("minutes", clock(time), clock(whole)));
  }

  /** `bytes` of the songs that are selected, where that is known. */
  select(count, bytes) {
    visible(this.bar, count > 0);
    this.count.textContent = say("selected", number(count));
    this.zip.lastChild.textContent = bytes ? `ZIP, ${megabytes(bytes)}` : "ZIP";
  }
}
