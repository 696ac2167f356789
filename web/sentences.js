// The sentences that nodes and library say, in the language of the canvas. They are made in English, with values in
// them; `sentences/<language>.json` has the translations, see `locales/sentences.py`. What is not there stays English.

import { api } from "../../scripts/api.js";
import { language } from "./words.js";

const LANGUAGES = ["ko", "zh"];
/** Language -> its patterns `{parts, places, translation, telling}` by a word of theirs; none at first. */
const tables = new Map();

/** Fetches the table of the language, once; sentences said before it is there stay English. */
export async function readSentences() {
  const code = language().slice(0, 2);
  if (!LANGUAGES.includes(code) || tables.has(code)) return;
  tables.set(code, new Map());
  try {
    const response = await fetch(new URL(`sentences/${code}.json`, import.meta.url));
    tables.set(code, patterns(await response.json()));
  } catch {
    tables.delete(code); // the canvas then reads English until it is opened again
  }
}

/** Errors of runs, before anyone shows them. */
export function translateErrors() {
  const translate = ({ detail }) => {
    if (detail?.exception_message) detail.exception_message = told(detail.exception_message);
  };
  api.addEventListener("execution_error", translate, { capture: true });
}

/** A text of one or more sentences, each in the language of the canvas as far as it is known. */
export function told(text) {
  const table = tables.get(language().slice(0, 2));
  if (!table?.size || !text) return text;
  return text.replace(/[^\n]+/g, (line) => {
    const [, indent, said, end] = /^(\s*)(.*?)(\s*)$/.exec(line);
    return indent + spoken(table, said) + end;
  });
}

/** The whole line, or else each of its sentences. */
function spoken(table, line) {
  const known = (text) => sentence(table, text) ?? behindName(table, text);
  return known(line) ?? line.replace(/[^ ].*?\.(?= |$)/g, (text) => known(text) ?? text);
}

/** "song.wav: what is said of it." */
function behindName(table, text) {
  for (let at = text.indexOf(": "); at >= 0; at = text.indexOf(": ", at + 2)) {
    const found = sentence(table, text.slice(at + 2));
    if (found !== undefined) return text.slice(0, at + 2) + found;
  }
  return undefined;
}

/** `inside`: of a value, where phrases are known, too. */
function sentence(table, text, inside = false) {
  for (const { parts, places, translation } of candidates(table, text)) {
    if (!inside && !parts.at(-1).endsWith(".")) continue;
    const found = between(parts, text);
    if (!found) continue;
    const values = {};
    for (const [number, place] of places.entries()) values[place] = found[number];
    return translation.replace(/\{(\d)\}/g, (_, place) => sentence(table, values[place] ?? "", true) ?? values[place] ?? "");
  }
  return undefined;
}

/** The patterns that may be meant, the most telling first: those whose word stands there. */
function candidates(table, text) {
  const words = new Set(["", ...text.split(/\s+/)]);
  const found = [...words].flatMap((word) => table.get(word) ?? []);
  return found.sort((one, other) => other.telling - one.telling);
}

/** What stands between the parts, in order; null where the text is another one. */
function between(parts, text) {
  const last = parts.at(-1);
  if (!text.startsWith(parts[0]) || !text.endsWith(last)) return null;
  const values = [];
  let at = parts[0].length;
  const end = text.length - last.length;
  for (const part of parts.slice(1, -1)) {
    const found = text.indexOf(part, at);
    if (found < 0 || found + part.length > end) return null;
    values.push(text.slice(at, found));
    at = found + part.length;
  }
  if (parts.length === 1) return text === last ? [] : null;
  return at <= end ? [...values, text.slice(at, end)] : null;
}

/** Each pattern by its rarest word, so that few are tried on a text; those without a whole word by "". */
function patterns(found) {
  const made = Object.entries(found).map(([english, translation]) => {
    const parts = english.split(/(?:\{\d\})+/); // what stands side by side cannot be told apart: the first is all of it
    const places = Array.from(english.matchAll(/\{(\d)\}(?:\{\d\})*/g), ([, place]) => place);
    return { parts, places, translation, telling: parts.join("").length };
  });
  const often = Map.groupBy(made.flatMap(({ parts }) => wholeWords(parts)), (word) => word);
  const rarest = (words) => words.reduce((best, word) => (often.get(word).length < (often.get(best)?.length ?? Infinity) ? word : best), "");
  return Map.groupBy(made, ({ parts }) => rarest(wholeWords(parts)));
}

/** The words that no value touches. */
function wholeWords(parts) {
  return parts.flatMap((part, place) => part.split(/\s+/).slice(place > 0 ? 1 : 0, place < parts.length - 1 ? -1 : undefined)).filter(Boolean);
}
