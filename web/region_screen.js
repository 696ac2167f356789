// What a region shows: where it lies in bars and seconds, what stays and what is new, sections, lines and the picture.

import { app } from "../../scripts/app.js";
import { clock, disable, el, inFront, visible } from "./dom.js";
import { moment, placeOf, wholeBars } from "./grid.js";
import { brief } from "./lengths.js";
import { sectionMarks, sections, TAG } from "./lyrics.js";
import { drawOverview, drawRegion, newParts, seamsOf } from "./region_draw.js";
import { press } from "./region_hand.js";
import { themed } from "./theme.js";
import { number, say } from "./words.js";

const NOTE = 68;
const WIDE = 560;
const TINY = 240;
const HEIGHTS = { none: 84, tiny: 96, narrow: 236, wide: 312 };

export class RegionScreen {
  constructor(widget) {
    this.w = widget;
    this.waiting = false;
    this.grown = "none";
    this.root = el("div", { class: "ace ace-region", role: "region", "aria-label": say("region"), tabindex: "-1" });
    this.root.append(widget.body, widget.player.audio);
    new ResizeObserver(() => this.fit()).observe(widget.body);
    themed(() => this.later());
  }

  /** "wide", "narrow" or "tiny", by the room there is. */
  fit() {
    const width = this.w.body.clientWidth;
    if (!width) return;
    this.w.body.dataset.size = width >= WIDE ? "wide" : width < TINY ? "tiny" : "narrow";
    this.w.strip = width >= WIDE ? 16 : 0;
    this.grow();
    this.draw();
  }

  least() {
    const height = HEIGHTS[this.w.item ? (this.w.body.dataset.size ?? "narrow") : "none"];
    return height + (this.w.failure.hidden ? 0 : NOTE);
  }

  /** A classic node becomes large enough once for each form that shows more. */
  grow() {
    const { node } = this.w;
    const size = (this.w.item ? this.w.body.dataset.size : "none") + (this.w.failure.hidden ? "" : " failed");
    if (!this.root.isConnected || !this.root.contains(this.w.body) || size === this.grown) return;
    this.grown = size;
    if (window.LiteGraph?.vueNodesMode || app.graph?.extra?.linearMode || !node.setSize) return;
    const least = node.computeSize?.()[1] ?? 0;
    if (node.size[1] < least) node.setSize([node.size[0], least]);
    app.graph?.setDirtyCanvas(true, true);
  }

  // -- words ------------------------------------------------------------------------------------------------------------

  draw() {
    const { w } = this;
    visible(w.empty, !w.item);
    visible(w.shown, Boolean(w.item));
    if (!w.item) return;
    const { start, end } = w.value;
    const part = w.target.kind === "part";
    w.name.textContent = part ? this.named(start, end) : say("extension");
    const told = part ? [`${moment(start)} → ${moment(end)}`, brief(end - start)] : [this.addedText()];
    w.length.textContent = told.join(" · ");
    visible(w.tempo, !w.meter);
    for (const choice of w.snaps.children) {
      const how = choice.dataset.snap;
      const why = this.unusable(how);
      disable(choice, why);
      if (!why) choice.title = "";
      const chosen = how === (this.unusable(w.how) ? "off" : w.how);
      choice.setAttribute("aria-checked", String(chosen));
      choice.tabIndex = chosen ? 0 : -1;
    }
    if (part && document.activeElement !== w.from) w.from.value = moment(start);
    if (part && document.activeElement !== w.to) w.to.value = moment(end);
    if (!part) this.growth();
    this.legend();
    this.marks();
    this.chips();
    w.surface.toggleAttribute("data-capture-wheel", w.view.zoomed);
    if (w.view.zoomed) w.surface.setAttribute("data-capture-wheel", "true");
    this.later();
  }

  /** Why a way to snap cannot be used; empty where it can. */
  unusable(how) {
    if (["beat", "bar"].includes(how) && !this.w.meter) return say("tempoUnknown");
    return how === "line" && !this.w.lines.length ? say("noTimes") : "";
  }

