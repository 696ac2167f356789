// The lyrics editor: headings coloured and offered, what is heard and how long it takes counted, other spellings
// cleaned. What a heading is, and what is read of a text, the server says.

import { report } from "./api.js";
import { button, clock, el, visible } from "./dom.js";
import { Paper } from "./paper.js";
import { fixed } from "./size.js";
import { Suggestions } from "./suggest.js";
import { number, say } from "./words.js";

const PAUSE = 300;
const BYTES = 3;
/** Of a song's length: from here on words may be too many for it. */
const CROWDED = 1.3;

export class LyricsEditor {
  /** `beside()`: language, duration and instrumental of the song; `edited(text)` after each edit; `author`: `Author`. */
  constructor({ beside, edited, author }) {
    this.beside = beside;
    this.said = null;
    this.waiting = null;
    this.over = false;
    this.paper = new Paper({
      label: say("lyrics"),
      placeholder: say("lyricsHere"),
      changed: (text) => {
        edited(text);
        this.suggestions.look();
        this.later();
      },
    });
    this.suggestions = new Suggestions(this.paper);
    this.tokens = el("span", { class: "ace-tokens" });
    this.sings = el("span");
    this.live = el("div", { class: "ace-hidden", role: "status" });
    this.offer = el("span");
    this.shown = button({ label: say("showChanges"), class: "ace-button line", press: () => this.toggle() });
    this.shown.setAttribute("aria-expanded", "false");
    this.changes = el("div", { class: "ace-changes", hidden: true });
    const clean = button({ icon: "check", label: say("clean"), class: "ace-button", press: () => this.clean() });
    this.bar = el(
      "div",
      { class: "ace-offer", hidden: true },
      el("div", { class: "ace-offer-row" }, this.offer, el("span", { class: "ace-space" }), this.shown, clean),
      this.changes,
    );
    const foot = el("div", { class: "ace-foot ace-quiet", id: `ace-foot-${++made}` }, this.tokens, this.sings);
    this.paper.area.setAttribute("aria-describedby", foot.id);
    const head = el(
      "div",
      { class: "ace-thread-head", style: { "--ace-thread": "var(--ace-song)" } },
      el("strong", { text: say("lyrics") }),
      el("span", { class: "ace-space" }),
      ...author.tools,
    );
    const page = el("div", { class: "ace-page" }, this.paper.root, this.suggestions.root);
    this.root = el("div", { class: "ace ace-edit" }, head, author.root, this.bar, page, foot, this.live);
    alone(this.root);
    new ResizeObserver(() => this.root.classList.toggle("ace-fixed", fixed())).observe(this.root);
    this.look();
  }

  get text() {
    return this.paper.text;
  }

  set text(text) {
    if (text === this.paper.text) return;
    this.paper.text = text ?? "";
    this.look();
  }

  /** Looks again when what stands beside the lyrics changes. */
  watch(node) {
    for (const widget of node.widgets ?? [])
      if (["language", "duration", "instrumental"].includes(widget.name)) {
        const { callback } = widget;
        widget.callback = (...given) => {
          const answer = callback?.apply(widget, given);
          this.later();
          return answer;
        };
      }
  }

  /** The least height of the widget in a node of the classic renderer. */
  least() {
    return 276;
  }

  later() {
    this.count();
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.look(), PAUSE);
  }

  /** Asks the server what there is to say about the text. */
  async look() {
    clearTimeout(this.waiting);
    const { text } = this.paper;
    const { language, duration } = this.beside();
    try {
      const said = await report({ lyrics: text, language, duration });
      if (text !== this.paper.text) return;
      this.said = { ...said, bytes: bytes(text), text };
      this.suggestions.tags = said.tags;
      this.paper.colour(text, said.marks, said.unheard);
    } catch {
      this.said = null; // counted in bytes then, and said to be an estimate
    }
    this.count();
    this.clear();
  }

  count() {
    const { said, paper } = this;
    const { duration, instrumental } = this.beside();
    const exact = said?.text === paper.text;
    const share = said?.bytes ? said.tokens / said.bytes : 1 / BYTES;
    const tokens = exact ? said.tokens : Math.round(bytes(paper.text) * share);
    const limit = said?.limit ?? 2048;
    const about = exact && said.counted ? "" : "≈ ";
    const over = tokens > limit;
    const lost = over && exact && said.unheard ? ` · ${say("unheard", number(said.unheard))}` : "";
    this.tokens.textContent = say("tokens", about + number(tokens), number(limit)) + lost;
    this.tokens.title = said && !said.counted ? say("estimate") : "";
    this.tokens.dataset.level = over ? "err" : tokens >= 0.9 * limit ? "warn" : "";
    if (over !== this.over) this.live.textContent = over ? this.tokens.textContent : "";
    this.over = over;
    const seconds = said?.seconds ?? 0;
    const long = Number(duration) > 0;
    const words = long ? say("singsOf", clock(seconds), clock(duration)) : say("sings", clock(seconds));
    this.sings.textContent = instrumental ? say("leftOut") : seconds ? words : "";
    this.sings.dataset.level = !instrumental && long && seconds > CROWDED * Number(duration) ? "warn" : "";
    this.sings.title = say("singsTip");
    this.root.classList.toggle("ace-off", Boolean(instrumental));
  }

  /** Shows or hides the offer to write the text as it is read. */
  clear() {
    const { said } = this;
    const found = said?.text === this.paper.text ? said.changes : [];
    visible(this.bar, found.length > 0);
    if (!found.length) this.toggle(false);
    this.offer.textContent = said?.headings
      ? say(said.headings === 1 ? "oneHeading" : "headings", number(said.headings))
      : say("otherwise");
    this.changes.replaceChildren(
      ...found.flatMap(([before, after]) => [el("del", { text: before }), el("ins", { text: after || "–" })]),
    );
  }

  toggle(open = this.changes.hidden) {
    visible(this.changes, open);
    this.shown.setAttribute("aria-expanded", String(open));
  }

  clean() {
    const { area } = this.paper;
    this.paper.type(0, area.value.length, this.said.read);
    this.suggestions.close();
  }
}

let made = 0;

function bytes(text) {
  return new TextEncoder().encode(text).length;
}

/** Keys and presses inside are not the canvas's; running by Ctrl+Enter is. */
export function alone(root) {
  root.addEventListener("keydown", (event) => {
    const run = event.key === "Enter" && (event.ctrlKey || event.metaKey);
    if (event.key !== "Tab" && event.key !== "Escape" && !run) event.stopPropagation();
  });
  for (const name of ["keyup", "pointerdown", "contextmenu", "paste", "copy", "cut"])
    root.addEventListener(name, (event) => event.stopPropagation());
}
