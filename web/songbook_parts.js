// The elements of the songbook above its list. What they show and do is told to them by `songbook.js`.

import { button, clock, el, icon, visible } from "./dom.js";
import { Wave } from "./wave.js";
import { number, say, sayCount } from "./words.js";

/** All elements by name; `does` is the songbook. */
export function build(does) {
  const p = {};
  const sign = (name, label, press, more = {}) => button({ icon: name, name: say(label), class: "ace-icon", press, ...more });
  p.auto = el("button", { type: "button", class: "ace-switch", role: "switch", "aria-checked": "false", title: say("autogenTip"), "aria-label": say("autogen") });
  p.auto.addEventListener("click", () => does.autogen.turn(!does.autogen.on));
  p.more = sign("ellipsis-v", "more", () => does.menu(), { "aria-expanded": "false" });
  p.choices = el("div", { class: "ace-menu", role: "menu", hidden: true });
  p.search = el("input", { type: "search", class: "ace-search", placeholder: say("searchFor"), "aria-label": say("searchFor") });
  p.search.addEventListener("input", () => does.searching());
  p.filter = sign("filter", "filter", () => does.filtering(), { "aria-expanded": "false" });
  p.filters = filters(p, does);
  p.chips = el("div", { class: "ace-chips", hidden: true });
  p.count = el("div", { class: "ace-quiet ace-found", role: "status" });
  const turn = (name, by, label, first) =>
    el(
      "button",
      { type: "button", class: "ace-button", title: label, on: { click: () => does.turn(by) } },
      first && icon("chevron-left"),
      el("span", { text: say(name) }),
      !first && icon("chevron-right"),
    );
  p.older = turn("olderBatch", -1, say("olderTip"), true);
  p.place = el("strong", { class: "ace-place" });
  p.newer = turn("newerBatch", 1, say("newerTip"), false);
  p.turning = el("div", { class: "ace-turning" }, p.older, p.place, p.newer);
  p.running = running(p, does);
  p.note = el("div", { class: "ace-note err", role: "alert", hidden: true }, icon("exclamation-triangle"), el("span", {}));
  p.again = button({ label: say("tryAgain"), class: "ace-button line", press: () => does.load() });
  p.note.append(p.again);
  p.empty = empty(p, does);
  p.none = el("div", { class: "ace-none", hidden: true }, el("span", {}), button({ label: say("clearFilters"), class: "ace-button", press: () => does.clear() }));
  p.loading = el("div", { class: "ace-loading", hidden: true }, ...Array.from({ length: 6 }, () => el("div", { class: "ace-row loading" })));
  p.undo = button({ label: say("undo"), class: "ace-button", press: () => does.undo() });
  p.snack = el("div", { class: "ace-snack", role: "status", hidden: true }, el("span", {}), p.undo);
  p.top = el(
    "div",
    { class: "ace-book-top" },
    el("div", { class: "ace-book-head" }, el("h2", { text: say("songbook") }), el("span", { class: "ace-quiet", text: say("autogen") }), p.auto, p.more, p.choices),
    el("div", { class: "ace-book-search" }, icon("search"), p.search, p.filter),
    p.filters,
    p.chips,
    p.count,
    p.turning,
    p.running,
    p.note,
  );
  return p;
}

function filters(p, does) {
  const choice = (name) => {
    const made = el("select", { class: "ace-field", "aria-label": say(name), on: { change: () => does.searching() } });
    return el("label", {}, el("span", { class: "ace-quiet", text: say(name) }), made);
  };
  const tempo = (name) =>
    el("input", { type: "number", min: "30", max: "300", class: "ace-field", placeholder: say(name), "aria-label": say(name), on: { input: () => does.searching() } });
  const [key, model] = [choice("keyscale"), choice("model")];
  [p.key, p.model, p.slowest, p.fastest] = [key.lastChild, model.lastChild, tempo("slowest"), tempo("fastest")];
  p.loved = el("input", { type: "checkbox", on: { change: () => does.searching() } });
  return el(
    "div",
    { class: "ace-filters", hidden: true },
    key,
    model,
    el("div", {}, el("span", { class: "ace-quiet", text: say("bpm") }), p.slowest, p.fastest),
    el("label", {}, p.loved, el("span", { text: say("onlyFavourites") })),
  );
}

/** The choices of a filter; the one that is chosen stays. */
export function offer(select, values) {
  const chosen = select.value;
  const entries = [...new Set([...values, chosen])].filter(Boolean);
  select.replaceChildren(el("option", { value: "", text: say("any") }), ...entries.map((value) => el("option", { value, text: value })));
  select.value = chosen;
}

function running(p, does) {
  p.what = el("strong", { class: "ace-cut" });
  p.left = el("span", { class: "ace-quiet" });
  p.stop = button({ icon: "times", name: say("cancel"), class: "ace-icon", press: () => does.autogen.cancel() });
  p.bar = el("div", { class: "ace-progress", role: "progressbar", "aria-valuemin": "0", "aria-valuemax": "100" }, el("b", {}));
  return el("div", { class: "ace-making", hidden: true }, el("div", {}, p.what, el("span", { class: "ace-space" }), p.left, p.stop), p.bar);
}

/** How far the running batch is, and what AutoGen waits for. */
export function tellRun(p, autogen) {
  const { state, run, left } = autogen;
  visible(p.running, state !== "off" || Boolean(autogen.error));
  p.running.classList.toggle("failed", Boolean(autogen.error));
  p.auto.setAttribute("aria-checked", String(autogen.on));
  const words = {
    making: () => sayCount("batchMaking", run.songs || 1),
    waiting: () => say("batchWaiting"),
    ready: () => say("batchReady"),
    paused: () => say("batchPaused"),
    off: () => "",
  };
  const error = autogen.error === "needsGraph" ? say("needsGraph") : autogen.error && say("failed", autogen.error);
  p.what.textContent = error || words[state]();
  p.what.title = p.what.textContent;
  const steps = run?.total ? `${number(run.done)}/${number(run.total)}` : "";
  p.left.textContent = [steps, left !== null && left >= 1 && say("timeLeft", clock(left))].filter(Boolean).join(" · ");
  visible(p.stop, Boolean(run));
  visible(p.bar, Boolean(run));
  const share = run?.total ? Math.round((run.done / run.total) * 100) : 0;
  p.bar.firstChild.style.width = `${share}%`;
  p.bar.setAttribute("aria-valuenow", String(share));
  p.bar.setAttribute("aria-label", p.what.textContent);
}

function empty(p, does) {
  const wave = new Wave({ class: "ace-empty-wave" });
  wave.show(Array.from({ length: 46 }, (_, bar) => 60 + 50 * Math.sin((bar / 45) * Math.PI) * Math.cos(bar * 1.7)));
  return el(
    "div",
    { class: "ace-no-songs", hidden: true },
    wave.canvas,
    el("strong", { text: say("noSongs") }),
    el("span", { class: "ace-quiet", text: say("noSongsHow") }),
    button({ icon: "sparkles", label: say("makeOne"), class: "ace-button ace-primary", press: () => does.first() }),
  );
}
