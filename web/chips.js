// What is known of a song in a few words: its facts as chips, its scores as stars.

import { clock, el, icon } from "./dom.js";
import { spelled } from "./drawers.js";
import { languageName, number, say } from "./words.js";

/** `scores`: `alignment` and `lm`, 0 to 1. */
export function scoreChips({ alignment, lm }) {
  const judged = [
    ["lyrics", "lyricsTip", alignment],
    ["match", "matchTip", lm],
  ];
  return judged
    .filter(([, , value]) => typeof value === "number")
    .map(([name, tip, value]) =>
      el(
        "div",
        { class: "ace-score", title: say(tip) },
        el("span", { class: "ace-quiet", text: say(name) }),
        stars(value),
        el("strong", { text: number(value, 2) }),
      ),
    );
}

function stars(value) {
  const halves = Math.round(value * 10);
  const name = say("stars", number(halves / 2, halves % 2));
  const shown = el("span", { class: "ace-stars", role: "img", "aria-label": name });
  for (let star = 1; star <= 5; star++)
    shown.append(icon(halves >= 2 * star ? "star-fill" : halves === 2 * star - 1 ? "star-half-fill" : "star"));
  return shown;
}

/** `length`: seconds; `copy(text, pressed)` is called for the seed. */
export function factChips(facts, length, copy) {
  const sung = facts.language && facts.language !== "unknown" && languageName(facts.language);
  const texts = [
    length && clock(length),
    facts.bpm && spelled("bpm", facts.bpm),
    facts.keyscale,
    facts.timesignature && spelled("timesignature", facts.timesignature),
    facts.instrumental ? say("instrumental") : sung,
  ];
  const chips = texts.filter(Boolean).map((text) => el("span", { class: "ace-chip", text }));
  if (facts.seed === undefined) return chips;
  const seed = el(
    "button",
    {
      type: "button",
      class: "ace-chip",
      title: say("copySeed"),
      on: { click: (event) => copy(facts.seed, event.currentTarget) },
    },
    el("span", { class: "ace-quiet", text: say("seed", facts.seed) }),
    icon("copy"),
  );
  return [...chips, seed];
}
