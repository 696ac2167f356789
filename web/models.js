// The models panel: what is here, what this card can run, and getting more; and the gallery's frame, which it shares.

import { asked, post } from "./api.js";
import { button, clock, el, icon, visible } from "./dom.js";
import { told } from "./sentences.js";
import { known, megabytes, number, say } from "./words.js";

const EVERY = 1000;
let shut = () => {}; // closes the panel that is open: there is but one

/** Something large in front of the canvas, with a title and a way out. */
export function panel(title, ...parts) {
  shut();
  const before = document.activeElement;
  const leave = (event) => event.key === "Escape" && close(); // also where what had the focus is gone
  const close = () => {
    document.removeEventListener("keydown", leave, true);
    shut = () => {};
    root.remove();
    before?.focus?.();
    root.dispatchEvent(new Event("close"));
  };
  const out = button({ icon: "times", name: say("close"), class: "ace-icon", press: close });
  const head = el(
    "div",
    { class: "ace-make-head" },
    el("h1", { text: title }),
    el("span", { class: "ace-space" }),
    out,
  );
  const card = el(
    "div",
    { class: "ace-panel", role: "dialog", "aria-label": title, "aria-modal": "true" },
    head,
    ...parts,
  );
  const root = el("div", { class: "ace ace-make ace-front", lang: "" }, card);
  for (const event of ["keydown", "pointerdown", "wheel"])
    root.addEventListener(event, (news) => {
      news.stopPropagation();
      if (event === "pointerdown" && news.target === root) close();
    });
  document.addEventListener("keydown", leave, true);
  document.body.append(root);
  shut = close;
  out.focus();
  return { root, close };
}

const size = (bytes) => (bytes < 1e8 ? megabytes(bytes) : `${number(bytes / 1e9, bytes < 1e9 ? 2 : 1)} GB`);

export function showModels() {
  const body = el("div", { class: "ace-models" });
  const note = el("div", { class: "ace-note err", role: "alert", hidden: true });
  const job = new JobLine(() => fill());
  const front = panel(say("models"), note, job.root, body);
  const act = (path, wanted) => () => {
    visible(note, false);
    post(path, wanted)
      .then(() => job.follow())
      .catch((error) => {
        note.replaceChildren(icon("exclamation-triangle"), el("span", { text: error.message }));
        visible(note, true);
      });
  };
  front.root.addEventListener("close", () => job.stop());
  const fill = async () => {
    const found = await asked("/acestep/models");
    body.replaceChildren(
      el("p", { class: "ace-quiet", text: say("onCard", found.card.name, size(found.card.memory)) }),
      el("h2", { text: say("modelsHere") }),
      list(found.found, (entry) => [
        el("strong", { text: entry.name }),
        el("span", {
          class: "ace-quiet",
          text: [known(entry.kind) ? say(entry.kind) : entry.kind, entry.what, size(entry.bytes)].filter(Boolean).join(" · "),
        }),
        el("span", { class: "ace-quiet ace-cut", text: entry.path, title: entry.path }),
        entry.problem && el("span", { class: "ace-bad", text: told(entry.problem) }),
        button({
          icon: "check",
          label: say("verify"),
          class: "ace-button line",
          press: act("/acestep/models/check", { path: entry.path }),
        }),
      ]),
      found.found.length ? "" : el("p", { text: say("noModels") }),
      el("h2", { text: say("modelsMore") }),
      list(found.offers, (offer) => [
        el("strong", { text: offer.name === "main" ? say("modelsMain") : offer.name }),
        el("span", { class: "ace-quiet", text: size(offer.bytes) }),
        el("span", { class: offer.longest === 0 ? "ace-bad" : "ace-quiet", text: fits(offer) }),
        button({
          icon: offer.here ? "check" : "cloud-download",
          label: say(offer.here ? "isHere" : "getModel"),
          class: offer.name === "main" && !offer.here ? "ace-button filled" : "ace-button line",
          press: act("/acestep/models/download", { name: offer.name }),
        }),
      ]),
      el(
        "details",
        {},
        el("summary", { text: say("places") }),
        list(found.places, ({ path, exists }) => [el("span", { class: exists ? "" : "ace-quiet", text: path })]),
      ),
    );
  };
  fill();
  job.follow();
}

function fits({ longest, streams }) {
  if (longest === null) return "";
  return longest ? say(streams ? "fitsInTurns" : "fits", clock(longest)) : say("tooLarge");
}

function list(entries, parts) {
  return el(
    "div",
    { role: "list" },
    ...entries.map((entry) => el("div", { class: "ace-model", role: "listitem" }, ...parts(entry))),
  );
}

/** The download or check that is under way, which goes on when the panel is closed. */
class JobLine {
  constructor(changed) {
    this.changed = changed;
    this.text = el("span", { role: "status" });
    this.bar = el(
      "div",
      { class: "ace-progress", role: "progressbar", "aria-valuemin": "0", "aria-valuemax": "100" },
      el("b"),
    );
    this.press = button({ icon: "pause", label: say("pauseIt"), class: "ace-button line", press: () => this.toggle() });
    this.root = el("div", { class: "ace-job", hidden: true }, this.text, this.press, this.bar);
  }

  async follow() {
    this.stop();
    const { job } = await asked("/acestep/models/job");
    visible(this.root, job !== null);
    if (job === null) return;
    this.job = job;
    const share = job.total ? job.done / job.total : 0;
    this.bar.firstChild.style.width = `${share * 100}%`;
    this.bar.setAttribute("aria-valuenow", String(Math.round(share * 100)));
    const running = job.state === "running";
    const bytes =
      job.kind === "download" && job.total > 1
        ? `${size(job.done)} / ${size(job.total)} · ${number(job.speed / 1e6, 1)} MB/s`
        : "";
    const state = running
      ? bytes || say("workingOn")
      : [say(`job_${job.state}`), job.state === "done" ? "" : told(job.told)].join(" ");
    this.text.textContent = `${job.name}: ${state}`;
    this.text.classList.toggle("ace-bad", job.state === "failed");
    visible(this.press, running || job.state === "paused");
    this.press.lastChild.textContent = say(running ? "pauseIt" : "goOn");
    this.press.firstChild.className = `pi pi-${running ? "pause" : "play"}`;
    if (running) this.timer = setTimeout(() => this.follow(), EVERY);
    else if (this.ran) this.changed();
    this.ran = running;
  }

  async toggle() {
    const { kind, name, state } = this.job;
    if (state === "running") await post("/acestep/models/pause", {});
    else if (kind === "download") await post("/acestep/models/download", { name });
    this.follow();
  }

  stop() {
    clearTimeout(this.timer);
  }
}

/** What stands in where there is no real model: "toy" or "tiny"; empty where there is one, or nobody can say. */
export async function standIn() {
  try {
    return (await asked("/acestep/models")).stand_in;
  } catch {
    return "";
  }
}
