// The widgets' own words in three languages, from the tables `words_*.js`. Others read English.

import { app } from "../../scripts/app.js";
import book from "./words_book.js";
import edit from "./words_edit.js";
import first from "./words_first.js";
import song from "./words_song.js";
import train from "./words_train.js";

const WORDS = { ...first, ...song, ...book, ...edit, ...train };
const LANGUAGES = ["en", "ko", "zh"];

/** The language of the canvas, as a code that `Intl` and `lang` understand. */
export function language() {
  return app.extensionManager?.setting?.get("Comfy.Locale") || "en";
}

/** A word or sentence; what stands in `{0}`, `{1}` is given. */
export function say(key, ...given) {
  return sayer(key)(...given);
}

/** Says it many times: asking for the language takes longer than a word. */
export function sayer(key) {
  const text = WORDS[key][Math.max(0, LANGUAGES.indexOf(language().slice(0, 2)))];
  return (...given) => text.replace(/\{(\d)\}/g, (_, place) => given[place]);
}

/** The same for a count, which stands in `{0}`: English has another word for one. */
export function sayCount(key, count) {
  return say(count === 1 ? `${key}One` : key, number(count));
}

/** What a word is in English, for texts that were not translated by us. */
export function inEnglish(key) {
  return WORDS[key][0];
}

export function known(key) {
  return key in WORDS;
}

/** A number as this language writes it. */
export function number(value, digits = 0) {
  return new Intl.NumberFormat(language(), { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(
    value,
  );
}

export function megabytes(bytes) {
  return `${number(bytes / 2 ** 20, bytes < 10 * 2 ** 20 ? 1 : 0)} MB`;
}

/** The name of a language. */
export function languageName(code) {
  try {
    return new Intl.DisplayNames([language()], { type: "language" }).of(code);
  } catch {
    return code;
  }
}
