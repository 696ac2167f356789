// A text that a node has to say after a run: a plan, a report, a remark. It stays until the next run.

import { button, el, visible } from "./dom.js";
import { say } from "./words.js";

const MOST = 220;

export class TextWidget {
  /** `frame`: shows an empty frame until there is a text. */
  constructor(frame) {
    this.text = el("div", { class: "ace-text", tabindex: "0", "data-capture-wheel": "true", lang: "" });
    this.copy = button({
      icon: "copy",
      name: say("copyText"),
      class: "ace-icon ace-copy",
      press: () => navigator.clipboard.writeText(this.text.textContent),
    });
    this.taken = null;
    this.take = button({ icon: "pencil", label: say("takeOver"), class: "ace-button line", press: () => this.taken() });
    this.take.title = say("takeOverTip");
    this.take.hidden = true;
    this.root = el("div", { class: "ace ace-remark", role: "note" }, this.text, this.copy, this.take);
    this.frame = frame;
    for (const event of ["pointerdown", "keydown"])
      this.root.addEventListener(event, (news) => news.key !== "Tab" && news.stopPropagation());
    this.root.addEventListener(
      "wheel",
      (event) => this.text.scrollHeight > this.text.clientHeight + 1 && event.stopPropagation(),
    );
    this.show([], false);
  }

  show(texts, ran = true) {
    const text = texts.join("\n\n");
    this.text.textContent = text || (this.frame ? say(ran ? "nothing" : "noText") : "");
    this.text.classList.toggle("ace-quiet", !text);
    visible(this.copy, Boolean(text));
    visible(this.root, Boolean(text) || this.frame);
  }

  /** Offers to take over what the text tells of; nothing takes the offer back. */
  offer(taken) {
    this.taken = taken;
    visible(this.take, Boolean(taken));
  }

  height() {
    if (this.root.hidden) return 0;
    const lines = this.text.textContent
      .split("\n")
      .reduce((sum, line) => sum + Math.max(1, Math.ceil(line.length / 44)), 0);
    return Math.min(MOST, 24 + 18 * lines) + (this.take.hidden ? 0 : 36);
  }
}
