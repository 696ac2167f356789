// Graphs of other ACE-Step nodes, and requests of other programs, turned into our nodes.

import { app } from "../../scripts/app.js";
import { migrated } from "./api.js";
import { say } from "./words.js";

const OTHERS = /^(TextEncodeAceStepAudio|EmptyAceStep|ReferenceTimbreAudio|ACE_STEP_|ScromfyAceStep)/;
const TEXTS = ["caption", "lyrics", "prompt", "description", "sample_query"];

/** Whether JSON that is no graph asks for a song, as upstream's saved parameters do. */
export function isRequest(data) {
  return TEXTS.some((name) => typeof data[name] === "string");
}

/** Types of a graph that make music with ACE-Step and are not ours; subgraphs included. */
function others(graph) {
  const graphs = [graph, ...(graph.definitions?.subgraphs ?? [])];
  return graphs.flatMap((one) => one.nodes ?? []).map((node) => node.type).filter((type) => OTHERS.test(type));
}

/** Asks before a graph opens whose nodes are not here; what opens is then the same in ours. */
export async function offer(graph) {
  const known = window.LiteGraph.registered_node_types;
  if (!others(graph).some((type) => !(type in known))) return;
  const asked = { title: say("migrate"), message: say("migrateAsk") };
  if (await app.extensionManager.dialog.confirm(asked)) await turn(graph);
}

/** Puts our nodes in the place of what `graph` holds; false where that cannot be. */
export async function turn(graph) {
  let made;
  try {
    made = await migrated(graph);
  } catch (error) {
    app.extensionManager.toast.add({ severity: "warn", summary: error.message, life: 10000 });
    return false;
  }
  for (const key of Object.keys(graph)) delete graph[key];
  Object.assign(graph, made.workflow, { id: crypto.randomUUID() });
  app.extensionManager.toast.add({
    severity: "success",
    summary: say("migrateDone"),
    detail: say("migrateNotes", made.notes.length),
    life: 8000,
  });
  return true;
}

/** The open graph in our nodes, in a tab of its own. */
export async function migrate() {
  const graph = app.graph.serialize();
  if (await turn(graph)) await app.loadGraphData(graph, true, true, null);
}
