// What may stand behind a `[` in lyrics, offered while it is typed.

import { el, visible } from "./dom.js";
import { say } from "./words.js";

let made = 0;

export class Suggestions {
  /** `paper`: the text to complete. */
  constructor(paper) {
    this.paper = paper;
    this.tags = [];
    this.found = [];
    this.place = 0;
    const id = `ace-tags-${++made}`;
    this.root = el("div", { class: "ace-suggest", role: "listbox", id, "aria-label": say("tags"), hidden: true });
    const { area } = paper;
    for (const [name, value] of Object.entries({
      role: "combobox",
      "aria-autocomplete": "list",
      "aria-controls": id,
      "aria-expanded": "false",
      "aria-haspopup": "listbox",
    }))
      area.setAttribute(name, value);
    area.addEventListener("blur", () => this.close());
    area.addEventListener("keydown", (event) => this.key(event));
  }

  /** Looks at what stands before the cursor. */
  look() {
    const { area } = this.paper;
    const typed = /\[([^[\]\n]*)$/.exec(area.value.slice(0, area.selectionStart));
    const words = typed?.[1].trim().toLowerCase();
    this.found = typed ? this.tags.filter((tag) => tag.toLowerCase().startsWith(words)) : [];
    if (!this.found.length) {
      this.close();
      return;
    }
    this.start = area.selectionStart - typed[0].length;
    this.show(0);
  }

  show(place) {
    this.place = (place + this.found.length) % this.found.length;
    this.root.replaceChildren(
      ...this.found.map((tag, at) =>
        el("div", {
          class: "ace-tag-choice",
          role: "option",
          id: `${this.root.id}-${at}`,
          "aria-selected": String(at === this.place),
          text: `[${tag}]`,
          on: {
            pointerdown: (event) => {
              event.preventDefault(); // the text keeps the focus
              this.take(at);
            },
          },
        }),
      ),
    );
    visible(this.root, true);
    this.root.children[this.place].scrollIntoView({ block: "nearest" });
    this.paper.area.setAttribute("aria-expanded", "true");
    this.paper.area.setAttribute("aria-activedescendant", this.root.children[this.place].id);
  }

  close() {
    visible(this.root, false);
    this.paper.area.setAttribute("aria-expanded", "false");
    this.paper.area.removeAttribute("aria-activedescendant");
  }

  take(place) {
    const { area } = this.paper;
    const end = area.selectionStart + (area.value[area.selectionStart] === "]" ? 1 : 0);
    const tag = `[${this.found[place]}]`;
    this.close();
    this.paper.type(this.start, end, tag);
    this.close();
  }

  key(event) {
    if (this.root.hidden || event.isComposing) return;
    const keys = {
      ArrowDown: () => this.show(this.place + 1),
      ArrowUp: () => this.show(this.place - 1),
      Enter: () => this.take(this.place),
      Escape: () => this.close(),
    };
    const act = keys[event.key];
    if (!act || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    act();
  }
}
