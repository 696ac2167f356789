// Ways to fill a song before it is made: an example, the language model's rewriting, or a whole song from a sentence.
// What comes stands in the inputs of the node, to be read and changed; nothing is rendered.

import { api } from "../../scripts/api.js";
import { button, el, visible } from "./dom.js";
import { example } from "./examples.js";
import { apart, languageModel, outputOf } from "./part.js";
import { language, say } from "./words.js";

const SONG = ["caption", "lyrics", "instrumental", "language", "duration", "bpm", "keyscale", "timesignature"];

export class Author {
  /** `node`: the song's. `filled()` is called when its inputs were written. */
  constructor(node, filled = () => {}) {
    this.node = node;
    this.filled = filled;
    this.before = null;
    const tool = (sign, name, tip, press) =>
      button({ icon: sign, label: say(name), class: "ace-button line", title: say(tip), press });
    this.random = tool("refresh", "random", "randomTip", () => this.put(example(language(), this.values().caption)));
    this.format = tool("sparkles", "format", "formatTip", () => this.work("format"));
    this.create = tool("pencil", "create", "createTip", () => this.ask());
    this.create.setAttribute("aria-expanded", "false");
    this.tools = [this.random, this.format, this.create];

    this.query = el("input", {
      class: "ace-field",
      type: "text",
      placeholder: say("createHint"),
      "aria-label": say("createHint"),
    });
    this.query.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.isComposing) this.work("create");
      if (event.key === "Escape") this.ask(false);
    });
    const write = button({ label: say("write"), class: "ace-button", press: () => this.work("create") });
    this.line = el("div", { class: "ace-ask", hidden: true }, this.query, write);
    this.said = el("span", { class: "ace-cut", role: "status" });
    const act = (sign, name, press) => button({ icon: sign, label: say(name), class: "ace-button line", press });
    this.cancel = act("times", "cancel", () => api.interrupt());
    this.undo = act("undo", "undo", () => this.put(this.before));
    const space = el("span", { class: "ace-space" });
    this.news = el("div", { class: "ace-ask", hidden: true }, this.said, space, this.cancel, this.undo);
    this.root = el("div", { class: "ace-author" }, this.line, this.news);
  }

  ask(open = this.line.hidden) {
    visible(this.line, open);
    if (open) this.tell("");
    this.create.setAttribute("aria-expanded", String(open));
    (open ? this.query : this.create).focus();
  }

  values() {
    const widgets = (this.node.widgets ?? []).filter((widget) => SONG.includes(widget.name));
    return Object.fromEntries(widgets.map((widget) => [widget.name, widget.value]));
  }

  /** Writes values into the inputs; those of before are kept for one step back. */
  put(values) {
    const before = this.values();
    for (const widget of this.node.widgets ?? [])
      if (widget.name in values && widget.value !== values[widget.name]) {
        widget.value = values[widget.name];
        widget.callback?.(widget.value);
      }
    this.node.graph?.setDirtyCanvas(true, true);
    this.before = before;
    this.filled();
    this.tell(say("filled"), { undo: true });
  }

  tell(text, { undo = false, busy = false, failed = false } = {}) {
    this.said.textContent = this.said.title = text;
    this.news.classList.toggle("err", failed);
    visible(this.news, Boolean(text));
    visible(this.cancel, busy);
    visible(this.undo, undo);
    for (const tool of [this.format, this.create, this.random]) tool.toggleAttribute("aria-busy", busy);
    this.busy = busy;
  }

  async work(kind) {
    if (this.busy) return;
    this.tell(say("writing"), { busy: true });
    try {
      this.put(await written(kind, this.values(), this.query.value));
      visible(this.line, false);
      this.create.setAttribute("aria-expanded", "false");
    } catch (error) {
      this.tell(error.message === "cancelled" ? "" : say("failed", error.message), { failed: true });
    }
  }
}

/** Has the language model write a song, from a sentence or from what there is. */
async function written(kind, song, query) {
  const { prompt, wire } = await languageModel();
  const seed = Math.floor(Math.random() * 2 ** 32);
  const [writer, given, parts, shown] = [1, 2, 3, 4].map((place) => apart(500_000 + place));
  if (kind === "create") {
    const { instrumental, language } = song;
    prompt[writer] = { class_type: "ACEStepCreateSong", inputs: { lm: wire, query, instrumental, language, seed } };
  } else {
    prompt[given] = { class_type: "ACEStepSong", inputs: song };
    prompt[writer] = { class_type: "ACEStepFormatSong", inputs: { lm: wire, song: [given, 0], seed } };
  }
  prompt[parts] = { class_type: "ACEStepSongInfo", inputs: { song: [writer, 0] } };
  prompt[shown] = { class_type: "ACEStepShowText", inputs: { text: [parts, 0] } };
  return JSON.parse((await outputOf(prompt, writer)).song[0]);
}
