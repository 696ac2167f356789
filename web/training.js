// The monitor on ACE-Step Train LoRA: how the run goes, its test songs, and what may be asked of it. The node's picture,
// text and files tell the same without it.

import { api } from "../../scripts/api.js";
import { run, wish } from "./api.js";
import { LossChart, averaged } from "./chart.js";
import { button, disable, disabled, el, icon, visible } from "./dom.js";
import { lasting } from "./lengths.js";
import { widgets } from "./song.js";
import { told } from "./sentences.js";
import { TestSongs } from "./testsongs.js";
import { themed } from "./theme.js";
import { number, say } from "./words.js";

const KEPT = 2000;
const LINES = 8;
const TABLE = 100;
const LEVELS = 5;
const WIDTH = 560;
const ENDS = { done: "finished", failed: "failed", stopped: "paused" };

export class TrainingMonitor {
  constructor(node) {
    this.node = node;
    node.hideOutputImages = true; // the curve is drawn here,
    node.onDrawBackground = () => {}; // and a classic node draws its pictures in this hook
    this.chart = new LossChart((song) => this.songs.at(song.step));
    this.songs = new TestSongs();
    this.heldOut = el("span", { class: "look", text: say("heldOut"), hidden: true });
    this.sungAt = el("span", { class: "song", text: say("testSong"), hidden: true });
    this.root = el(
      "div",
      { class: "ace ace-training", role: "region", "aria-label": say("training") },
      ...this.parts(),
    );
    this.root.addEventListener("keydown", (event) => event.key !== "Tab" && event.stopPropagation());
    this.root.addEventListener("pointerdown", (event) => event.stopPropagation());
    this.root.addEventListener(
      "wheel",
      (event) => event.target.closest(".ace-log, .ace-numbers, .ace-tests") && event.stopPropagation(),
    );
    this.hears = ({ detail }) => this.news(detail);
    api.addEventListener("acestep.train", this.hears);
    widgets.add(this); // hears of runs of the graph
    themed(() => this.chart.later());
    this.begin("");
  }

  parts() {
    this.chip = el("span", { class: "ace-chip" }, el("span", { class: "ace-lamp" }), el("span", { role: "status" }));
    this.about = el("span", { class: "ace-quiet ace-cut" });
    this.left = el("span", { class: "ace-left" });
    const act = (name, sign, press) => button({ icon: sign, label: say(name), class: "ace-button line", press });
    this.hear = act("hearNow", "volume-up", () => this.ask("hear", this.hear));
    this.pause = act("pauseRun", "pause", () => api.interrupt(this.prompt));
    this.stop = act("stopKeep", "stop", () => this.ask("stop", this.stop));
    for (const [pressed, tip] of [
      [this.hear, "hearTip"],
      [this.pause, "pauseTip"],
      [this.stop, "stopTip"],
    ])
      pressed.title = say(tip);
    this.bar = el(
      "div",
      {
        class: "ace-progress",
        role: "progressbar",
        "aria-label": say("training"),
        "aria-valuemin": "0",
        "aria-valuemax": "100",
      },
      el("b"),
    );
    this.failure = el(
      "div",
      { class: "ace-note err", role: "alert", hidden: true },
      icon("exclamation-triangle"),
      el("span"),
    );
    this.empty = el("div", { class: "ace-empty" }, el("span", { text: say("noRun") }));
    this.smoothing = el("input", {
      type: "range",
      class: "ace-volume",
      min: "0",
      max: "0.99",
      step: "0.01",
      value: "0.9",
      "aria-label": say("smoothing"),
    });
    this.smoothed = el("strong", { text: number(0.9, 2) });
    this.smoothing.addEventListener("input", () => this.smooth());
    const toggle = (name, press) =>
      button({ label: say(name), class: "ace-button line", "aria-pressed": "false", press });
    this.log = toggle("logScale", () => this.turn(this.log, (on) => (this.chart.log = on)));
    this.asTable = toggle("asTable", () => this.turn(this.asTable, (on) => this.tabled(on)));
    this.numbers = el("div", { class: "ace-numbers", tabindex: "0", hidden: true, "data-capture-wheel": "true" });
    this.levels = el("div", { class: "ace-levels" });
    this.lines = el("div", { class: "ace-log", tabindex: "0", "data-capture-wheel": "true" });
    this.facts = el("span");
    this.saved = el("span");
    const thread = (name, colour, ...more) =>
      el(
        "div",
        { class: "ace-thread", style: { "--ace-thread": `var(--ace-${colour})` } },
        el("strong", { text: say(name) }),
        ...more,
      );
    this.body = el(
      "div",
      { class: "ace-watch" },
      el(
        "div",
        { class: "ace-column" },
        thread(
          "loss",
          "model",
          el("span", { class: "ace-space" }),
          el("span", { class: "ace-quiet", text: say("smoothing") }),
          this.smoothing,
          this.smoothed,
          this.log,
          this.asTable,
        ),
        this.chart.root,
        this.numbers,
        el(
          "div",
          { class: "ace-legend" },
          el("span", { text: say("stepAxis") }),
          el("span", { class: "ace-space" }),
          this.heldOut,
          this.sungAt,
        ),
      ),
      el(
        "div",
        { class: "ace-column" },
        thread("byNoise", "model"),
        this.levels,
        thread("testSongs", "audio", el("span", { class: "ace-quiet", text: say("sameSeed") })),
        this.songs.root,
        thread("log", "set"),
        this.lines,
      ),
    );
    this.foot = el("div", { class: "ace-foot" }, this.facts, el("span", { class: "ace-space" }), this.saved);
    this.head = el(
      "div",
      { class: "ace-head" },
      el("strong", { text: say("training") }),
      this.chip,
      this.about,
      el("span", { class: "ace-space" }),
      this.left,
      this.hear,
      this.pause,
      this.stop,
    );
    return [this.head, this.bar, this.failure, this.empty, this.body, this.foot];
  }

