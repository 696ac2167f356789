// How far a run is, on every song widget of the open graph.

import { api } from "../../scripts/api.js";
import { button, el, visible } from "./dom.js";
import { number, say } from "./words.js";

export class Running {
  constructor() {
    this.prompt = null;
    this.ring = el("span", { class: "ace-ring", role: "progressbar", "aria-valuemin": "0", "aria-valuemax": "100" });
    this.step = el("span", { class: "ace-quiet" });
    this.root = el(
      "div",
      { class: "ace-running", hidden: true },
      this.ring,
      el("span", {}, el("strong", { text: say("running") }), this.step),
      el("span", { class: "ace-space" }),
      button({
        icon: "times",
        label: say("cancel"),
        class: "ace-button line",
        press: () => api.interrupt(this.prompt),
      }),
    );
  }

  /** `progress`: `{prompt, done, total}`, or null when the run has ended. */
  show(progress) {
    visible(this.root, progress !== null);
    this.prompt = progress?.prompt ?? null;
    if (progress === null) return;
    const share = progress.total ? Math.round((progress.done / progress.total) * 100) : 0;
    this.ring.style.setProperty("--ace-share", `${share}%`);
    this.ring.setAttribute("aria-valuenow", String(share));
    this.step.textContent = progress.total ? say("step", number(progress.done), number(progress.total)) : "";
    this.ring.setAttribute("aria-label", `${say("running")} ${this.step.textContent}`);
  }
}

/** Tells widgets (`run(progress)`, `ended(failed)`) about the run that this page started. */
export function followRuns(widgets) {
  let prompt = null;
  const all = (call) => {
    for (const widget of widgets) if (widget.node.graph) call(widget);
  };
  api.addEventListener("execution_start", ({ detail }) => {
    prompt = detail.prompt_id;
    all((widget) => widget.run({ prompt, done: 0, total: 0 }));
  });
  api.addEventListener("progress", ({ detail }) => {
    if (detail.prompt_id === prompt) all((widget) => widget.run({ prompt, done: detail.value, total: detail.max }));
  });
  for (const event of ["execution_success", "execution_interrupted", "execution_error"])
    api.addEventListener(event, ({ detail }) => {
      if (detail.prompt_id === prompt) all((widget) => widget.ended(event === "execution_error"));
    });
}
