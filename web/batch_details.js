// How a batch was made: models, seeds, plan and times, and the way back to its settings and its graph.

import { facts } from "./api.js";
import { button, el } from "./dom.js";
import { spelled } from "./drawers.js";
import { brief } from "./lengths.js";
import { openGraph, reuse } from "./send.js";
import { known, number, say } from "./words.js";

const PLAN = ["bpm", "keyscale", "timesignature"];

/** The details of the batch that a song belongs to; `act(button, work, done)` does what a button is for. */
export async function detailsOf(song, act) {
  const found = await facts(song.file);
  if (!Object.keys(found).length) return el("div", { class: "ace-details" }, el("p", { class: "ace-quiet", text: say("noRecord") }));
  const whole = { file: song.file, facts: found };
  const rows = [];
  const tell = (name, text) => text && rows.push(el("dt", { text: say(name) }), el("dd", { text }));
  tell("model", [found.model, found.steps && `${say("steps")}\u00a0${number(found.steps)}`].filter(Boolean).join(" · "));
  tell("lora", found.adapters.map(([name, strength]) => `${name} ${strength ?? ""}`.trim()).join(", "));
  tell("lm", found.lm);
  const seeds = found.seeds.length ? found.seeds : [found.seed];
  tell("seeds", seeds.join(", "));
  if (seeds.length) {
    const copy = (event) => act(event.currentTarget, () => navigator.clipboard.writeText(seeds.join(", ")));
    rows.at(-1).append(button({ icon: "copy", name: say("copySeed"), class: "ace-icon", press: copy }));
  }
  tell("plan", PLAN.map((name) => found[name] && spelled(name, found[name])).filter(Boolean).join(" · "));
  const times = Object.entries(found.seconds).map(([stage, seconds]) => {
    const name = known(`stage_${stage}`) ? say(`stage_${stage}`) : stage;
    return `${name} ${brief(seconds)}`;
  });
  tell("times", times.join(" · "));
  const action = (name, sign, work, done) =>
    button({ icon: sign, label: say(name), class: "ace-button", press: (event) => act(event.currentTarget, work, done) });
  return el(
    "div",
    { class: "ace-details" },
    el("dl", { class: "ace-table" }, ...rows),
    el(
      "div",
      { class: "ace-actions" },
      action("reuse", "undo", () => reuse(whole), say("reused")),
      action("openGraph", "share-alt", () => openGraph(whole)),
    ),
  );
}
