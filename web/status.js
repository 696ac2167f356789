// The frontend shows the progress text of a node on it, and some versions leave it there; it goes when the node is done.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

/** How the frontend calls the widget with the text. */
const TEXT = "$$node-text-preview";
const ENDS = ["execution_success", "execution_interrupted", "execution_error"];

/** The node that an execution id names: `7`, or `12:7` for one in the subgraph that node 12 stands for. */
function named(id) {
  const steps = String(id).split(":").map(Number);
  const last = steps.pop();
  return steps.reduce((graph, step) => graph?.getNodeById(step)?.subgraph, app.graph)?.getNodeById(last);
}

function clear(id) {
  const node = named(id);
  const widget = node?.comfyClass?.startsWith("ACEStep") && node.widgets?.find(({ name }) => name === TEXT);
  if (!widget) return;
  node.removeWidget(widget);
  node.graph?.setDirtyCanvas(true, true);
}

/** Follows what nodes say, so that none goes on saying how far it was. */
export function followStatus() {
  const saying = new Set();
  const done = (id) => {
    if (saying.delete(id)) clear(id);
  };
  api.addEventListener("progress_text", ({ detail }) => saying.add(String(detail.nodeId)));
  api.addEventListener("progress_state", ({ detail }) => {
    for (const [id, { state }] of Object.entries(detail.nodes)) if (state === "finished") done(id);
  });
  for (const event of ENDS) api.addEventListener(event, () => [...saying].forEach(done));
}
