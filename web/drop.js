// Files that are dropped or opened: a song's record opens the graph that makes it again, timed lyrics become lyrics, and
// no file leaves an empty canvas.

import { app } from "../../scripts/app.js";
import { workflow } from "./api.js";
import { nodesOf, write } from "./fields.js";
import { isRequest, turn } from "./migrate.js";
import { say } from "./words.js";

const RECORD = "acestep-song";
const STAMPS = /[[<]\d+:\d+(?:[.:]\d+)?[\]>]/g;
let last = null;
const ABOUT = /^\s*\[(?:ar|al|ti|au|by|length|offset|re|ve|la|tool|#)[^\]]*\]\s*$/gim;

/** Timed lyrics without their times and the lines about them: the words, with their section tags. */
export function plain(text) {
  const lines = text.replace(ABOUT, "").replace(STAMPS, "").split(/\r?\n/);
  return lines
    .map((line) => line.trim())
    .join("\n")
    .replace(/\n{3,}/g, "\n\n")
    .trim();
}

/** Takes over timed lyrics, which nobody else reads. */
export function followDrops() {
  const take = (event) => {
    remember();
    const file = [...(event.dataTransfer?.files ?? [])].find(({ name }) => /\.lrc$/i.test(name));
    if (!file) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const place = [event.clientX, event.clientY];
    file.text().then((text) => sing(plain(text), place));
  };
  document.addEventListener("drop", take, true);
}

/** Lyrics go into the songs of the open graph, or into a new one. */
function sing(lyrics, [x, y]) {
  if (!nodesOf("ACEStepSong").length) {
    const node = window.LiteGraph.createNode("ACEStepSong");
    const { offset, scale } = app.canvas.ds;
    node.pos = [x / scale - offset[0], y / scale - offset[1]];
    app.graph.add(node);
  }
  write("ACEStepSong", "lyrics", lyrics);
  write("ACEStepSong", "instrumental", false);
  app.extensionManager.toast.add({ severity: "success", summary: say("lyricsTaken"), life: 4000 });
}

/** Puts something that can be opened in the place of JSON that is no graph, before the canvas takes it apart. */
export async function rescue(graph) {
  if (Array.isArray(graph.nodes) || (isRequest(graph) && (await turn(graph)))) return;
  const record = graph.format === RECORD ? JSON.stringify(graph, null, 2) : null;
  const other = record ? await workflow("regenerate") : structuredClone(before());
  for (const key of Object.keys(graph)) delete graph[key];
  Object.assign(graph, other);
  if (!record) {
    app.extensionManager.toast.add({ severity: "warn", summary: say("noGraph"), life: 8000 });
    return;
  }
  graph.id = crypto.randomUUID();
  for (const node of graph.nodes)
    if (node.type === "ACEStepLoadRecord") {
      const names = node.inputs.filter((input) => input.widget).map((input) => input.widget.name);
      node.widgets_values[names.indexOf("record")] = record;
    }
}

/** Notes what is open; called before a file is read and before a graph is replaced. */
export function remember() {
  if (app.graph?.nodes.length) last = app.graph.serialize();
}

/** What was open, else an empty graph. */
function before() {
  return last ?? { version: 0.4, nodes: [], links: [], groups: [], extra: {} };
}
