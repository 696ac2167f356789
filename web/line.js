// One line of a song sung anew: its words are asked for, its time becomes the region of a repaint.

import { button, el, icon, inFront } from "./dom.js";
import { moment } from "./grid.js";
import { number, say } from "./words.js";

const BEFORE = 0.15;
const AFTER = 0.25;
/** A voice comes in early and rings on; half held, the rest of the song leads over into the line. */
const TASK = { mode: "balanced", strength: 0.5, keep_outside: true, bars: "" };

/**
 * Asks for the words of a line in front of everything.
 *
 * `song`: the widget that plays it; `use` takes `{lyrics, task}`, what a repaint needs to know.
 */
export function askLine(line, song, use) {
  const { lyrics, seconds, player } = song;
  const [start, end] = spanOf(line, lyrics.sung, seconds);
  const words = el("input", { type: "text", class: "ace-words-field", "aria-label": say("redoWords"), lang: lyrics.root.lang });
  words.value = line.text;
  const count = el("span", { class: "ace-quiet" });
  const fits = el("span", { class: "ace-fits" });
  const hint = () => {
    const [before, now] = [syllables(line.text), syllables(words.value)];
    count.textContent = before && now ? say("syllables", number(before), number(now)) : "";
    const more = now - before;
    const near = Math.abs(more) <= 1;
    const text = more > 0 ? say("rushed", number(more)) : say("drawnOut", number(-more));
    fits.replaceChildren(...(before && now ? [near && icon("check"), near ? say("fitsTime") : text].filter(Boolean) : []));
    fits.classList.toggle("near", near);
  };
  const done = () => {
    const text = words.value.trim();
    if (!text) return words.focus();
    dialog.close();
    const edited = withLine(song.song.facts.lyrics ?? "", lyrics.lines, line, text);
    use({ lyrics: edited, task: { ...TASK, start: round(start), end: round(end) } });
  };
  words.addEventListener("input", hint);
  words.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Enter" && !event.isComposing) done();
    if (event.key === "Escape") dialog.close();
  });
  const hear = () => {
    player.seek(start);
    player.play();
    stopAt(player, end);
  };
  const form = el(
    "div",
    { class: "ace-redo-form" },
    el("strong", { class: "ace-redo-title", text: say("redoTitle") }),
    el("span", { class: "ace-quiet", text: say("nowSung", moment(line.start), moment(line.end)) }),
    el("s", { text: line.text, lang: lyrics.root.lang }),
    words,
    el("div", { class: "ace-redo-hint" }, count, fits),
    el(
      "div",
      { class: "ace-redo-row" },
      button({ icon: "pencil", label: say("redoFor", number(end - start, 1)), class: "ace-button ace-primary", press: done }),
      button({ label: say("hearFirst"), class: "ace-button line", press: hear }),
    ),
  );
  const dialog = inFront(form, { kind: "ace-redo-dialog", name: say("redoTitle"), shut: say("close") });
  hint();
  words.focus();
  words.select();
}

/** When a line is sung, with a little around it that belongs to no other line. */
export function spanOf(line, sung, seconds) {
  const before = sung.filter((other) => other !== line && other.end <= line.start + 0.001).map((other) => other.end);
  const after = sung.filter((other) => other !== line && other.start >= line.end - 0.001).map((other) => other.start);
  const low = Math.min(line.start, Math.max(0, ...before, line.start - BEFORE));
  const high = Math.max(line.end, Math.min(seconds || Infinity, ...after, line.end + AFTER));
  return [low, high];
}

/** The lyrics with other words for one line; the same words elsewhere stay. */
export function withLine(lyrics, lines, line, text) {
  const place = lines.filter((other) => other.text === line.text).indexOf(line);
  let seen = -1;
  const rows = lyrics.split("\n");
  const at = rows.findIndex((row) => row.trim() === line.text.trim() && ++seen === place);
  if (at >= 0) return rows.with(at, text).join("\n");
  return lines.map((other) => (other === line ? text : other.text)).join("\n"); // written in another way there
}

/** About how many syllables a line has; 0 in a script where they cannot be told. */
export function syllables(text) {
  const read = text.normalize("NFC").toLowerCase();
  const blocks = read.match(/[\uac00-\ud7a3\u4e00-\u9fff]|[\u3040-\u30ff](?<![\u3041\u3043\u3045\u3047\u3049\u3083\u3085\u3087\u30a1\u30a3\u30a5\u30a7\u30a9\u30e3\u30e5\u30e7\u30fc])/g);
  const spoken = (read.match(/[a-z\u00df-\u017f']+/g) ?? []).map((word) => {
    const short = word.replace(/(?<=[^aeiouyl][^aeiouy]*)e$|(?<=[aeiouy][a-z]*[^aeiouytd])e(d|s)$/, "");
    return Math.max(1, (bare(short).match(/[aeiouy]+/g) ?? []).length);
  });
  const cyrillic = read.match(/[\u0430\u0435\u0438\u043e\u0443\u044b\u044d\u044e\u044f\u0451\u0456\u0457\u0454]/g);
  return (blocks?.length ?? 0) + spoken.reduce((sum, count) => sum + count, 0) + (cyrillic?.length ?? 0);
}

const bare = (word) => word.normalize("NFD").replace(/[\u0300-\u036f]/g, "");
const round = (value) => Math.round(value * 1000) / 1000;

function stopAt(player, end) {
  const watch = () => {
    if (player.time < end && player.playing) return;
    player.audio.removeEventListener("timeupdate", watch);
    if (player.time >= end) player.stop();
  };
  player.audio.addEventListener("timeupdate", watch);
}
