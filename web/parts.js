// The elements of the song widget, from top to bottom. What they show and do is told to them by `song.js`.

import { button, el, icon } from "./dom.js";
import { Drawers } from "./drawers.js";
import { Lyrics } from "./lyrics.js";
import { Running } from "./run.js";
import { Takes } from "./takes.js";
import { Wave } from "./wave.js";
import { say } from "./words.js";

const TILES = {
  cover: "sync",
  repaint: "pencil",
  extend: "arrows-h",
  layer: "plus",
  reference: "headphones",
};

/** All elements by name; `does` is the widget. */
export function build(does) {
  const p = {};
  p.status = el("div", { class: "ace-hidden", role: "status" });
  p.quiet = new Wave({ class: "ace-empty-wave" });
  p.quiet.show(Array.from({ length: 38 }, (_, bar) => 60 + 50 * Math.sin((bar / 37) * Math.PI) * Math.cos(bar * 1.7)));
  p.empty = el("div", { class: "ace-empty" }, p.quiet.canvas, el("span", { text: say("empty") }));
  p.maker = el("strong", {});
  const tested = el("span", {}, p.maker, " ", say("testHow"));
  p.note = el("div", { class: "ace-note warn", hidden: true }, icon("exclamation-triangle"), tested);
  p.failure = el("div", { class: "ace-note err", hidden: true }, icon("exclamation-triangle"), el("span", {}));
  p.running = new Running();
  p.fresh = button({ icon: "sparkles", label: say("newTakes"), class: "ace-button ace-fresh", press: () => does.renew(), hidden: true });
  p.takes = new Takes((place) => does.choose(place));
  p.lyrics = new Lyrics(
    (seconds) => does.from(seconds),
    (line) => does.redo(line),
  );
  p.drawers = new Drawers((text, pressed) => does.copy(text, pressed));
  p.sections = el("div", { class: "ace-sections" });
  p.scores = el("div", { class: "ace-scores" });
  p.facts = el("div", { class: "ace-facts" });
  const blocks = {
    head: head(p, does),
    strip: [p.takes.root],
    music: [p.sections, slider(p, does)],
    transport: [transport(p, does)],
    words: [p.lyrics.root],
    scores: [p.scores],
    facts: [p.facts],
    send: send(p, does),
    drawers: [p.drawers.root],
  };
  p.result = el("div", { class: "ace-result" });
  for (const [name, children] of Object.entries(blocks))
    p.result.append(el("div", { class: `ace-block ${name}` }, ...children));
  p.body = el("div", { class: "ace-body" }, p.status, p.note, p.failure, p.empty, p.fresh, p.result, p.running.root);
  return p;
}

function head(p, does) {
  const sign = (name, label, press, kind = "", more = {}) =>
    button({ icon: name, name: say(label), class: `ace-icon ${kind}`, press, ...more });
  p.before = sign("chevron-left", "previous", () => does.choose(does.place - 1), "filled");
  p.after = sign("chevron-right", "next", () => does.choose(does.place + 1), "filled");
  p.count = el("span", { class: "ace-count" });
  p.title = el("span", { class: "ace-title" });
  p.heart = sign("heart", "favourite", () => does.favour(), "ace-heart", { "aria-pressed": "false" });
  p.large = sign("expand", "expand", () => does.expand(), "ace-expand");
  p.more = sign("ellipsis-v", "more", () => does.menu(), "", { "aria-expanded": "false" });
  p.choices = el("div", { class: "ace-menu", role: "menu", hidden: true });
  return [el("div", { class: "ace-head" }, p.before, p.count, p.after, p.title, p.heart, p.large, p.more), p.choices];
}

/** The waveform; a press or a drag seeks, the pointer over it tells the time there. */
function slider(p, does) {
  p.wave = new Wave({ knob: true });
  p.bubble = el("span", { class: "ace-bubble", hidden: true });
  const role = { role: "slider", tabindex: "0", "aria-label": say("position"), "aria-valuemin": "0" };
  p.slider = el("div", { class: "ace-slider", ...role }, p.wave.canvas, p.bubble);
  const share = (event) => {
    const box = p.slider.getBoundingClientRect();
    return Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
  };
  p.slider.addEventListener("pointerdown", (event) => {
    p.slider.setPointerCapture(event.pointerId);
    does.seekShare(share(event));
  });
  p.slider.addEventListener("pointermove", (event) => {
    does.hover(share(event));
    if (p.slider.hasPointerCapture(event.pointerId)) does.seekShare(share(event));
  });
  p.slider.addEventListener("pointerleave", () => does.hover(null));
  return p.slider;
}

function transport(p, { player, compare }) {
  p.playing = button({ icon: "play", name: say("play"), class: "ace-play", press: () => player.toggle() });
  p.clock = el("span", { class: "ace-clock" }, el("strong"), el("span"));
  const sign = (name, label, press) => button({ icon: name, name: say(label), class: "ace-icon", press });
  p.loop = sign("replay", "loop", () => (player.loop = !player.loop));
  p.mute = sign("volume-up", "mute", () => player.mute());
  p.swap = button({ name: say("compare"), class: "ace-button line ace-swap", press: () => compare() });
  p.volume = el("input", { type: "range", min: "0", max: "1", step: "0.05", class: "ace-volume" });
  p.volume.setAttribute("aria-label", say("volume"));
  p.volume.addEventListener("input", () => player.setVolume(Number(p.volume.value)));
  const space = el("span", { class: "ace-space" });
  return el("div", { class: "ace-transport" }, p.playing, p.clock, space, p.loop, p.swap, p.mute, p.volume);
}

function send(p, does) {
  p.tiles = el("div", { class: "ace-tiles" });
  for (const [kind, sign] of Object.entries(TILES))
    p.tiles.append(
      button({
        icon: sign,
        label: say(kind),
        class: "ace-tile",
        press: (event) => does.act(event.currentTarget, () => does.send(kind)),
      }),
    );
  const action = (name, sign, done) =>
    button({
      icon: sign,
      label: say(name),
      class: "ace-button line",
      press: (event) => does.act(event.currentTarget, () => does[name](), done && say(done)),
    });
  p.actions = {
    score: action("score", "star"),
    lrc: action("lrc", "align-left"),
    save: action("save", "save"),
    reuse: action("reuse", "undo", "reused"),
    download: action("download", "download"),
  };
  return [p.tiles, el("div", { class: "ace-actions" }, ...Object.values(p.actions))];
}
