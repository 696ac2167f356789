// Making batches in the background: how far a run is, and AutoGen, which keeps one batch ahead of the one that is heard.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { heard, onHeard } from "./player.js";

const SAMPLER = "ACEStepSampler";
const MOST_SEED = 2 ** 32;

function key(item) {
  return `${item.type}/${item.subfolder}/${item.filename}`;
}

function widgetOf(node, name) {
  return node.widgets?.find((widget) => widget.name === name);
}

/** The prompt of the open graph with new seeds, so that it makes other songs; the graph itself stays as it is. */
export async function freshPrompt() {
  const { output, workflow } = await app.graphToPrompt();
  for (const [id, node] of Object.entries(output)) {
    if (!node.class_type.startsWith("ACEStep") || typeof node.inputs.seed !== "number") continue;
    node.inputs.seed = Math.floor(Math.random() * MOST_SEED);
    const shown = app.graph.getNodeById(Number(id));
    const place = shown?.widgets?.findIndex((widget) => widget.name === "seed") ?? -1;
    const saved = workflow.nodes.find((entry) => String(entry.id) === id);
    if (place >= 0 && saved?.widgets_values) saved.widgets_values[place] = node.inputs.seed;
  }
  return { output, workflow };
}

/** How many songs the open graph makes at a time; 0 where it makes none. */
export function songsPerRun() {
  const samplers = app.graph?.nodes.filter((node) => node.comfyClass === SAMPLER && node.mode === 0) ?? [];
  return samplers.reduce((sum, node) => sum + (Number(widgetOf(node, "batch_size")?.value) || 1), 0);
}

class AutoGen {
  constructor() {
    this.on = false;
    this.run = null; // {prompt, songs, done, total, since, from}
    this.waiting = 0;
    this.asking = false;
    this.error = "";
    this.newest = new Set();
    this.found = [];
    this.watchers = new Set();
    onHeard(() => this.consider());
    api.addEventListener("execution_start", ({ detail }) => this.started(detail.prompt_id));
    api.addEventListener("progress", ({ detail }) => this.progress(detail));
    api.addEventListener("executed", ({ detail }) => this.executed(detail));
    api.addEventListener("status", ({ detail }) => this.status(detail));
    for (const end of ["success", "interrupted", "error"])
      api.addEventListener(`execution_${end}`, ({ detail }) => this.ended(detail, end));
  }

  /** `changed()` is called when there is something new to show, `made()` when a run has written songs. Gives the end. */
  watch(changed, made = () => {}) {
    const watcher = { changed, made };
    this.watchers.add(watcher);
    changed();
    return () => this.watchers.delete(watcher);
  }

  changed() {
    for (const watcher of this.watchers) watcher.changed();
  }

  /** The newest batch that the songbook knows; whoever hears one of these files wants the next. */
  know(files) {
    if (this.run || ![...this.newest].every((name) => name.startsWith("output/"))) return;
    this.newest = new Set(files.map(key));
    this.consider();
  }

  get listening() {
    return heard() !== null;
  }

  get busy() {
    return this.run !== null || this.waiting > 0 || this.asking;
  }

  /** waiting, making, ready, paused or off. */
  get state() {
    if (this.run) return "making";
    if (this.waiting > 0 || this.asking) return "waiting";
    if (!this.on) return "off";
    return this.listening ? "ready" : "paused";
  }

  turn(on) {
    this.on = on;
    this.error = "";
    if (on && !songsPerRun()) {
      this.on = false;
      this.error = "needsGraph";
    }
    this.consider();
    this.changed();
  }

  /** Queues the next batch when the newest one is being heard. */
  consider() {
    const item = heard();
    if (this.on && item && !this.busy && (!this.newest.size || this.newest.has(key(item)))) this.make();
    this.changed();
  }

  /** Queues one batch with new seeds. */
  async make() {
    if (this.busy) return;
    if (!songsPerRun()) {
      this.error = "needsGraph";
      this.changed();
      return;
    }
    this.asking = true;
    this.error = "";
    try {
      await api.queuePrompt(0, await freshPrompt());
    } catch (error) {
      this.fail(error.message);
    } finally {
      this.asking = false;
      this.changed();
    }
  }

  cancel() {
    this.on = false;
    if (this.run) api.interrupt(this.run.prompt);
  }

  fail(text) {
    this.on = false;
    this.error = text;
  }

  started(prompt) {
    this.run = { prompt, songs: songsPerRun(), done: 0, total: 0, since: 0, from: 0 };
    this.found = [];
    this.changed();
  }

  progress({ prompt_id: prompt, value, max }) {
    if (prompt !== this.run?.prompt) return;
    if (max !== this.run.total || value < this.run.done)
      Object.assign(this.run, { since: performance.now(), from: value, total: max });
    this.run.done = value;
    this.changed();
  }

  /** Seconds that the running stage still takes; null where that cannot be told yet. */
  get left() {
    const { done, total, since, from } = this.run ?? {};
    if (!this.run || done <= from) return null;
    return ((performance.now() - since) / 1000 / (done - from)) * (total - done);
  }

  executed({ prompt_id: prompt, output }) {
    if (prompt === this.run?.prompt && output?.songs && output.audio) this.found.push(...output.audio);
  }

  status(detail) {
    const remaining = detail?.exec_info?.queue_remaining ?? 0;
    this.waiting = Math.max(0, remaining - (this.run ? 1 : 0));
    this.changed();
  }

  ended({ prompt_id: prompt, exception_message: message }, how) {
    if (prompt !== this.run?.prompt) return;
    this.run = null;
    if (how === "error") this.fail(message?.trim() || "error");
    if (how === "interrupted") this.on = false;
    if (how === "success" && this.on && !this.found.length) this.fail("needsGraph"); // or it would go on for ever
    if (this.found.length) {
      this.newest = new Set(this.found.map(key));
      for (const watcher of this.watchers) watcher.made();
    }
    this.changed();
    setTimeout(() => this.consider(), 0);
  }
}

let only = null;

/** The one that songbook and form share; it begins to listen when it is first asked for. */
export function autogen() {
  only ??= new AutoGen();
  return only;
}