  least() {
    return this.steps.length ? (this.root.clientWidth >= 800 ? 480 : 640) : 144;
  }

  dispose() {
    this.songs.player.stop();
    api.removeEventListener("acestep.train", this.hears);
    widgets.delete(this);
  }

  // -- what is known ----------------------------------------------------------------------------------------------------

  /** Forgets everything and watches another run. */
  begin(name) {
    this.name = name;
    this.steps = [];
    this.looks = [];
    this.sung = [];
    this.texts = [];
    this.start = this.checkpoint = this.end = null;
    this.state = "waiting";
    this.songs.clear();
    this.draw();
  }

  /** New records of the run. */
  news({ node, run: name, records }) {
    if (String(node).split(":").pop() !== String(this.node.id)) return;
    if (name && name !== this.name) this.begin(name);
    this.state = "running";
    for (const record of records) this.take(record);
    this.draw();
  }

  take(record) {
    const later = ({ step }) => step <= record.step;
    if (record.kind === "start") {
      this.start = record;
      this.end = null;
      this.steps = this.steps.filter(later);
      this.looks = this.looks.filter(later);
      this.sung = this.sung.filter(later);
      this.songs.clear();
    } else if (record.kind === "step") {
      this.steps.push(record);
      if (this.steps.length > KEPT)
        this.steps = this.steps.filter((_, place) => place % 2 || place === this.steps.length - 1);
    } else if (record.kind === "validation") this.looks.push(record);
    else if (record.kind === "sample")
      this.sung.push(...(record.songs ?? []).map((file) => ({ step: record.step, file })));
    else if (record.kind === "checkpoint") this.checkpoint = record.step;
    else if (record.kind in ENDS) {
      this.end = record;
      this.state = record.adapter && record.kind === "stopped" ? "stopped" : ENDS[record.kind];
    }
    if (record.kind === "sample") this.waits(this.hear, false);
    const text = {
      warning: told(record.text),
      start: told(record.text),
      failed: told(record.text),
      done: told(record.text),
      checkpoint: say("savedAt", number(record.step)),
    }[record.kind];
    if (text) this.texts = [...this.texts, text].slice(-LINES);
  }

  /** What the run has logged, for a page that comes later. */
  async look(name) {
    if (!name) return;
    const found = await run(name).catch(() => null);
    if (!found?.records.length || this.state === "running") return;
    this.begin(found.run);
    for (const record of found.records) this.take(record);
    if (!this.end) this.state = "paused";
    this.draw();
  }

  /** A graph was loaded, with the name of a run in it. */
  loaded() {
    this.look(this.node.widgets.find(({ name }) => name === "name")?.value);
  }

  /** The outputs of the node after a run. */
  show(output) {
    const [told] = output.acestep_train ?? [];
    if (told && (told.run !== this.name || !this.steps.length)) this.look(told.run);
  }

  // -- a run of the graph goes on ---------------------------------------------------------------------------------------

  run({ prompt }) {
    this.prompt = prompt;
  }

  ended() {
    if (this.state === "running") {
      this.state = "paused";
      this.look(this.name);
    }
    for (const pressed of [this.stop, this.hear]) this.waits(pressed, false);
    this.prompt = null;
    this.draw();
  }

  // -- what is shown ----------------------------------------------------------------------------------------------------

