// The workflows that come with the pack: what is said about them in the language of the canvas, and their notes and titles.

import { workflow } from "./api.js";
import { language } from "./words.js";

const LANGUAGES = ["ko", "zh"];
const LABELLED = /^(.*?)(?: (original|retake))?( \d+%?| [AB])?$/;
const found = new Map();

/** The gallery in the language of the canvas: `[{title, templates: [{name, title, description, needs, note}]}]`. */
export function shipped() {
  const spoken = language().slice(0, 2);
  const code = LANGUAGES.includes(spoken) ? spoken : "en";
  if (!found.has(code)) {
    const asked = workflow(`index/${code}`);
    asked.catch(() => found.delete(code));
    found.set(code, asked);
  }
  return found.get(code);
}

/** What to translate titles and notes with; null where the canvas reads English or the gallery is not there. */
export async function readShipped() {
  if (!LANGUAGES.includes(language().slice(0, 2))) return null;
  try {
    const [ours, english] = await Promise.all([shipped(), workflow("index/en")]);
    const notes = new Map();
    for (const [place, group] of english.entries())
      for (const [number, card] of group.templates.entries()) notes.set(card.note, ours[place].templates[number]);
    return { ...ours[0].words, notes };
  } catch {
    return null; // without it the graph is shown in English
  }
}

/** Puts a graph that is about to open into the language of the canvas; what somebody wrote themselves stays. */
export function translate(graph, words) {
  if (!words) return;
  for (const node of graph.nodes ?? []) {
    const card = node.type === "MarkdownNote" && words.notes.get(node.widgets_values?.[0]);
    if (card) {
      node.title = card.title;
      node.widgets_values = [card.note];
    } else if (node.title) {
      const before = node.title;
      retitle(node, words);
      for (const input of node.inputs ?? []) rename(input, before, node, words);
    }
  }
  for (const group of graph.groups ?? []) {
    const [, number, stage] = /^(\d) (\w+)$/.exec(group.title ?? "") ?? [];
    if (stage in words.stages) group.title = `${number} ${words.stages[stage]}`;
  }
}

/** "Sampler retake 20%" -> the node's own name and what tells it apart; a plain "Sampler" is its own name alone. */
function retitle(node, { titles, plain }) {
  const [, name, role = "", rest = ""] = LABELLED.exec(node.title);
  const end = (role && ` ${titles[role] ?? role}`) + rest;
  if (name in titles) node.title = titles[name] + end;
  else if (!plain.includes(name)) return;
  else if (end) node.title = window.LiteGraph.registered_node_types[node.type].title + end;
  else delete node.title;
}

/** A field of a form that says whose it is, "Codes: Seed", or that is called like its node. */
function rename(input, before, node, { fields }) {
  const title = node.title ?? window.LiteGraph.registered_node_types[node.type].title;
  if (input.label === before) input.label = title;
  else if (input.label?.startsWith(`${before}: `)) {
    const name = input.label.slice(before.length + 2);
    input.label = `${title}: ${fields[name] ?? name}`;
  }
}
