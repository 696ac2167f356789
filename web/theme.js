// Colours: each kind of thing has one, which is the colour of its wire too. Dark or light follows the user's palette.

import { app } from "../../scripts/app.js";
import { language } from "./words.js";

/** Name -> [on dark, on light]. */
export const TOKENS = {
  song: ["#F2A65A", "#9A4F00"],
  task: ["#E3C94B", "#6E5B00"],
  model: ["#A99BF5", "#5B46C9"],
  lm: ["#9FB0C8", "#4E617C"],
  vae: ["#D9A58C", "#8C5233"],
  cond: ["#F08A8A", "#A83232"],
  latent: ["#FF9CF9", "#9C2F97"],
  audio: ["#4FD0B5", "#086752"],
  "audio-ink": ["#06231D", "#FFFFFF"],
  codes: ["#7FB7F5", "#1A5FA6"],
  timing: ["#A9D36B", "#446A07"],
  score: ["#F5D76E", "#6E5B00"],
  set: ["#C9C9CC", "#55565E"],
  warn: ["#FFB454", "#8A4B00"],
  err: ["#FF8A80", "#B3261E"],
  unplayed: ["#6B6C72", "#8A8A8A"],
  "fg-share": ["68%", "75%"],
  "field-share": ["100%", "55%"],
};

const WIRES = {
  ACESTEP_SONG: "song",
  ACESTEP_TASK: "task",
  ACESTEP_MODEL: "model",
  ACESTEP_LM: "lm",
  ACESTEP_VAE: "vae",
  ACESTEP_CONDITIONING: "cond",
  ACESTEP_CODES: "codes",
  ACESTEP_TIMING: "timing",
  ACESTEP_SCORES: "score",
  ACESTEP_GUIDANCE: "set",
  ACESTEP_SAMPLING: "set",
  ACESTEP_SETTINGS: "set",
  ACESTEP_DATASET: "song",
  ACESTEP_TRAINSET: "latent",
  ACESTEP_TRAIN_SETTINGS: "set",
  AUDIO: "audio",
};

const listeners = new Set();
const ours = new Map();
let current = null;

/** Calls back now and after each change of the palette. */
export function themed(listener) {
  listeners.add(listener);
  listener();
}

export function startTheme() {
  const sheets = ["acestep.css", "forms.css", "songbook.css", "region.css", "train.css", "first.css"].map((name) => {
    const sheet = document.createElement("link");
    sheet.rel = "stylesheet";
    sheet.href = new URL(name, import.meta.url);
    return sheet;
  });
  const tokens = document.createElement("style");
  const rule = (theme, column) => {
    const lines = Object.entries(TOKENS).map(([name, values]) => `--ace-${name}:${values[column]};`);
    return `:root[data-ace-theme="${theme}"]{${lines.join("")}}`;
  };
  tokens.textContent = rule("dark", 0) + rule("light", 1);
  document.head.append(...sheets, tokens);
}

/** Follows the palette from when the canvas is there: before, the page changes its style many times, and shows nothing of ours. */
export function followPalette() {
  follow();
  const watcher = new MutationObserver(follow);
  for (const element of [document.documentElement, document.body])
    watcher.observe(element, { attributes: true, attributeFilter: ["style", "class"] });
}

function follow() {
  const ground = getComputedStyle(document.body).getPropertyValue("--comfy-menu-bg").trim();
  if (!ground) return;
  if (ground !== current) {
    current = ground;
    document.documentElement.dataset.aceTheme = luminance(ground) < 0.4 ? "dark" : "light";
    for (const listener of listeners) listener();
  }
  document.documentElement.dataset.aceLanguage = language();
  colourWires(document.documentElement.dataset.aceTheme === "dark" ? 0 : 1); // a palette that is loaded again clears them
}

function luminance(colour) {
  const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  pen.fillStyle = colour;
  pen.fillRect(0, 0, 1, 1);
  const [r, g, b] = [...pen.getImageData(0, 0, 1, 1).data].map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function colourWires(column) {
  const style = document.documentElement.style;
  const places = [window.LGraphCanvas?.link_type_colors, app.canvas?.default_connection_color_byType];
  for (const [type, token] of Object.entries(WIRES)) {
    const colour = TOKENS[token][column];
    const own = ours.get(type);
    const free = (value) => value !== colour && (!value || value === own);
    if (free(style.getPropertyValue(`--color-datatype-${type}`))) style.setProperty(`--color-datatype-${type}`, colour);
    for (const place of places) if (place && free(place[type])) place[type] = colour;
    ours.set(type, colour);
  }
}
