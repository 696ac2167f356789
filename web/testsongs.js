// The test songs of a training run, one below the other: the same words and seed, so what changes is what was learned.

import { download, peaks } from "./api.js";
import { button, clock, disable, el, visible } from "./dom.js";
import { equalGains, Player } from "./player.js";
import { Wave } from "./wave.js";
import { number, say } from "./words.js";

export class TestSongs {
  constructor() {
    this.rows = [];
    this.player = new Player(
      () => this.mark(),
      () => this.mark(),
    );
    this.none = el("p", { class: "ace-quiet", text: say("noTestSongs") });
    this.list = el("div", { class: "ace-tests", role: "list" });
    this.root = el("div", {}, this.none, this.list);
    this.root.addEventListener("keydown", (event) => {
      const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      const now = this.rows.findIndex((row) => row.root.contains(document.activeElement));
      const next = this.rows[now + by];
      if (!by || now < 0 || !next) return;
      event.preventDefault();
      next.play.focus();
      if (this.player.playing) this.choose(next);
    });
  }

  /** `songs`: `[{step, file}]`, oldest first. */
  show(songs) {
    for (const { step, file } of songs.slice(this.rows.length)) this.add(step, file);
    visible(this.none, !songs.length);
  }

  clear() {
    this.player.stop();
    this.rows = [];
    this.list.replaceChildren();
  }

  add(step, file) {
    const wave = new Wave({ class: "ace-test-wave" });
    const length = el("span", { class: "ace-quiet" });
    const row = { step, file, wave, peaks: null };
    const name = say("atStepSong", number(step));
    row.play = button({
      icon: "play",
      name: `${say("play")}: ${name}`,
      class: "ace-icon filled ace-round",
      press: () => this.press(row),
    });
    row.root = el(
      "div",
      { class: "ace-test", role: "listitem" },
      row.play,
      el("strong", { text: name }),
      wave.canvas,
      length,
      button({ icon: "download", name: `${say("download")}: ${name}`, class: "ace-icon", press: () => download(file) }),
    );
    this.rows.push(row);
    this.list.append(row.root);
    peaks(file).then(
      (found) => {
        row.peaks = found;
        length.textContent = clock(found.seconds);
        wave.show(found.levels);
      },
      () => disable(row.play, say("gone")),
    );
  }

  press(row) {
    if (row === this.playing) this.player.toggle();
    else {
      this.choose(row);
      this.player.play();
    }
  }

  /** Another one at the same place and equally loud. */
  choose(row) {
    const known = this.rows.filter((other) => other.peaks);
    const gains = equalGains(known.map((other) => other.peaks.loudness_db));
    const keep = Boolean(this.playing);
    this.playing = row;
    this.player.load(row.file, { keep, gain: gains[known.indexOf(row)] ?? 1 });
    this.mark();
  }

  at(step) {
    const row = this.rows.find((other) => other.step === step);
    if (row) this.press(row);
  }

  mark() {
    for (const row of this.rows) {
      const here = row === this.playing;
      row.play.firstChild.className = `pi pi-${here && this.player.playing ? "pause" : "play"}`;
      row.play.classList.toggle("on", here && this.player.playing);
      const share = here && row.peaks ? this.player.time / row.peaks.seconds : 0;
      if (share !== row.wave.share) {
        row.wave.share = share;
        row.wave.later();
      }
    }
  }
}
