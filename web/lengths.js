// How long something lasts, in words, where nobody counts its seconds: a whole dataset, the rest of a run.

import { say } from "./words.js";

/** 45 -> "45 s", 740 -> "12 min", 5400 -> "1 h 30 min". */
export function lasting(seconds) {
  const whole = Math.round(seconds);
  if (whole < 60) return say("secondsLong", whole);
  const minutes = Math.round(whole / 60);
  return minutes < 60 ? say("minutesLong", minutes) : say("hours", Math.floor(minutes / 60), minutes % 60);
}
