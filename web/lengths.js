// How long something lasts, in words; `clock` of `dom.js` tells it of songs.

import { number, say } from "./words.js";

/** Where nobody counts seconds, as of a whole dataset or the rest of a run: 45 -> "45 s", 740 -> "12 min", 5400 -> "1 h 30 min". */
export function lasting(seconds) {
  const whole = Math.round(seconds);
  if (whole < 60) return say("secondsLong", whole);
  const minutes = Math.round(whole / 60);
  return minutes < 60 ? say("minutesLong", minutes) : say("hours", Math.floor(minutes / 60), minutes % 60);
}

/** What is short, to the tenth: 8.52 -> "8.5 s". */
export function brief(seconds) {
  return say("secondsLong", number(seconds, 1));
}
