// Choosing the saved song of Load Song Record: from those of the output folder, or a file of this computer, which may be
// dropped too. What is chosen is written into the node's `record`, where a name or a record can also be typed.

import { app } from "../../scripts/app.js";
import { annotated, songs, upload } from "./api.js";
import { button, el, titleOf } from "./dom.js";
import { say } from "./words.js";

const MOST = 200;
const TEXT = /\.json$/i;

export class RecordPicker {
  constructor(node) {
    this.widget = node.widgets.find((widget) => widget.name === "record");
    this.list = el("select", { class: "ace-field", "aria-label": say("chooseSong") });
    this.list.addEventListener("change", () => this.write(this.list.value));
    this.file = el("input", { type: "file", hidden: true, accept: ".json,audio/*" });
    this.file.addEventListener("change", () => this.take(this.file.files[0]));
    const press = () => this.file.click();
    const open = button({ icon: "upload", label: say("upload"), name: say("uploadSong"), press });
    this.root = el("div", { class: "ace ace-picker" }, this.list, open, this.file);
    this.root.addEventListener("pointerenter", () => this.fill());
    this.list.addEventListener("focus", () => this.fill());
    node.onDragOver = (event) => Boolean(event.dataTransfer?.types.includes("Files"));
    node.onDragDrop = (event) => this.drop(event.dataTransfer?.files[0]);
    this.offer([]);
    this.fill();
  }

  least() {
    return 28;
  }

  /** The newest songs of the output folder. */
  async fill() {
    const found = await songs({ limit: MOST }).catch(() => null);
    if (found) this.offer(found.songs.filter((song) => !song.damaged));
  }

  /** Only where it is not so already, as a list that is open must not change. */
  offer(found) {
    const entries = found.map(({ file, caption }) => [annotated(file), `${titleOf(caption, file.filename)} · ${file.filename}`]);
    const all = JSON.stringify(entries);
    if (all === this.offered) return;
    this.offered = all;
    const { value } = this.list;
    const first = el("option", { value: "", text: say("chooseSong") });
    this.list.replaceChildren(first, ...entries.map(([name, text]) => el("option", { value: name, text })));
    if (entries.some(([name]) => name === value)) this.list.value = value;
  }

  drop(file) {
    if (file) this.take(file);
    return Boolean(file);
  }

  /** A record is taken as its text; a song goes into the input folder. */
  async take(file) {
    this.file.value = "";
    try {
      this.write(TEXT.test(file.name) ? await file.text() : annotated(await upload(file)));
      this.list.value = "";
    } catch (error) {
      app.extensionManager.toast.add({ severity: "error", summary: error.message, life: 8000 });
    }
  }

  write(text) {
    if (!text) return;
    this.widget.value = text;
    this.widget.callback?.(text);
    app.graph.setDirtyCanvas(true, true);
  }

  /** After a run, which may have saved songs. */
  show() {
    this.fill();
  }

  dispose() {}
}
