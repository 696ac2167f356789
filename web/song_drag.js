// Dragging songs out of the songbook: onto the canvas, onto a node that takes a recording, or out of the browser.

import { app } from "../../scripts/app.js";
import { address, annotated } from "./api.js";
import { el, titleOf } from "./dom.js";
import { Wave } from "./wave.js";

const KIND = "application/x-acestep-songs";
const APART = 40;
const SIDE = 40;
let carried = [];

/** Begins to drag songs `{file, caption}`. */
export function carry(event, songs, levels) {
  carried = songs;
  const [{ file, caption }] = songs;
  const url = new URL(address(file), location.href).href;
  event.dataTransfer.effectAllowed = "copy";
  event.dataTransfer.setData(KIND, JSON.stringify(songs.map((song) => song.file)));
  event.dataTransfer.setData("text/plain", songs.map((song) => song.file.filename).join("\n"));
  event.dataTransfer.setData("DownloadURL", `application/octet-stream:${file.filename}:${url}`);
  const wave = new Wave({ class: "ace-ghost-wave" });
  wave.levels = levels ?? [];
  const more = songs.length > 1 ? ` +${songs.length - 1}` : "";
  const ghost = el("div", { class: "ace ace-ghost" }, el("span", { class: "ace-cut", text: titleOf(caption, file.filename) + more }), wave.canvas);
  document.body.append(ghost);
  wave.draw();
  event.dataTransfer.setDragImage(ghost, 16, 16);
  setTimeout(() => ghost.remove(), 0);
}

/** Where songs may be dropped: everywhere over the canvas. Listens before the frontend does. */
export function takeDrops() {
  const mark = el("div", { class: "ace ace-target", hidden: true });
  document.body.append(mark);
  const ours = (event) => event.dataTransfer?.types.includes(KIND) && overCanvas(event);
  window.addEventListener(
    "dragover",
    (event) => {
      mark.hidden = true;
      if (!ours(event)) return;
      event.preventDefault();
      event.stopPropagation();
      event.dataTransfer.dropEffect = "copy";
      const found = target(event);
      if (found) show(mark, found.node);
    },
    true,
  );
  window.addEventListener("dragend", () => (mark.hidden = true), true);
  window.addEventListener(
    "drop",
    (event) => {
      mark.hidden = true;
      if (!ours(event)) return;
      event.preventDefault();
      event.stopPropagation();
      const files = carried.map((song) => song.file);
      if (files.length) place(files, target(event), app.canvas.convertEventToCanvasOffset(event));
    },
    true,
  );
}

function overCanvas(event) {
  const box = app.canvas.canvas.getBoundingClientRect();
  const inside = event.clientX >= box.left && event.clientX < box.right && event.clientY >= box.top && event.clientY < box.bottom;
  return inside && !event.target.closest?.(".ace-songbook, .side-tool-bar-container, .side-bar-panel");
}

/** The node below the pointer and what it takes: a widget for a file's name, or an input for sound. */
function target(event) {
  const [x, y] = app.canvas.convertEventToCanvasOffset(event);
  const node = app.graph.getNodeOnPos(x, y);
  if (!node) return null;
  if (node.comfyClass === "LoadAudio") return { node, widget: node.widgets.find((widget) => widget.name === "audio") };
  const sound = (node.inputs ?? []).map((input, slot) => ({ input, slot })).filter(({ input }) => input.type === "AUDIO");
  if (!sound.length) return null;
  const near = ({ slot }) => Math.abs(node.getConnectionPos(true, slot)[1] - y);
  const free = sound.filter(({ slot }) => !node.isInputConnected(slot));
  const nearest = sound.reduce((best, one) => (near(one) < near(best) ? one : best));
  return { node, slot: (near(nearest) < 12 ? nearest : (free[0] ?? sound[0])).slot };
}

function show(mark, node) {
  const { scale, offset } = app.canvas.ds;
  const box = app.canvas.canvas.getBoundingClientRect();
  const [left, top, width, height] = node.boundingRect ?? [...node.pos, ...node.size];
  Object.assign(mark.style, {
    left: `${box.left + (left + offset[0]) * scale}px`,
    top: `${box.top + (top + offset[1]) * scale}px`,
    width: `${width * scale}px`,
    height: `${height * scale}px`,
  });
  mark.hidden = false;
}

/** One song goes into the node below the pointer; several, or one on free ground, become nodes of their own. */
export function place(files, found, [x, y]) {
  app.graph.beforeChange?.();
  if (found?.widget && files.length === 1) {
    choose(found.node, files[0]);
  } else {
    for (const [index, file] of files.entries()) {
      const node = window.LiteGraph.createNode("LoadAudio");
      app.graph.add(node);
      const apart = index * (node.size[1] + APART);
      const left = found ? found.node.pos[0] - node.size[0] - SIDE : x;
      node.pos = [left, (found ? found.node.pos[1] : y) + apart];
      choose(node, file);
      if (found?.slot !== undefined && index === 0) node.connect(0, found.node, found.slot);
    }
  }
  app.graph.afterChange?.();
  app.graph.setDirtyCanvas(true, true);
}

function choose(node, file) {
  const widget = node.widgets.find((entry) => entry.name === "audio");
  const value = annotated(file);
  const values = widget.options?.values;
  if (Array.isArray(values) && !values.includes(value)) values.push(value);
  widget.value = value;
  widget.callback?.(value);
}