  /** "Bars 15–22", or "Bar 15.2 → 17.1". */
  named(start, end) {
    const { meter } = this.w;
    if (!meter || end <= start) return say("region");
    const whole = wholeBars(start, end, meter);
    if (whole) return whole[0] === whole[1] ? say("barOne", whole[0]) : say("barsFrom", ...whole);
    return say("barPlaces", placeOf(Math.max(0, start), meter).join("."), placeOf(end, meter).join("."));
  }

  addedText() {
    const { meter, seconds: length, value } = this.w;
    const more = Math.max(0, value.end - length) + Math.max(0, -value.start);
    return `+ ${brief(more)}${meter ? ` · ${barsText(more / meter.bar)}` : ""}`;
  }

  growth() {
    const { w } = this;
    const { start, end } = w.value;
    for (const [place, more] of w.more.entries()) {
      if (place < 2) disable(more, !w.meter && say("tempoUnknown"));
    }
    w.newLength.textContent = say("newLength", clock(Math.round(end - Math.min(0, start))));
  }

  legend() {
    const { w } = this;
    const parts = newParts(state(w));
    const exact = w.seam.outside === 0;
    const keptParts = outside(parts, w.seconds).map(([from, to]) => `${moment(from)}–${moment(to)}`);
    const wide = w.seam.inside || w.seam.outside;
    const blended = !seamsOf(state(w)).length
      ? say("nothingBlended")
      : say(exact ? "insideEdges" : "outsideEdges", number(wide, wide < 0.1 ? 3 : 2));
    const inside = w.lines.filter(([from, to, text]) => !TAG.test(text) && parts.some(([a, b]) => to > a && from < b));
    const long = parts.reduce((sum, [from, to]) => sum + to - from, 0);
    const made = [
      w.meter ? barsText(long / w.meter.bar) : brief(long),
      inside.length > 0 && (inside.length === 1 ? say("lineOne") : say("linesCount", number(inside.length))),
    ];
    const entry = (thread, name, text) =>
      el(
        "div",
        { style: { "--ace-thread": `var(--ace-${thread})` } },
        el("strong", { text: say(name) }),
        el("span", { class: "ace-quiet", text }),
      );
    w.legend.replaceChildren(
      entry("audio", exact ? "keptExactly" : "keptClosely", keptParts.join(", ") || "–"),
      entry("task", "blended", blended),
      entry("task", "madeNew", made.filter(Boolean).join(", ")),
    );
  }

  /** Edges and region where they are in view. */
  marks() {
    const { w } = this;
    const at = (time) => w.view.share(time) * 100;
    const { start, end } = w.value;
    for (const [edge, time] of [
      [w.start, start],
      [w.end, end],
    ]) {
      edge.style.left = `${Math.max(-10, Math.min(110, at(time)))}%`; // out of view it is cut off, and keeps the focus
      edge.setAttribute("aria-valuemin", String(Math.round(w.view.low)));
      edge.setAttribute("aria-valuemax", String(Math.round(w.view.high)));
      edge.setAttribute("aria-valuenow", String(Math.round(time * 1000) / 1000));
      edge.setAttribute("aria-valuetext", this.spoken(time));
    }
    const [left, right] = [Math.max(0, at(start)), Math.min(100, at(end))];
    Object.assign(w.region.style, { left: `${left}%`, width: `${Math.max(0, right - left)}%` });
    w.region.setAttribute("aria-label", `${say("region")}: ${w.name.textContent}`);
  }

  /** A moment as it is read out: bar, seconds, the line that is sung. */
  spoken(time) {
    const { meter, lines } = this.w;
    const line = lines.find(([from, to, text]) => from <= time && time < to && !TAG.test(text));
    const bar = meter && time >= 0 ? say("barAt", placeOf(time, meter).join(".")) : null;
    return [bar, brief(time), line?.[2]].filter(Boolean).join(", ");
  }

