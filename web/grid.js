// Time, bars and beats of a recording, and the part of it that is in view. Plain numbers; nothing here is drawn.

const NEAR = 1e-6;

/** Seconds of a beat and a bar; null without a tempo. `bpm`: 0 for unknown; `signature`: "3", or "" for four beats. */
export function meterOf(bpm, signature) {
  if (!(bpm > 0)) return null;
  const beats = Number(signature) || 4;
  return { bpm, beats, beat: 60 / bpm, bar: (60 / bpm) * beats };
}

/** Where a moment lies: `[bar, beat]`, both counted from 1. */
export function placeOf(time, meter) {
  const beats = Math.floor(time / meter.beat + NEAR);
  const bar = Math.floor(beats / meter.beats);
  return [bar + 1, beats - bar * meter.beats + 1];
}

/** The bars that a region touches, both included; null where it does not lie on whole bars. */
export function wholeBars(start, end, meter) {
  const [first, last] = [start / meter.bar, end / meter.bar];
  const whole = Math.abs(first - Math.round(first)) < 0.01 && Math.abs(last - Math.round(last)) < 0.01;
  return whole && Math.round(last) > Math.round(first) ? [Math.round(first) + 1, Math.round(last)] : null;
}

/** 36.5 -> "0:36.5"; -4 -> "-0:04.0". */
export function moment(seconds) {
  const tenths = Math.round(Math.abs(seconds) * 10);
  const rest = String(Math.floor((tenths % 600) / 10)).padStart(2, "0");
  return `${seconds < 0 && tenths ? "-" : ""}${Math.floor(tenths / 600)}:${rest}.${tenths % 10}`;
}

/**
 * The nearest moment that a region may begin or end at.
 * `how`: "off", "beat", "bar", "line"; `moments`: of the lines.
 */
export function snapped(time, how, meter, moments) {
  if (how === "line" && moments.length)
    return moments.reduce((best, each) => (Math.abs(each - time) < Math.abs(best - time) ? each : best));
  const step = meter && { beat: meter.beat, bar: meter.bar }[how];
  return step ? Math.round(time / step) * step : time;
}

/** The next such moment in a direction: 1 or -1; without snapping a tenth of a second further. */
export function stepped(time, by, how, meter, moments) {
  const sign = Math.sign(by);
  let to = time;
  for (let count = Math.abs(by); count > 0; count--) {
    const step = meter && { beat: meter.beat, bar: meter.bar }[how];
    if (how === "line" && moments.length) {
      const further = moments.filter((each) => (each - to) * sign > NEAR);
      if (further.length) to = sign > 0 ? Math.min(...further) : Math.max(...further);
    } else if (step) {
      const place = to / step;
      to = (sign > 0 ? Math.floor(place + NEAR) + 1 : Math.ceil(place - NEAR) - 1) * step;
    } else to += sign * 0.1;
  }
  return to;
}

/** Every how many bars a number stands, so that numbers are at least `room` pixels apart. */
export function numbered(pixelsPerBar, room = 48) {
  let every = 1;
  while (every * pixelsPerBar < room) every *= 2;
  return every;
}

/** A stretch of time on a stretch of pixels. */
export class View {
  constructor() {
    this.low = 0;
    this.high = 1;
    this.start = 0;
    this.end = 1;
  }

  get span() {
    return this.end - this.start;
  }

  get zoomed() {
    return this.span < (this.high - this.low) * 0.999;
  }

  /** What there is to see; a view of everything stays one. */
  reach(low, high) {
    const all = !this.zoomed;
    [this.low, this.high] = [low, Math.max(low + 0.1, high)];
    if (all) this.fit();
    else this.show(this.start, this.end);
  }

  fit() {
    [this.start, this.end] = [this.low, this.high];
  }

  show(start, end) {
    const span = Math.min(this.high - this.low, Math.max(0.5, end - start));
    this.start = Math.max(this.low, Math.min(this.high - span, start));
    this.end = this.start + span;
  }

  /** Nearer (`factor` below 1) or further, with `time` staying where it is. */
  zoom(factor, time) {
    const share = (time - this.start) / this.span;
    const span = Math.min(this.high - this.low, Math.max(0.5, this.span * factor));
    this.show(time - share * span, time - share * span + span);
  }

  pan(by) {
    this.show(this.start + by, this.end + by);
  }

  /** 0 to 1 of the width, beyond for what is out of view. */
  share(time) {
    return (time - this.start) / this.span;
  }

  time(share) {
    return this.start + share * this.span;
  }
}
