// Playing one song of several: seek, loop, volume that is remembered, equal loudness. Only one player sounds at a time.

import { address } from "./api.js";
import { kept } from "./dom.js";

let sounding = null;
const hearers = new Set();

/** Calls back with the file that is heard, or null, whenever that changes. */
export function onHeard(listener) {
  hearers.add(listener);
}

/** The file that is heard now, of whatever player. */
export function heard() {
  return sounding?.playing ? sounding.item : null;
}

export class Player {
  /** `changed` is called when something to be seen has changed, `moved` while it plays. */
  constructor(changed, moved) {
    this.audio = new Audio();
    this.audio.preload = "metadata";
    this.moved = moved;
    this.gain = 1;
    this.item = null;
    this.missing = false;
    this.volume = kept.get("volume", 0.8);
    this.muted = false;
    for (const event of ["play", "pause", "ended", "loadedmetadata"]) this.audio.addEventListener(event, changed);
    for (const event of ["seeked", "timeupdate"]) this.audio.addEventListener(event, moved);
    this.audio.addEventListener("play", () => {
      if (sounding && sounding !== this) sounding.audio.pause();
      sounding = this;
      this.tick();
    });
    for (const event of ["play", "pause", "ended"])
      this.audio.addEventListener(event, () => hearers.forEach((listener) => listener(heard())));
    this.audio.addEventListener("error", () => {
      this.missing = this.item !== null;
      changed();
    });
    this.changed = changed;
  }

  tick() {
    this.moved();
    if (!this.audio.paused) requestAnimationFrame(() => this.tick());
  }

  /** Another song; position and whether it plays stay where `keep` says so. */
  load(item, { keep = false, gain = 1 } = {}) {
    const [time, playing] = [this.audio.currentTime, !this.audio.paused];
    this.item = item;
    this.gain = gain;
    this.missing = false;
    this.audio.src = address(item);
    this.level();
    if (keep && time) this.audio.addEventListener("loadedmetadata", () => this.seek(time), { once: true });
    if (keep && playing) this.play();
  }

  get playing() {
    return !this.audio.paused;
  }

  get time() {
    return this.audio.currentTime;
  }

  toggle() {
    if (this.playing) this.audio.pause();
    else this.play();
  }

  play() {
    this.audio.play().catch(() => this.changed()); // taken back by another load, or not allowed yet
  }

  stop() {
    this.audio.pause();
  }

  seek(seconds) {
    const end = Number.isFinite(this.audio.duration) ? this.audio.duration : seconds;
    this.audio.currentTime = Math.max(0, Math.min(end, seconds));
    this.moved();
  }

  set loop(yes) {
    this.audio.loop = yes;
    this.changed();
  }

  get loop() {
    return this.audio.loop;
  }

  louder(by) {
    this.setVolume(Math.round((this.volume + by) * 20) / 20);
  }

  setVolume(value) {
    this.volume = Math.max(0, Math.min(1, value));
    this.muted = false;
    kept.set("volume", this.volume);
    this.level();
  }

  mute() {
    this.muted = !this.muted;
    this.level();
  }

  level() {
    this.audio.volume = Math.min(1, this.volume * this.gain);
    this.audio.muted = this.muted;
    this.changed?.();
  }
}

/** What makes each of several songs as loud as the quietest; nothing is ever turned up, so nothing clips. */
export function equalGains(loudness) {
  const heard = loudness.filter((db) => db !== null && db > -100);
  const quietest = Math.min(...heard);
  return loudness.map((db) => (db === null || db <= -100 || heard.length < 2 ? 1 : 10 ** ((quietest - db) / 20)));
}
