// The picture of a region: waveform, bars and beats, what is made new and where it blends. And the whole song in small.

import { numbered } from "./grid.js";

const BAR = 2;
const GAP = 1;
const STRIP = 16;

/** The new parts: of a region in the recording that one, of an extension what lies before and after it. */
export function newParts({ kind, region, seconds }) {
  if (kind === "part") return region.end > region.start ? [[region.start, region.end]] : [];
  return [
    [region.start, 0],
    [seconds, region.end],
  ].filter(([start, end]) => end > start);
}

/** Where new meets old: `[moment, +1 or -1]`, the direction in which the new part lies. */
export function seamsOf(state) {
  const inside = (time) => time > 0.0005 && time < state.seconds - 0.0005;
  if (state.kind === "added") return newParts(state).map(([, end]) => (end === 0 ? [0, -1] : [state.seconds, 1]));
  const { start, end } = state.region;
  return [inside(start) && [start, 1], inside(end) && [end, -1]].filter(Boolean);
}

/** Draws the stretch in view. `numbers`: whether bar numbers stand above. */
export function drawRegion(canvas, state, numbers) {
  const pen = penOf(canvas);
  if (!pen) return;
  const { width, height, colour } = pen;
  const { view, meter, seconds } = state;
  const top = numbers ? STRIP : 0;
  const x = (time) => view.share(time) * width;
  pen.fillStyle = colour("--ace-ground");
  pen.beginPath();
  pen.roundRect(0, top, width, height - top, 6);
  pen.fill();
  for (const [start, end] of newParts(state)) {
    pen.globalAlpha = 0.14;
    pen.fillStyle = colour("--ace-task");
    pen.fillRect(x(start), top, x(end) - x(start), height - top);
    pen.globalAlpha = 1;
  }
  if (meter) grid(pen, state, x, top);
  wave(pen, state, { top, of: (time) => view.time(time / width), x });
  for (const [start, end] of newParts(state)) {
    dots(pen, x(Math.max(start, seconds)), x(end), top + (height - top) / 2);
    dots(pen, x(start), x(Math.min(end, 0)), top + (height - top) / 2);
  }
  hatches(pen, state, x, top);
  pen.fillStyle = colour("--fg-color");
  if (state.time !== null && state.time > view.start) pen.fillRect(x(state.time) - 0.75, top, 1.5, height - top);
}

/** Draws the whole of it, and what of that is in view. */
export function drawOverview(canvas, state) {
  const pen = penOf(canvas);
  if (!pen) return;
  const { width, height, colour } = pen;
  const { low, high, start, end } = state.view;
  const time = (at) => low + (at / width) * (high - low);
  const x = (moment) => ((moment - low) / (high - low)) * width;
  wave(pen, state, { top: 4, of: time, x, bottom: 4, inside: "--ace-task" });
  for (const [from, to] of newParts(state)) {
    pen.globalAlpha = 0.2;
    pen.fillStyle = colour("--ace-task");
    pen.fillRect(x(from), 2, Math.max(2, x(to) - x(from)), height - 4);
    pen.globalAlpha = 1;
  }
  pen.strokeStyle = colour("--fg-color");
  pen.lineWidth = 1.5;
  pen.beginPath();
  pen.roundRect(x(start) + 0.75, 0.75, Math.max(6, x(end) - x(start)) - 1.5, height - 1.5, 4);
  pen.stroke();
}

function penOf(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!width || !height) return null;
  const scale = Math.min(3, (window.devicePixelRatio || 1) * 1.5);
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const style = getComputedStyle(canvas);
  const colour = (name) => style.getPropertyValue(name).trim() || style.color;
  return Object.assign(pen, { width, height, colour, family: style.fontFamily });
}

function grid(pen, { view, meter, seconds, region }, x, top) {
  const { colour, height, width } = pen;
  const perBar = (meter.bar / view.span) * width;
  const every = numbered(perBar);
  const last = Math.min(view.end, Math.max(seconds, region.end));
  pen.font = `12px ${pen.family}`;
  pen.textBaseline = "top";
  for (let bar = Math.max(0, Math.floor(view.start / meter.bar)); bar * meter.bar <= last; bar++) {
    const left = x(bar * meter.bar);
    pen.fillStyle = colour("--fg-color");
    pen.globalAlpha = 0.2;
    if (perBar >= 4) pen.fillRect(left, top, 1, height - top);
    pen.globalAlpha = 0.14;
    for (let beat = 1; perBar / meter.beats >= 6 && beat < meter.beats; beat++)
      pen.fillRect(left + (beat * perBar) / meter.beats, height - 24, 1, 24);
    pen.globalAlpha = 1;
    pen.fillStyle = colour("--ace-fg2");
    if (top && bar % every === 0 && left >= -1 && left < width - 16) pen.fillText(String(bar + 1), left + 3, 1);
  }
}

/** Bars in the recording only; in their own colour where they are made new. */
function wave(pen, state, { top, of, x, bottom = 0, inside = "--ace-audio" }) {
  const { levels, seconds } = state;
  const { colour, height, width } = pen;
  if (!seconds) return;
  const room = height - top - bottom;
  const loudest = Math.max(1, ...levels);
  const [plain, made] = [colour("--ace-unplayed"), colour(inside)];
  const parts = newParts(state);
  const [from, to] = [Math.max(0, x(0)), Math.min(width, x(seconds))];
  for (let left = from; left + BAR <= to + 0.01; left += BAR + GAP) {
    const [begin, end] = [of(left), of(left + BAR + GAP)].map((time) => (time / seconds) * levels.length);
    let level = 0;
    for (let at = Math.max(0, Math.floor(begin)); at < Math.min(levels.length, Math.max(begin + 1, end)); at++)
      level = Math.max(level, levels[at]);
    const tall = Math.max(2, (level / loudest) * room * 0.94);
    const time = of(left + BAR / 2);
    pen.fillStyle = parts.some(([start, stop]) => time >= start && time < stop) ? made : plain;
    pen.fillRect(left, top + (room - tall) / 2, BAR, tall);
  }
}

function dots(pen, from, to, middle) {
  pen.fillStyle = pen.colour("--ace-task");
  for (let left = Math.max(4, from + 6); left < Math.min(pen.width, to - 2); left += 8)
    pen.fillRect(left, middle - 1, 2, 2);
}

function hatches(pen, state, x, top) {
  const { inside, outside } = state.seam;
  const { height } = pen;
  const perSecond = pen.width / state.view.span;
  pen.strokeStyle = pen.colour("--ace-task");
  pen.lineWidth = 1.5;
  for (const [moment, into] of seamsOf(state)) {
    const wide = Math.max(6, (outside || inside) * perSecond);
    const left = x(moment) - ((outside ? -into : into) > 0 ? 0 : wide);
    pen.save();
    pen.beginPath();
    pen.rect(left, top, wide, height - top);
    pen.clip();
    pen.beginPath();
    for (let at = left - (height - top); at < left + wide; at += 6) {
      pen.moveTo(at, height);
      pen.lineTo(at + height - top, top);
    }
    pen.stroke();
    pen.restore();
  }
}
