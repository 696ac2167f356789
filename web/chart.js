// The loss of a training run as a curve: each report faint, its average strong, test songs and held-out songs as dots.

import { el } from "./dom.js";
import { number, say } from "./words.js";

const LINES = 4;
const ROUND = [1, 2, 5, 10];
const LEFT = 44;
const RIGHT = 14;
const TOP = 12;
const BOTTOM = 24;
const PAUSE = 250;

/** An average that is right from the first value on: [step, value] of each report that has one. */
export function averaged(steps, smoothing) {
  let [total, weight] = [0, 0];
  return steps.map(({ step, loss }) => {
    total += (1 - smoothing) * (loss - total);
    weight += (1 - smoothing) * (1 - weight);
    return [step, total / weight];
  });
}

/** How far apart round numbers stand, so that about four of them lie in a stretch. */
function apart(stretch) {
  const power = 10 ** Math.floor(Math.log10(stretch / LINES));
  return ROUND.find((by) => by * power >= stretch / LINES) * power;
}

/** The round numbers from `low` to `high` that are multiples of `step`. */
export function marks(low, high, step = apart(high - low)) {
  const first = Math.ceil(low / step - 1e-9);
  const count = Math.floor(high / step + 1e-9) - first + 1;
  return Array.from({ length: count }, (_, place) => (first + place) * step);
}

