// "Make a song": one form in front of the graph that it writes. Nothing of it is needed to run that graph.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { advanced, orAuto } from "./advanced.js";
import { workflow } from "./api.js";
import { Author } from "./author.js";
import { autogen } from "./autogen.js";
import { button, clock, disable, el, icon, visible } from "./dom.js";
import {
  area,
  bypass,
  choice,
  labelled,
  nodesOf,
  open,
  seconds,
  spokenLanguage,
  toggle,
  whole,
  widgetOf,
  write,
} from "./fields.js";
import { showGallery } from "./gallery.js";
import { showModels, standIn } from "./models.js";
import { Pace } from "./pace.js";
import { told } from "./sentences.js";
import { SongWidget } from "./song.js";
import { inEnglish, language, number, say } from "./words.js";

const NAME = "make_a_song";
const THINKING = ["ACEStepPlan", "ACEStepPlanCodes"];
const TIMING = ["ACEStepLyricAlignment"];
const JUDGING = ["ACEStepLMScore", "ACEStepBestOf"];
const MOST_TAKES = 8;
let shown = null;

/** Shows the form where the open graph asks for it, and takes it away elsewhere. */
export function makeForm() {
  shown?.close();
  shown = null;
  const extra = app.graph?.extra ?? {};
  if (extra.acestep?.form === NAME && !extra.linearMode && nodesOf("ACEStepSong").length) shown = new MakeForm();
}

/** Opens the form: on the open graph where it belongs to it, else with a graph of its own. */
export async function makeSong() {
  const extra = app.graph?.extra;
  if (extra?.acestep && "form" in extra.acestep) {
    extra.acestep.form = NAME;
    makeForm();
    return;
  }
  const graph = await workflow(NAME);
  graph.id = crypto.randomUUID();
  await app.loadGraphData(graph, true, true, null);
}

class MakeForm {
  constructor() {
    this.example();
    this.author = new Author(nodesOf("ACEStepSong")[0], () => this.fill());
    this.song = new SongWidget({
      get graph() {
        return app.graph;
      },
    });
    this.result = el("div", { class: "ace-make-result", hidden: true }, this.song.root);
    this.note = el("div", { class: "ace-note err", role: "alert", tabindex: "-1", hidden: true });
    this.summary = el("span", { class: "ace-quiet" });
    this.run = button({ icon: "play", label: say("make"), class: "ace-main", press: () => this.press() });
    const graph = button({
      icon: "share-alt",
      label: say("showGraph"),
      class: "ace-button line",
      press: () => this.leave(),
    });
    const others = button({
      icon: "th-large",
      label: say("galleryShort"),
      class: "ace-button line",
      press: showGallery,
    });
    const get = button({
      icon: "cloud-download",
      label: say("getModels"),
      class: "ace-button filled",
      press: showModels,
    });
    this.noise = el("div", { class: "ace-note warn", hidden: true });
    const what = el("span", { class: "ace-space" });
    this.noise.append(icon("exclamation-triangle"), what, get);
    standIn().then((model) => {
      what.textContent = model && say(model === "toy" ? "onlyToy" : "onlyTest");
      visible(this.noise, Boolean(model));
    });
    this.card = el(
      "form",
      { class: "ace-make-card", "aria-label": say("makeSong"), novalidate: true },
      el(
        "div",
        { class: "ace-make-body" },
        el("h1", { text: say("makeSong") }),
        el("p", { class: "ace-quiet", text: say("makeHow") }),
        this.noise,
        (this.inputs = el("div", { class: "ace-make-inputs" })),
        this.switches(),
        advanced((text) => this.tell(text)),
        this.note,
      ),
      el("div", { class: "ace-make-foot" }, this.summary, el("span", { class: "ace-space" }), others, graph, this.run),
    );
    this.card.addEventListener("submit", (event) => event.preventDefault());
    this.root = el(
      "div",
      { class: "ace ace-make", lang: "" },
      el("div", { class: "ace-make-room" }, this.card, this.result),
    );
    for (const event of ["keydown", "pointerdown", "paste", "copy", "cut", "wheel"])
      this.root.addEventListener(event, (news) => (event === "keydown" ? this.key(news) : news.stopPropagation()));
    this.pace = new Pace();
    this.listening = new AbortController();
    for (const event of [
      "execution_start",
      "progress",
      "executed",
      "execution_success",
      "execution_error",
      "execution_interrupted",
    ])
      api.addEventListener(event, (news) => this.hear(event, news.detail), { signal: this.listening.signal });
    document.body.append(this.root);
    this.fill();
    const ahead = () => this.ahead.setAttribute("aria-checked", String(autogen().on));
    this.unwatch = autogen().watch(ahead);
    const before = app.nodeOutputs?.[nodesOf("ACEStepSaveSong")[0]?.id];
    if (before?.audio?.length) this.show(before);
  }

