// A region on a waveform: chosen by hand and ear, written into the inputs of its node, which hold it.

import { peaks, seam, times } from "./api.js";
import { kept, visible } from "./dom.js";
import { meterOf, snapped, stepped, View } from "./grid.js";
import { Player } from "./player.js";
import { handle, press } from "./region_hand.js";
import { build } from "./region_parts.js";
import { RegionScreen } from "./region_screen.js";
import { Target } from "./region_target.js";
import { say } from "./words.js";

const SHORTEST = 0.1;
const LOOK_AGAIN = 400;
const HEADROOM = 0.15;

export class RegionWidget {
  constructor(node) {
    this.node = node;
    this.target = new Target(node, () => this.read());
    this.view = new View();
    this.key = "";
    this.item = null;
    this.levels = [];
    this.seconds = 0;
    this.meter = null;
    this.given = null;
    this.lines = [];
    this.seam = { inside: 0, outside: 0 };
    this.edges = "";
    this.value = { start: 0, end: 0 };
    this.loop = true;
    this.how = kept.get("snap", "bar");
    this.strip = 0;
    this.player = new Player(
      () => this.screen?.playing(),
      () => this.move(),
    );
    Object.assign(this, build(this));
    this.screen = new RegionScreen(this);
    this.root = this.screen.root;
    this.root.addEventListener("keydown", (event) => press(this, event));
    this.root.addEventListener("pointerdown", (event) => event.stopPropagation());
    handle(this);
    this.timer = setInterval(() => this.root.isConnected && this.refresh(), LOOK_AGAIN);
    this.screen.draw();
  }

  dispose() {
    clearInterval(this.timer);
    this.player.stop();
  }

  // -- what it is a region of -------------------------------------------------------------------------------------------

  /** Looks whether the graph tells of another recording or tempo, or another value came without a word. */
  refresh() {
    const item = this.target.recording();
    const key = JSON.stringify([item, this.target.told()]);
    if (key !== this.key) this.load(item, key);
    else this.read();
  }

  async load(item, key) {
    const another = JSON.stringify(item) !== JSON.stringify(this.item);
    [this.key, this.item] = [key, item];
    if (another) {
      this.given = null;
      this.player.stop();
      [this.levels, this.seconds, this.view] = [[], 0, new View()];
      visible(this.failure, false);
      if (item) this.player.load(item);
    }
    if (!item) return this.screen.draw();
    const known = await this.target.known(item);
    if (key !== this.key) return; // the graph has told something else meanwhile
    [this.lines, this.meter] = [known.lines.filter(([start, end]) => end > start), known.meter ?? this.given];
    try {
      const found = await peaks(item); // which remembers
      if (key !== this.key) return;
      [this.levels, this.seconds] = [found.levels, found.seconds];
    } catch (error) {
      this.screen.fail(error.message);
    }
    this.edges = "";
    this.read(true);
    this.screen.grow();
  }

  /** Takes over what stands in the inputs. */
  read(anyway = false) {
    if (!this.item) return;
    const { start, end } = this.target.read(this.seconds);
    const edges = JSON.stringify(this.target.edges());
    if (!anyway && start === this.value.start && end === this.value.end && edges === this.edges) return;
    this.value = { start, end };
    this.reach();
    this.screen.draw();
    if (edges === this.edges) return;
    this.edges = edges;
    seam(this.target.edges()).then(
      (found) => {
        this.seam = found;
        this.screen.draw();
      },
      (error) => this.screen.fail(error.message),
    );
  }

  /** What there is to see: the recording, what is added, and where that can go on. */
  reach() {
    const { start, end } = this.value;
    const room = this.target.kind === "added" ? HEADROOM * this.seconds : 0;
    this.view.reach(Math.min(0, start) - (start < 0 ? room : 0), Math.max(this.seconds, end) + room);
  }

  /** The tempo of a recording that nobody knows it of. */
  giveTempo(text) {
    const bpm = Number(text.replace(",", "."));
    if (!(bpm >= 30 && bpm <= 300)) return;
    this.meter = this.given = meterOf(bpm, "");
    this.screen.draw();
  }

  // -- choosing ---------------------------------------------------------------------------------------------------------

  /** Where edges may snap to by lines: where each begins and ends. */
  get moments() {
    return [0, this.seconds, ...this.lines.flatMap(([start, end]) => [start, end])];
  }

  snap(time) {
    const near = snapped(time, this.how, this.meter, this.moments);
    const end = this.target.kind === "part" && Math.abs(time - this.seconds) < Math.abs(time - near);
    return end ? this.seconds : near;
  }

