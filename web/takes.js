// The strip of takes: one small picture for each song of a batch.

import { peaks } from "./api.js";
import { el, icon } from "./dom.js";
import { Wave } from "./wave.js";
import { say } from "./words.js";

export class Takes {
  constructor(choose) {
    this.choose = choose;
    this.root = el("div", { class: "ace-takes", role: "radiogroup", "aria-label": say("takes") });
  }

  show(songs, best) {
    this.root.hidden = songs.length < 2;
    this.root.replaceChildren(
      ...songs.map((song, place) => {
        const wave = new Wave({ class: "ace-mini", plain: true });
        peaks(song.file).then(
          (found) => wave.show(found.levels),
          () => {},
        ); // a flat line says enough
        const name = say("take", place + 1) + (place === best ? `, ${say("best")}` : "");
        return el(
          "button",
          {
            type: "button",
            class: "ace-take",
            role: "radio",
            "aria-label": name,
            title: name,
            on: { click: () => this.choose(place) },
          },
          wave.canvas,
          el("span", {}, String(place + 1), place === best && icon("star-fill")),
        );
      }),
    );
  }

  mark(place) {
    for (const [index, take] of [...this.root.children].entries()) {
      take.setAttribute("aria-checked", String(index === place));
      take.tabIndex = index === place ? 0 : -1;
    }
    requestAnimationFrame(() => this.reveal(this.root.children[place]));
  }

  reveal(take) {
    if (take?.isConnected && this.root.scrollWidth > this.root.clientWidth)
      this.root.scrollTo({ left: take.offsetLeft - this.root.offsetLeft - this.root.clientWidth / 2 });
  }
}

/** The place of the song with the best scores; -1 where none is scored, or there is but one. */
export function bestOf(songs) {
  const totals = songs.map(({ facts: { scores } }) => {
    const given = [scores.alignment, scores.lm].filter((value) => typeof value === "number");
    return given.length ? given.reduce((sum, value) => sum + value, 0) / given.length : -1;
  });
  const top = Math.max(...totals);
  return top < 0 || songs.length < 2 ? -1 : totals.indexOf(top);
}
