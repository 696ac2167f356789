// Running a part of a graph: what one node needs, and nothing after it.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { workflow } from "./api.js";

const APART = 1_000_000;

/** An id that no node of the open graph has, so that none takes a result for its own. */
export function apart(id) {
  return String(APART + Number(id));
}

/** Runs a prompt and gives what one of its nodes shows. */
export async function outputOf(prompt, node) {
  const news = [];
  let wake = () => {};
  const events = ["executed", "execution_error", "execution_interrupted"];
  const listener = (event) => {
    news.push([event.type, event.detail]);
    wake();
  };
  for (const event of events) api.addEventListener(event, listener);
  try {
    const { prompt_id: id } = await api.queuePrompt(0, { output: prompt, workflow: {} });
    for (;;) {
      while (!news.length) await new Promise((done) => (wake = done));
      const [event, detail] = news.shift(); // the first may have come before the answer
      if (detail?.prompt_id !== id) continue;
      if (event === "executed" && String(detail.node) === node) return detail.output;
      if (event !== "executed") throw new Error(detail.exception_message?.trim() ?? "cancelled");
    }
  } finally {
    for (const event of events) api.removeEventListener(event, listener);
  }
}

/** Makes what a node of the open graph makes, and what it needs for that; `slot` is an output of it that is text. */
export async function runUpTo(node, slot) {
  const { output } = await app.graphToPrompt();
  const id = String(node.id);
  const prompt = needed(output, id);
  prompt[apart(0)] = { class_type: "ACEStepShowText", inputs: { text: [id, slot] } };
  return outputOf(prompt, id);
}

/** The nodes with which the open graph gets its language model, or those of this pack's own graph, and its wire. */
export async function languageModel() {
  const { output } = await app.graphToPrompt();
  const open = wireOf(output);
  if (open) return { prompt: needed(output, open[0]), wire: open };
  const own = elsewhere(await workflow("api/simple"));
  const wire = wireOf(own);
  return { prompt: needed(own, wire[0]), wire };
}

function elsewhere(prompt) {
  const wire = (value) => (Array.isArray(value) ? [apart(value[0]), value[1]] : value);
  const inputs = (node) => Object.fromEntries(Object.entries(node.inputs).map(([name, value]) => [name, wire(value)]));
  return Object.fromEntries(
    Object.entries(prompt).map(([id, node]) => [apart(id), { class_type: node.class_type, inputs: inputs(node) }]),
  );
}

function wireOf(prompt) {
  return Object.values(prompt)
    .map((node) => node.inputs.lm)
    .find(Array.isArray);
}

/** A node of a prompt with all that it is made of. */
export function needed(prompt, id) {
  const found = {};
  const waiting = [String(id)];
  while (waiting.length) {
    const next = waiting.pop();
    if (found[next] || !prompt[next]) continue;
    found[next] = prompt[next];
    for (const value of Object.values(prompt[next].inputs)) if (Array.isArray(value)) waiting.push(String(value[0]));
  }
  return found;
}