  chips() {
    const { w } = this;
    const placed = (from, to) => ({
      left: `${w.view.share(from) * 100}%`,
      width: `${((to - from) / w.view.span) * 100}%`,
    });
    const seen = ([from, to]) => to > w.view.start && from < w.view.end;
    const parts = sections(w.lines, w.seconds).filter(seen);
    visible(w.sections, parts.length > 0);
    const now = (from, to) => from < w.value.end - 0.05 && to > w.value.start + 0.05;
    w.sections.replaceChildren(...sectionMarks(parts, (time) => Math.max(0, w.view.share(time) * 100), now));
    const sung = w.target.kind === "part" ? w.lines.filter(([, , text]) => !TAG.test(text)) : [];
    visible(w.words, sung.length > 0);
    w.words.replaceChildren(
      ...sung.filter(seen).map((line) => {
        const [from, to, text] = line;
        return el("button", {
          type: "button",
          text,
          title: text,
          "aria-pressed": String(now(from, to)),
          style: placed(from, to),
          on: { click: (event) => w.choose(line, event.shiftKey) },
        });
      }),
    );
  }

  playing() {
    const { w } = this;
    const { playing, missing } = w.player;
    w.playing.firstChild.className = `pi pi-${playing ? "pause" : "play"}`;
    w.playing.title = say(playing ? "pause" : "playRegion");
    w.playing.setAttribute("aria-label", w.playing.title);
    disable(w.playing, missing && say("gone"));
    w.looping.setAttribute("aria-pressed", String(w.loop));
    this.later();
  }

  hover(share) {
    const { w } = this;
    const within = share !== null && share >= 0 && share <= 1;
    visible(w.bubble, within && w.seconds > 0);
    if (!within) return;
    const time = w.view.time(share);
    const place = w.meter && time >= 0 ? `${placeOf(time, w.meter).join(".")} · ` : "";
    w.bubble.textContent = place + moment(time);
    w.bubble.style.left = `${Math.max(8, Math.min(92, share * 100))}%`;
  }

  tell() {
    const { start, end } = this.w.value;
    this.w.status.textContent = `${this.w.name.textContent}, ${moment(start)} – ${moment(end)}`;
  }

  fail(text) {
    this.w.failure.lastChild.textContent = text;
    visible(this.w.failure, true);
    this.grow();
    this.w.status.textContent = text;
  }

  // -- picture ----------------------------------------------------------------------------------------------------------

  /** Draws once in the next frame, however often it is asked to. */
  later() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      if (!this.w.item) return;
      drawRegion(this.w.canvas, state(this.w), this.w.strip > 0 && this.w.meter !== null);
      drawOverview(this.w.whole, state(this.w));
    });
  }

  /** The whole of it in front of everything, for nodes too small for it. */
  expand(name) {
    const { w } = this;
    if (w.body.parentElement !== this.root) return;
    inFront(w.body, {
      kind: "ace-region",
      name,
      shut: say("close"),
      key: (event) => press(w, event),
      closed: () => {
        this.root.prepend(w.body);
        w.large.focus();
      },
    });
  }
}

function barsText(value) {
  const whole = Math.abs(value - Math.round(value)) < 0.05;
  return whole && Math.round(value) === 1 ? say("barOnly") : say("barsCount", number(value, whole ? 0 : 1));
}

function state(w) {
  return {
    kind: w.target.kind,
    view: w.view,
    levels: w.levels,
    seconds: w.seconds,
    region: w.value,
    meter: w.meter,
    seam: w.seam,
    time: w.player.time > 0 || w.player.playing ? w.player.time : null,
  };
}

/** What of the recording lies in none of the parts. */
function outside(parts, length) {
  let from = 0;
  const found = [];
  for (const [start, end] of [...parts, [length, length]]) {
    if (start > from + 0.001) found.push([from, Math.min(start, length)]);
    from = Math.max(from, end);
  }
  return found;
}
