// Our own gallery: each job is one card with two doors, its form and its graph.

import { app } from "../../scripts/app.js";
import { pictureOf, soundOf, workflow } from "./api.js";
import { button, el } from "./dom.js";
import { Listening } from "./listening.js";
import { panel } from "./models.js";
import { shipped } from "./shipped.js";
import { say } from "./words.js";

export async function showGallery() {
  const groups = await shipped();
  const listening = new Listening();
  const open = (name) => async () => {
    front.close();
    const graph = await workflow(name);
    graph.id = crypto.randomUUID();
    await app.loadGraphData(graph, true, true, null);
  };
  const card = ({ name, title, description, needs, sound }) => {
    const form = name === "make_a_song" ? name : `${name}_app`;
    return el(
      "div",
      { class: "ace-card", role: "listitem" },
      el(
        "div",
        { class: "ace-cover" },
        el("img", { src: pictureOf(name), alt: "", loading: "lazy" }),
        sound && listening.button(soundOf(name), title),
      ),
      el("h3", { text: title }),
      el("p", { class: "ace-quiet", text: description }),
      el(
        "div",
        { class: "ace-doors" },
        button({
          label: say("doorForm"),
          class: "ace-button filled",
          press: open(form),
          "aria-label": say("openForm", title),
        }),
        button({
          label: say("doorGraph"),
          class: "ace-button line",
          press: open(name),
          "aria-label": say("openGraphOf", title),
        }),
        el("span", { class: "ace-space" }),
        ...needs.slice(0, 1).map((text) => el("span", { class: "ace-chip", text })),
      ),
    );
  };
  const front = panel(
    say("gallery"),
    ...groups.flatMap(({ title, templates }) => [
      el("h2", { text: title }),
      el("div", { class: "ace-cards", role: "list" }, ...templates.map(card)),
    ]),
  );
  front.root.addEventListener("close", () => listening.stop());
}