  close() {
    this.listening.abort();
    this.unwatch();
    this.song.dispose();
    this.root.remove();
  }

  /** To the graph; the form stays away until it is asked for again. */
  leave() {
    app.graph.extra.acestep.form = "";
    this.close();
    shown = null;
  }

  /** The example speaks the language of the canvas. */
  example() {
    const parts = { caption: "exampleCaption", lyrics: "exampleLyrics" };
    const names = Object.keys(parts);
    const code = language().slice(0, 2);
    if (code !== "ko" && code !== "zh") return;
    if (names.some((name) => widgetOf("ACEStepSong", name)?.value !== inEnglish(parts[name]))) return;
    for (const name of names) write("ACEStepSong", name, say(parts[name]));
    write("ACEStepSong", "language", code);
  }

  // -- the parts ----------------------------------------------------------------------------------------------------------

  /** What is said of the song, as it stands in the graph. */
  fill() {
    const before = document.activeElement;
    this.inputs.replaceChildren(this.words(), this.facts());
    if (this.inputs.contains(before)) before.focus();
    this.follow();
  }

  words() {
    const of = (name) => widgetOf("ACEStepSong", name)?.value;
    const set = (name) => (value) => write("ACEStepSong", name, value);
    this.lyrics = area(of("lyrics"), 8, set("lyrics"), { "aria-label": say("lyrics"), title: say("lyricsHow") });
    const silent = toggle(say("instrumental"), "", of("instrumental"), (on) => {
      set("instrumental")(on);
      this.follow();
    });
    const head = (text, more) =>
      el("div", { class: "ace-make-head" }, el("h2", { text }), el("span", { class: "ace-space" }), more);
    return el(
      "fieldset",
      {},
      head(say("sound"), el("span", { class: "ace-make-tools" }, ...this.author.tools)),
      this.author.root,
      area(of("caption"), 2, set("caption"), { "aria-label": say("sound"), title: say("soundTip") }),
      head(say("lyrics"), silent.root),
      this.lyrics,
    );
  }

  facts() {
    const set = (name) => (value) => {
      write("ACEStepSong", name, value);
      this.follow();
    };
    const of = (name) => widgetOf("ACEStepSong", name);
    const wrong = (key) => (yes) => this.tell(yes ? say(key) : "");
    const listed = (name, spell) => choice(of(name)?.options.values ?? [], of(name)?.value, set(name), spell);
    const takes = Array.from({ length: MOST_TAKES }, (_, place) => String(place + 1));
    const many = (value) => {
      for (const kind of ["ACEStepPlanCodes", "ACEStepSampler"]) write(kind, "batch_size", Number(value));
      this.follow();
    };
    return el(
      "fieldset",
      { class: "ace-make-row" },
      labelled(say("language"), listed("language", spokenLanguage)),
      labelled(
        say("duration"),
        open(of("duration")?.value, { read: seconds, show: clock, change: set("duration"), wrong: wrong("badLength") }),
      ),
      labelled(
        say("bpm"),
        open(of("bpm")?.value, { read: whole, show: String, change: set("bpm"), wrong: wrong("badNumber") }),
      ),
      labelled(say("keyscale"), listed("keyscale", orAuto)),
      labelled(say("takesHow"), choice(takes, String(widgetOf("ACEStepSampler", "batch_size")?.value ?? 1), many)),
    );
  }