  /** Shows and writes a region, within what makes sense. */
  put({ start, end }, how) {
    if (this.target.kind === "added") {
      this.value = { start: Math.min(0, start), end: Math.max(this.seconds, end) };
    } else {
      const shortest = this.meter && this.how !== "off" ? Math.min(0.5, this.meter.beat) : SHORTEST;
      const low = Math.max(0, Math.min(start, this.seconds - shortest));
      const high = Math.min(this.seconds, end);
      if (how === "move") {
        const long = Math.min(this.seconds, end - start);
        const from = Math.max(0, Math.min(start, this.seconds - long));
        this.value = { start: from, end: from + long };
      } else if (how === "start") this.value = { start: Math.min(low, high - shortest), end: high };
      else this.value = { start: low, end: Math.max(high, low + shortest) };
    }
    this.written();
  }

  written() {
    this.target.write(this.value, this.seconds);
    this.screen.draw();
  }

  /** The end of a change. */
  commit() {
    this.reach();
    this.screen.tell();
    this.screen.draw();
  }

  change(value, how) {
    this.put(value, how);
    this.commit();
  }

  everything() {
    this.change({ start: 0, end: this.seconds });
  }

  /** One or more steps with the keys; `fine`: in seconds, without snapping. */
  nudge(edge, by, fine) {
    const to = (time) => (fine ? time + by : stepped(time, by, this.how, this.meter, this.moments));
    const { start, end } = this.value;
    if (edge === "start") this.change({ start: to(start), end }, "start");
    else if (edge === "end") this.change({ start, end: to(end) }, "end");
    else this.change({ start: to(start), end: to(start) + end - start }, "move");
  }

  mark(edge) {
    this.change({ ...this.value, [edge]: this.snap(this.player.time) }, edge);
  }

  /** The span of a lyric line; `more` keeps what is chosen already. */
  choose([start, end], more) {
    const { start: low, end: high } = this.value;
    this.change(more ? { start: Math.min(low, start), end: Math.max(high, end) } : { start, end });
  }

  /** What somebody wrote into one of the fields: a time, or a bar. */
  async type(edge, text) {
    try {
      const found = await times(text, this.meter);
      this.change({ ...this.value, [edge]: found[edge] ?? this.seconds }, edge);
      visible(this.failure, false);
    } catch (error) {
      this.screen.fail(error.message);
    }
    this.screen.draw();
  }

  /** Adds to an extension: bars, or seconds. */
  grow(count, bars) {
    const { start, end } = this.value;
    this.change({ start, end: end + count * (bars ? this.meter.bar : 1) });
  }

  setSnap(how) {
    if (this.screen.unusable(how)) return;
    this.how = how;
    kept.set("snap", how);
    this.screen.draw();
  }

  // -- hearing ----------------------------------------------------------------------------------------------------------

  /** The stretch that loops: what of the region sounds already; of an extension the last seconds before it. */
  get heard() {
    const { start, end } = this.value;
    if (this.target.kind === "part") return { start: Math.max(0, start), end: Math.min(this.seconds, end) };
    return { start: Math.max(0, this.seconds - 4), end: this.seconds };
  }

  play() {
    const { start, end } = this.heard;
    const outside = this.player.time < start - 0.05 || this.player.time >= end - 0.05;
    if (!this.player.playing && this.loop && outside) this.player.seek(start);
    this.player.toggle();
  }

  setLoop(yes) {
    this.loop = yes;
    this.screen.playing();
  }

  seek(time) {
    this.player.seek(Math.max(0, Math.min(this.seconds, time)));
  }

  move() {
    if (!this.screen) return;
    const { start, end } = this.heard;
    const { audio } = this.player;
    if (this.loop && audio.ended) {
      audio.currentTime = start;
      this.player.play();
    } else if (this.loop && this.player.playing && this.player.time >= end && end > start) audio.currentTime = start;
    this.screen.later();
  }

  // -- looking ----------------------------------------------------------------------------------------------------------

  zoom(factor, time = (Math.max(this.view.low, this.value.start) + Math.min(this.view.high, this.value.end)) / 2) {
    this.view.zoom(factor, Math.max(this.view.start, Math.min(this.view.end, time)));
    this.screen.draw();
  }

  /** The region with something around it. */
  zoomTo() {
    const { start, end } = this.value;
    const around = (end - start) * 0.25;
    this.view.show(start - around, end + around);
    this.screen.draw();
  }

  fit() {
    this.view.fit();
    this.screen.draw();
  }

  pan(by) {
    this.view.pan(by);
    this.screen.draw();
  }

  /** Moves the view so that it begins there. */
  look(start) {
    this.view.show(start, start + this.view.span);
    this.screen.draw();
  }

  /** A pointer beyond the edge takes the view with it. */
  follow(share) {
    this.pan(this.view.span * 0.02 * Math.sign(share - 0.5));
  }

  hover(share) {
    this.screen.hover(share);
  }

  expand() {
    this.screen.expand(say("region"));
  }
}