  draw() {
    const { start, state } = this;
    const now = this.steps.at(-1);
    const some = Boolean(start || now);
    const running = state === "running";
    for (const part of [this.body, this.foot, this.bar]) visible(part, some);
    visible(this.empty, !some);
    for (const part of [this.hear, this.pause, this.stop]) visible(part, running);
    disable(this.hear, running && start && !start.hears && say("needsTestSong"));
    this.chip.className = `ace-chip ${state}`;
    this.chip.lastChild.textContent = say(`t_${state}`);
    const steps = start?.steps ?? now?.steps ?? 0;
    const step = this.end?.step ?? now?.step ?? start?.step ?? 0;
    this.about.textContent = some
      ? [
          this.name,
          say("step", number(step), number(steps)),
          now && say("epoch", number(now.epoch), number(now.epochs)),
        ]
          .filter(Boolean)
          .join(" · ")
      : "";
    this.left.textContent = running && now ? say("timeLeft", lasting(now.eta)) : "";
    const share = steps ? Math.round((step / steps) * 100) : 0;
    this.bar.firstChild.style.width = `${share}%`;
    this.bar.setAttribute("aria-valuenow", String(share));
    visible(this.failure, state === "failed");
    this.failure.lastChild.textContent = told(this.end?.text ?? "");
    visible(this.heldOut, this.looks.length > 0);
    visible(this.sungAt, this.sung.length > 0);
    this.chart.show({
      steps: this.steps,
      looks: this.looks,
      songs: this.sung,
      last: Math.min(steps, Math.max(20, Math.ceil(step * 1.3))),
    });
    this.songs.show(this.sung);
    this.measured(now);
    this.lines.replaceChildren(...this.texts.map((text) => el("div", { text })));
    this.lines.scrollTop = this.lines.scrollHeight;
    if (!this.numbers.hidden) this.tabled(true);
    this.grow();
  }

  measured(now) {
    const pairs = Array.from({ length: LEVELS }, (_, level) => {
      const width = (now?.buckets.length ?? 0) / LEVELS;
      const values = (now?.buckets ?? []).slice(level * width, (level + 1) * width).filter((value) => value !== null);
      return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null;
    });
    const most = Math.max(...pairs.map((value) => value ?? 0)) || 1;
    this.levels.replaceChildren(
      ...pairs.flatMap((value, level) => [
        el("span", { class: "ace-quiet", text: `${(level * 100) / LEVELS}–${((level + 1) * 100) / LEVELS} %` }),
        el(
          "span",
          { class: "ace-level" },
          el("b", { style: { width: `${((value ?? 0) / most) * 100}%`, opacity: String(0.6 + 0.1 * level) } }),
        ),
        el("span", { text: value === null ? "–" : number(value, 3) }),
      ]),
    );
    const first = this.steps.at(-20) ?? this.steps[0];
    const pace = now && now.seconds > first.seconds ? (now.step - first.step) / (now.seconds - first.seconds) : 0;
    const facts = [
      pace && say("pace", number(pace, pace < 10 ? 2 : 0)),
      now && say("rate", now.lr.toExponential(1)),
      this.start?.memory && say("memory", bytes(this.start.memory)),
    ];
    this.facts.textContent = facts.filter(Boolean).join("   ");
    this.saved.textContent = this.checkpoint === null ? "" : say("lastKept", number(this.checkpoint));
  }

  smooth() {
    this.chart.smoothing = Number(this.smoothing.value);
    this.smoothed.textContent = number(this.chart.smoothing, 2);
    this.smoothing.style.setProperty("--ace-share", `${this.chart.smoothing * 100}%`);
    this.chart.draw();
    if (!this.numbers.hidden) this.tabled(true);
  }

  turn(pressed, change) {
    const on = pressed.getAttribute("aria-pressed") !== "true";
    pressed.setAttribute("aria-pressed", String(on));
    change(on);
    this.chart.draw();
  }

  /** The curve in numbers. */
  tabled(on) {
    visible(this.numbers, on);
    visible(this.chart.root, !on);
    if (!on) return;
    const steps = this.chart.steps;
    const smooth = averaged(steps, this.chart.smoothing);
    const every = Math.ceil(steps.length / TABLE);
    const row = (cells, tag) => el("tr", {}, ...cells.map((text) => el(tag, { text })));
    const rows = steps
      .map(({ step, loss, lr }, place) => [
        number(step),
        number(smooth[place][1], 4),
        number(loss, 4),
        lr.toExponential(1),
      ])
      .filter((_, place) => place % every === 0 || place === steps.length - 1);
    this.numbers.replaceChildren(
      el(
        "table",
        {},
        el("thead", {}, row([say("stepAxis"), say("average"), say("loss"), say("rateShort")], "th")),
        el("tbody", {}, ...rows.map((cells) => row(cells, "td"))),
      ),
    );
  }

  /** The node becomes large enough once, when there is something to see. */
  grow() {
    if (this.grown || !this.steps.length || !this.node.setSize) return;
    this.grown = true;
    const [width, height] = this.node.size;
    this.node.setSize([Math.max(WIDTH, width), Math.max(height, this.node.computeSize()[1])]);
    this.node.graph?.setDirtyCanvas(true, true);
  }

  // -- what can be asked ------------------------------------------------------------------------------------------------

  async ask(what, pressed) {
    if (disabled(pressed) || !this.name) return;
    this.waits(pressed, true);
    try {
      await wish(this.name, what);
    } catch (error) {
      this.waits(pressed, false);
      this.failure.lastChild.textContent = say("failed", error.message);
      visible(this.failure, true);
    }
  }

  /** A wish is granted after the step, so its button waits. */
  waits(pressed, yes) {
    if (yes) pressed.setAttribute("aria-busy", "true");
    else pressed.removeAttribute("aria-busy");
  }
}

function bytes(count) {
  return count >= 2 ** 30 ? `${number(count / 2 ** 30, 1)} GiB` : `${number(count / 2 ** 20)} MiB`;
}