  switches() {
    const works = (classes) => nodesOf(...classes).some((node) => node.mode === 0);
    const made = (name, classes) => {
      this[name] = works(classes);
      const control = toggle(say(name), say(`${name}How`), this[name], (on) => {
        this[name] = on;
        this.follow();
      });
      this[`${name}Switch`] = control.button;
      return control.root;
    };
    const ahead = toggle(say("keepAhead"), say("keepAheadHow"), autogen().on, (on) => autogen().turn(on));
    this.ahead = ahead.button;
    return el(
      "fieldset",
      { class: "ace-make-switches" },
      made("think", THINKING),
      made("lyricTimes", TIMING),
      made("scoreTakes", JUDGING),
      ahead.root,
    );
  }

  // -- what it does -------------------------------------------------------------------------------------------------------

  /** Brings nodes, switches and summary in line with what was chosen. */
  follow() {
    const silent = Boolean(widgetOf("ACEStepSong", "instrumental")?.value);
    visible(this.lyrics, !silent);
    const times = this.lyricTimes && !silent;
    const judged = this.scoreTakes && (this.think || times);
    disable(this.lyricTimesSwitch, silent && say("needsLyrics"));
    disable(this.scoreTakesSwitch, !this.think && !times && say("scoreNeeds"));
    bypass(THINKING, !this.think);
    bypass(TIMING, !times);
    bypass(JUDGING, !judged);
    bypass(["ACEStepLMScore"], !judged || !this.think);
    const length = widgetOf("ACEStepSong", "duration")?.value;
    const takes = widgetOf("ACEStepSampler", "batch_size")?.value ?? 1;
    const preset = widgetOf("ACEStepLoader", "preset")?.value;
    const way = [preset, this.think, times, judged].join();
    this.asked = length ? { way, seconds: takes * length } : null;
    const about = this.pace.guess(this.asked);
    this.summary.textContent = [
      say(takes === 1 ? "takesOfOne" : "takesOf", number(takes), length ? clock(length) : say("lengthAuto")),
      about && say("takesAbout", clock(about)),
    ]
      .filter(Boolean)
      .join(" · ");
  }

  press() {
    if (this.prompt) api.interrupt(this.prompt);
    else this.start();
  }

  async start() {
    this.tell("");
    const queued = await app.queuePrompt(0, 1);
    const refused = Object.values(app.lastNodeErrors ?? {})[0]?.errors?.[0];
    if (queued === false || refused) this.tell(told(refused?.details || refused?.message) || say("failed", ""));
  }

  hear(event, detail) {
    if (event === "execution_start") {
      if (this.author.busy) return;
      this.prompt = detail.prompt_id;
      this.pace.begin(this.asked);
      visible(this.result, true);
    } else if (detail?.prompt_id !== this.prompt || !this.prompt) return;
    else if (event === "executed") {
      const node = app.graph.getNodeById(Number(detail.node));
      if (node?.comfyClass === "ACEStepSaveSong") this.show(detail.output);
    } else if (event === "progress") this.pace.step();
    else {
      this.prompt = null;
      if (event === "execution_success") this.pace.end();
      this.follow();
      if (event === "execution_error") this.tell(detail.exception_message?.trim());
    }
    this.run.lastChild.textContent = say(this.prompt ? "making" : "make");
    this.run.firstChild.className = `pi pi-${this.prompt ? "times" : "play"}`;
    this.run.classList.toggle("busy", Boolean(this.prompt));
    const share = event === "progress" && detail.max ? detail.value / detail.max : 0;
    this.run.style.setProperty("--ace-share", `${share * 100}%`);
  }

  show(output) {
    visible(this.result, true);
    this.song.show(output);
    if (this.result.offsetTop > this.card.offsetTop + 40) this.result.scrollIntoView({ block: "nearest" });
  }

  /** One sentence above the foot; nothing takes it away. */
  tell(text) {
    this.note.replaceChildren(icon("exclamation-triangle"), el("span", { text }));
    visible(this.note, Boolean(text));
    if (text) this.note.focus();
  }

  key(event) {
    event.stopPropagation();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      document.activeElement?.dispatchEvent(new Event("change"));
      this.press();
    }
    if (event.key === "Escape") this.card.querySelector("details").open = false;
  }
}
