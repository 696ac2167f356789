// The elements of a region, from top to bottom. What they show and do is told to them by `region.js`.

import { button, el, icon } from "./dom.js";
import { say } from "./words.js";

export const SNAPS = ["off", "beat", "bar", "line"];

/** All elements by name; `does` is the widget. */
export function build(does) {
  const p = {};
  p.status = el("div", { class: "ace-hidden", role: "status" });
  p.empty = el("div", { class: "ace-region-empty" }, icon("headphones"), el("span", { text: say("noSource") }));
  p.failure = el("div", { class: "ace-note err", hidden: true }, icon("exclamation-triangle"), el("span", {}));
  p.sections = el("div", { class: "ace-sections" });
  p.words = el("div", { class: "ace-region-lines", role: "group", "aria-label": say("lyrics") });
  p.whole = el("canvas", { class: "ace-overview", "aria-hidden": "true" });
  p.legend = el("div", { class: "ace-legend" });
  p.shown = el("div", { class: "ace-region-shown" }, transport(p, does), p.sections, surface(p), p.words, p.whole);
  p.shown.append(does.target.kind === "added" ? added(p, does) : fields(p, does), p.legend);
  p.body = el("div", { class: "ace-region-body" }, p.status, p.failure, p.empty, p.shown);
  return p;
}

function transport(p, does) {
  const sign = (name, label, press) => button({ icon: name, name: say(label), class: "ace-icon", press });
  p.playing = button({ icon: "play", name: say("playRegion"), class: "ace-play", press: () => does.play() });
  p.looping = sign("replay", "loop", () => does.setLoop(!does.loop));
  p.name = el("strong", { class: "ace-cut" });
  p.length = el("span", { class: "ace-quiet ace-cut ace-region-length" });
  p.tempo = el("input", {
    class: "ace-field ace-tempo",
    type: "text",
    inputmode: "decimal",
    placeholder: "bpm",
    "aria-label": say("tempoUnknown"),
    title: say("tempoUnknown"),
    on: { change: () => does.giveTempo(p.tempo.value) },
  });
  p.snaps = el("div", { class: "ace-snaps", role: "radiogroup", "aria-label": say("snap") });
  for (const how of SNAPS)
    p.snaps.append(
      el("button", {
        type: "button",
        role: "radio",
        text: say(`snap_${how}`),
        "data-snap": how,
        on: { click: () => does.setSnap(how) },
      }),
    );
  p.smaller = sign("search-minus", "zoomOut", () => does.zoom(2));
  p.larger = sign("search-plus", "zoomIn", () => does.zoom(0.5));
  p.fitting = button({ label: say("fit"), class: "ace-button line ace-fit", press: () => does.fit() });
  p.large = sign("expand", "expand", () => does.expand());
  const tools = el("span", { class: "ace-tools" }, p.tempo, p.snaps, p.smaller, p.larger, p.fitting, p.large);
  return el("div", { class: "ace-transport" }, p.playing, p.looping, p.name, p.length, el("span", { class: "ace-space" }), tools);
}

function surface(p) {
  p.canvas = el("canvas", { class: "ace-region-wave" });
  p.bubble = el("span", { class: "ace-bubble", hidden: true });
  const edge = (name, label) =>
    el("div", { class: `ace-edge ${name}`, role: "slider", tabindex: "0", "data-edge": name, "aria-label": say(label) });
  p.start = edge("start", "regionStart");
  p.end = edge("end", "regionEnd");
  p.region = el("div", { class: "ace-region-hold", tabindex: "0", role: "button", "aria-label": say("region") });
  p.surface = el("div", { class: "ace-surface", role: "group", "aria-label": say("region") });
  p.surface.append(p.canvas, p.start, p.end, p.region, p.bubble);
  return p.surface;
}

/** Two times that may be written as seconds, minutes or bars. */
function fields(p, does) {
  const field = (name, label) =>
    el("input", {
      class: "ace-field",
      type: "text",
      "aria-label": say(label),
      title: say("timeTip"),
      on: { change: (event) => does.type(name, event.currentTarget.value) },
    });
  p.from = field("start", "regionStart");
  p.to = field("end", "regionEnd");
  p.note = el("span", { class: "ace-quiet", text: say("to") });
  return el("div", { class: "ace-fields" }, p.from, p.note, p.to);
}

/** By how much an extension grows with one press, and how long the song becomes. */
function added(p, does) {
  p.more = [4, 8].map((bars) =>
    button({ label: say("moreBars", bars), class: "ace-button line", press: () => does.grow(bars, true) }),
  );
  p.more.push(button({ label: say("moreSeconds", 30), class: "ace-button line", press: () => does.grow(30, false) }));
  p.newLength = el("span", { class: "ace-quiet" });
  return el("div", { class: "ace-added" }, ...p.more, el("span", { class: "ace-space" }), p.newLength);
}
