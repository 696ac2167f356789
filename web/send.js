// What is done next with a song: it goes into another workflow, is judged, or its settings go into the open graph.

import { app } from "../../scripts/app.js";
import { address, annotated, remember, workflow } from "./api.js";
import { apart, outputOf } from "./part.js";
import { KINDS } from "./region_target.js";

/** Button -> workflow of this pack. */
export const TARGETS = {
  cover: "cover",
  repaint: "repaint",
  extend: "extend",
  layer: "add_track",
  reference: "reference_audio",
};

const SONG = ["caption", "lyrics", "instrumental", "language", "bpm", "keyscale", "timesignature"];
const OPEN = {
  bpm: 0,
  keyscale: "auto",
  timesignature: "auto",
  language: "unknown",
  lyrics: "",
  caption: "",
  instrumental: false,
};

/**
 * Opens a workflow with this file as its recording and the words of the song filled in; as a form where one is open.
 * `edit`: other lyrics, and values of the task.
 */
export async function send(kind, song, { lyrics, task } = {}) {
  const asForm = Boolean(app.graph?.extra?.linearMode);
  const graph = await workflow(TARGETS[kind] + (asForm ? "_app" : ""));
  graph.id = crypto.randomUUID();
  for (const node of graph.nodes) {
    if (node.type === "LoadAudio") put(node, { audio: annotated(song.file) });
    if (node.type === "ACEStepSong") put(node, { ...wordsOf(song.facts), ...(lyrics && { lyrics }) });
    if (task && node.type in KINDS) put(node, task);
  }
  if (song.facts.lines?.length) remember(song.file, song.facts);
  await app.loadGraphData(graph, true, true, null);
}

/** The graph that made it, out of the file's tags. */
export async function openGraph(song) {
  const blob = await (await fetch(address(song.file))).blob();
  await app.handleFile(new File([blob], song.file.filename, { type: blob.type }));
}

/** Writes song and seed into the nodes of the open graph that have them; opens its own graph where there are none. */
export async function reuse(song) {
  const values = { ...wordsOf(song.facts), duration: song.facts.duration ?? 0 };
  const nodes = app.graph.nodes.filter((node) => ["ACEStepSong", "ACEStepSampler"].includes(node.comfyClass));
  if (!nodes.some((node) => node.comfyClass === "ACEStepSong")) return openGraph(song);
  for (const node of nodes) {
    const given =
      node.comfyClass === "ACEStepSong" ? values : { seed: Number(song.facts.seed), control_after_generate: "fixed" };
    for (const widget of node.widgets ?? [])
      if (widget.name in given) {
        widget.value = given[widget.name];
        widget.callback?.(widget.value);
      }
  }
  app.graph.setDirtyCanvas(true, true);
}

/** Listens to one song: when its lines are sung, how well, and how it fits its description. Gives the new facts. */
export async function judge(song) {
  const graph = await workflow("api/score_recording");
  const prompt = {};
  let shown = null;
  for (const [id, node] of Object.entries(graph)) {
    const inputs = {};
    for (const [name, value] of Object.entries(node.inputs))
      inputs[name] = Array.isArray(value) ? [apart(value[0]), value[1]] : value;
    if (node.class_type === "LoadAudio") inputs.audio = annotated(song.file);
    if (node.class_type === "ACEStepSong") Object.assign(inputs, wordsOf(song.facts));
    if (node.class_type === "ACEStepPreviewSong") shown = apart(id);
    if (node.class_type !== "ACEStepShowText") prompt[apart(id)] = { class_type: node.class_type, inputs };
  }
  const { scores, lines } = JSON.parse((await outputOf(prompt, shown)).songs[0]);
  return { scores, lines };
}

function wordsOf(facts) {
  return Object.fromEntries(SONG.map((name) => [name, facts[name] || OPEN[name]]));
}

/** Sets widgets of a node that is not on the canvas yet: its values stand in the order of its inputs with a widget. */
function put(node, values) {
  const names = node.inputs.filter((input) => input.widget).map((input) => input.widget.name);
  for (const [place, name] of names.entries()) if (name in values) node.widgets_values[place] = values[name];
}
