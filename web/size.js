// How large the song widget is: which blocks it shows, and how its node grows for the first songs.

import { app } from "../../scripts/app.js";

const MIN_HEIGHT = 56;
const EMPTY_HEIGHT = 112;
const WIDTH = 440;

/** Only a classic node decides how high a widget is; elsewhere it is as high as its content. */
export function fixed() {
  return !window.LiteGraph?.vueNodesMode && !app.graph?.extra?.linearMode;
}

export class Size {
  constructor(song) {
    this.song = song;
    this.growing = 2;
    this.resting = false;
    new ResizeObserver(() => this.fit()).observe(song.root);
  }

  /** The least height that the node must give; it may be smaller than what there is to show. */
  least() {
    return this.song.songs.length ? MIN_HEIGHT : EMPTY_HEIGHT;
  }

  /** Where there is no node, as in a form, the widget is as high as its content. */
  get fixed() {
    return Boolean(this.song.node.setSize) && fixed();
  }

  fit() {
    const { root } = this.song;
    const { clientWidth: width, clientHeight: height } = root;
    if (!width) return;
    root.classList.toggle("ace-fixed", this.fixed);
    if (!this.resting) {
      const small = this.fixed ? width < 320 || height < 200 : width < 240;
      root.dataset.size = small ? "compact" : this.fixed && height < 420 ? "medium" : "full";
    } // between two steps of growing it is as low as it was before
    this.grow();
  }

  /** Makes the node large enough once, when the first songs come and it can be seen. */
  grow() {
    const { node, root, body, songs } = this.song;
    if (!this.growing || this.resting || !songs.length || !node.setSize || !root.clientWidth) return;
    const [width, height] = node.size;
    if (!this.fixed || width < WIDTH) {
      node.setSize([Math.max(WIDTH, width), height]);
      if (!this.fixed) this.growing = 0;
    } else {
      root.dataset.size = "full";
      root.classList.remove("ace-fixed"); // its own height, not that of the node
      const wanted = body.offsetHeight;
      root.classList.add("ace-fixed");
      const missing = wanted - root.clientHeight;
      if (missing > 0) node.setSize([width, height + missing]);
      this.growing--; // once more when that has been drawn
    }
    app.graph?.setDirtyCanvas(true, true);
    this.resting = this.growing > 0;
    if (!this.resting) return;
    setTimeout(() => {
      this.resting = false;
      this.fit();
    }, 50);
  }
}