export class LossChart {
  /** `picked` is called with a test song that is pressed. */
  constructor(picked) {
    this.smoothing = 0.9;
    this.log = false;
    this.steps = [];
    this.songs = [];
    this.looks = [];
    this.last = 1;
    this.at = null;
    this.canvas = el("canvas", { class: "ace-chart-canvas" });
    this.told = el("span", { class: "ace-bubble", hidden: true });
    this.root = el("div", { class: "ace-chart", role: "img", tabindex: "0" }, this.canvas, this.told);
    const place = (event) => event.clientX - this.canvas.getBoundingClientRect().left;
    this.root.addEventListener("pointermove", (event) => this.point(this.stepAt(place(event))));
    this.root.addEventListener("pointerleave", () => this.point(null));
    this.root.addEventListener("click", (event) => {
      const near = this.songs.find(({ step }) => Math.abs(this.x(step) - place(event)) < 12);
      if (near) picked(near);
    });
    this.root.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!by || !this.steps.length) return;
      event.preventDefault();
      const now = this.at === null ? this.steps.length : this.steps.findIndex(({ step }) => step === this.at);
      this.point(this.steps[Math.max(0, Math.min(this.steps.length - 1, now + by))].step);
    });
    this.root.addEventListener("blur", () => this.point(null));
    new ResizeObserver(() => this.draw()).observe(this.root);
  }

  /** `steps`, `looks` (held-out songs) and `songs` are records; `last`: the step at which the run ends. */
  show({ steps, looks, songs, last }) {
    this.steps = steps.filter(({ loss }) => typeof loss === "number");
    this.looks = looks;
    this.songs = songs;
    this.last = Math.max(1, last);
    this.later();
  }

  /** Draws soon, however often it is asked to. */
  later() {
    this.waiting ??= setTimeout(
      () => {
        this.waiting = null;
        this.draw();
      },
      this.drawn ? PAUSE : 0,
    );
  }

  point(step) {
    this.at = step;
    this.draw();
  }

  stepAt(x) {
    if (!this.steps.length) return null;
    const wanted = ((x - LEFT) / (this.width - LEFT - RIGHT)) * this.last;
    return this.steps.reduce(
      (best, { step }) => (Math.abs(step - wanted) < Math.abs(best - wanted) ? step : best),
      this.steps[0].step,
    );
  }

  x(step) {
    return LEFT + (step / this.last) * (this.width - LEFT - RIGHT);
  }

  y(loss) {
    const of = (value) => (this.log ? Math.log(Math.max(value, 1e-6)) : value);
    const share = (of(loss) - of(this.low)) / (of(this.high) - of(this.low) || 1);
    return TOP + (1 - share) * (this.height - TOP - BOTTOM);
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.root;
    if (!width || !height) return;
    this.drawn = true;
    [this.width, this.height] = [width, height];
    const scale = Math.min(3, (window.devicePixelRatio || 1) * 1.5);
    [this.canvas.width, this.canvas.height] = [Math.round(width * scale), Math.round(height * scale)];
    const pen = this.canvas.getContext("2d");
    const style = getComputedStyle(this.canvas);
    const colour = (name) => style.getPropertyValue(`--ace-${name}`).trim();
    pen.scale(scale, scale);
    pen.font = `12px ${style.fontFamily}`;
    const smooth = averaged(this.steps, this.smoothing);
    this.span();
    this.axes(pen, style.color, this.steps.length > 0);
    const raw = this.steps.map(({ step, loss }) => [step, loss]);
    this.line(pen, thinned(raw, width), colour("model"), 1, 0.35);
    this.line(pen, thinned(smooth, width), colour("model"), 2.5, 1);
    for (const { step, loss } of this.looks) this.dot(pen, this.x(step), this.y(loss), colour("score"), 3.5);
    for (const { step } of this.songs) this.song(pen, this.x(step), colour("audio"));
    const now = smooth.at(-1);
    if (now) this.dot(pen, this.x(now[0]), this.y(now[1]), colour("model"), 4);
    this.hover(pen, style.color, smooth);
    const first = smooth[0];
    this.root.setAttribute(
      "aria-label",
      now ? say("lossSentence", number(first[1], 3), number(now[1], 3), number(now[0])) : say("noCurve"),
    );
  }

  /** The losses that fit in. */
  span() {
    const all = [...this.steps, ...this.looks].map(({ loss }) => loss).sort((one, other) => one - other);
    const most = all[Math.min(all.length - 1, Math.floor(all.length * 0.99))] ?? 1; // one wild step is no reason to see nothing
    this.low = this.log ? (all[0] ?? 0.1) : Math.min(all[0] ?? 0, most * 0.9);
    this.high = Math.max(most, this.low * 1.05);
  }

  axes(pen, ink, told) {
    pen.fillStyle = ink;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    const step = apart(this.high - this.low);
    const digits = this.log ? (this.low < 1 ? 3 : 2) : Math.max(0, -Math.floor(Math.log10(step)));
    for (const loss of this.log ? this.ratios() : marks(this.low, this.high, step)) {
      pen.globalAlpha = 0.09;
      pen.fillRect(LEFT, this.y(loss), this.width - LEFT - RIGHT, 1);
      pen.globalAlpha = 0.68;
      if (told) pen.fillText(number(loss, digits), LEFT - 8, this.y(loss));
    }
    pen.textBaseline = "alphabetic";
    for (const at of marks(0, this.last, Math.max(1, apart(this.last)))) {
      pen.textAlign = at === 0 ? "left" : at === this.last ? "right" : "center";
      pen.fillText(number(at), this.x(at), this.height - 6);
    }
    pen.globalAlpha = 1;
  }

  /** Losses that stand equally far apart on a logarithmic axis, both ends among them. */
  ratios() {
    return Array.from({ length: LINES }, (_, line) => this.low * (this.high / this.low) ** (line / (LINES - 1)));
  }

  line(pen, points, colour, width, alpha) {
    pen.beginPath();
    for (const [step, loss] of points) pen.lineTo(this.x(step), Math.max(TOP - 8, this.y(loss)));
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.lineJoin = "round";
    pen.globalAlpha = alpha;
    pen.stroke();
    pen.globalAlpha = 1;
  }

  dot(pen, x, y, colour, radius) {
    pen.fillStyle = colour;
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    pen.fill();
  }

  song(pen, x, colour) {
    const foot = this.height - BOTTOM;
    pen.strokeStyle = colour;
    pen.globalAlpha = 0.6;
    pen.lineWidth = 1;
    pen.setLineDash([2, 4]);
    pen.beginPath();
    pen.moveTo(x, TOP);
    pen.lineTo(x, foot);
    pen.stroke();
    pen.setLineDash([]);
    pen.globalAlpha = 1;
    this.dot(pen, x, foot, colour, 5);
  }

  hover(pen, ink, smooth) {
    const place = this.at === null ? -1 : this.steps.findIndex(({ step }) => step === this.at);
    this.told.hidden = place < 0;
    if (place < 0) return;
    const x = this.x(this.at);
    pen.globalAlpha = 0.4;
    pen.fillStyle = ink;
    pen.fillRect(x - 0.5, TOP, 1, this.height - TOP - BOTTOM);
    pen.globalAlpha = 1;
    this.told.textContent = say(
      "atStep",
      number(this.at),
      number(smooth[place][1], 4),
      number(this.steps[place].loss, 4),
    );
    const half = this.told.offsetWidth / 2;
    this.told.style.left = `${Math.max(half, Math.min(this.width - half, x))}px`;
  }
}

/** At most about two points for each pixel: the least and the most of each stretch. */
function thinned(points, width) {
  const stretch = Math.ceil(points.length / Math.min(width, 500));
  if (stretch < 2) return points;
  const found = [];
  for (let from = 0; from < points.length; from += stretch) {
    const some = points.slice(from, from + stretch);
    const least = some.reduce((best, point) => (point[1] < best[1] ? point : best));
    const most = some.reduce((best, point) => (point[1] > best[1] ? point : best));
    found.push(...(least[0] < most[0] ? [least, most] : [most, least]));
  }
  return found;
}
