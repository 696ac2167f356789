// What a region is of: the recording, tempo and lyrics that the graph tells of, and the inputs that it is written into.

import { app } from "../../scripts/app.js";
import { facts } from "./api.js";
import { meterOf } from "./grid.js";

const TIMES = ["start", "end", "after", "before"];
const LOADERS = ["LoadAudio"];

/** Nodes whose region can be drawn -> whether it lies in the recording ("part") or beside it ("added"). */
export const KINDS = { ACEStepRepaint: "part", ACEStepLego: "part", ACEStepExtend: "added" };

const round = (seconds) => Math.round(seconds * 1000) / 1000;

/** The inputs of one node. Times are seconds of the recording. */
export class Target {
  /** `changed` is called when somebody types into one of the inputs. */
  constructor(node, changed) {
    this.node = node;
    this.kind = KINDS[node.comfyClass];
    this.writing = false;
    for (const name of [...TIMES, "mode", "strength", "keep_outside"]) {
      const widget = this.widget(name);
      if (!widget) continue;
      if (TIMES.includes(name)) Object.assign(widget.options, { round: 0.001, precision: 3 }); // bars lie between tenths
      const called = widget.callback;
      widget.callback = (...given) => {
        const answer = called?.apply(widget, given);
        if (!this.writing) changed();
        return answer;
      };
    }
  }

  widget(name) {
    return this.node.widgets?.find((widget) => widget.name === name);
  }

  value(name, fallback) {
    return this.widget(name)?.value ?? fallback;
  }

  /** `{start, end}`: of a part; what is added lies before 0 and after `seconds`. */
  read(seconds) {
    if (this.kind === "added")
      return { start: -Number(this.value("before", 0)), end: seconds + Number(this.value("after", 0)) };
    const end = Number(this.value("end", -1));
    return { start: Number(this.value("start", 0)), end: end < 0 ? seconds : end };
  }

  write({ start, end }, seconds) {
    if (this.kind === "added") {
      this.set("before", round(Math.max(0, -start)));
      this.set("after", round(Math.max(0, end - seconds)));
    } else {
      this.set("start", round(start));
      this.set("end", seconds && Math.abs(end - seconds) < 0.0005 ? -1 : round(end));
    }
    this.set("bars", ""); // which would count instead
    app.graph?.setDirtyCanvas(true, true);
  }

  set(name, value) {
    const widget = this.widget(name);
    if (!widget || widget.value === value) return;
    this.writing = true;
    try {
      widget.value = value;
      widget.callback?.(value);
    } finally {
      this.writing = false;
    }
  }

  /** How the edges are made: what the server needs to know for their width. */
  edges() {
    return {
      mode: this.value("mode", "balanced"),
      strength: this.value("strength", 0.5),
      keep_outside: String(this.value("keep_outside", true)),
    };
  }

  /** The recording as the canvas names files; null where none is loaded from a file. */
  recording() {
    const slot = this.node.inputs?.findIndex((input) => input.name === "audio");
    let from = slot >= 0 ? this.node.getInputNode?.(slot) : null;
    for (let hops = 0; from && from.type === "Reroute" && hops < 20; hops++) from = from.getInputNode?.(0);
    if (!from || !LOADERS.includes(from.comfyClass ?? from.type)) return null;
    return itemOf(from.widgets?.find((widget) => widget.name === "audio")?.value);
  }

  /** What the graph says of tempo and meter; the recording's own goes first. */
  told() {
    const { bpm, timesignature } = songIn(this.node.graph ?? app.graph);
    return { bpm, timesignature };
  }

  /** What is known of the recording: its own record, else what a Song node of the graph says. */
  async known(item) {
    const own = await facts(item).catch(() => ({}));
    const from = own.bpm ? own : this.told();
    return { lines: own.lines ?? [], meter: meterOf(Number(from.bpm ?? 0), signatureOf(from.timesignature)) };
  }
}

const signatureOf = (value) => (/^\d$/.test(String(value ?? "")) ? String(value) : "");

function songIn(graph) {
  const song = graph?.nodes?.find((node) => node.comfyClass === "ACEStepSong");
  return Object.fromEntries((song?.widgets ?? []).map((widget) => [widget.name, widget.value]));
}

/** "sub/a.flac [output]" -> `{filename, subfolder, type}`. */
export function itemOf(name) {
  const found = /^(?:(.*)\/)?([^/]+?)(?: \[(input|output|temp)\])?$/.exec(String(name ?? "").trim());
  return found ? { filename: found[2], subfolder: found[1] ?? "", type: found[3] ?? "input" } : null;
}
