// The outline of a song as bars, drawn on a canvas that follows the size of its box.

const BAR = 2;
const GAP = 1;

/** The largest level of each of `count` equal parts, 0 to 1, the loudest being 1. */
export function bars(levels, count) {
  const top = Math.max(1, ...levels);
  return Array.from({ length: count }, (_, bar) => {
    const from = Math.floor((bar * levels.length) / count);
    const to = Math.max(from + 1, Math.floor(((bar + 1) * levels.length) / count));
    return Math.max(...levels.slice(from, to)) / top;
  });
}

export class Wave {
  /** `knob`: whether a playhead is drawn; `plain`: bars in the colour of the text around them. */
  constructor({ knob = false, plain = false, class: name = "ace-wave" } = {}) {
    this.knob = knob;
    this.plain = plain;
    this.canvas = document.createElement("canvas");
    this.canvas.className = name;
    this.levels = [];
    this.share = 0;
    this.hover = null;
    this.colour = "--ace-audio";
    this.waiting = false;
    new ResizeObserver(() => this.later()).observe(this.canvas);
  }

  show(levels) {
    this.levels = levels;
    this.later();
  }

  /** Moves the playhead, and draws where that is to be seen: in a long song only now and then. */
  follow(share) {
    const pixel = (part) => Math.round(part * this.canvas.width);
    if (pixel(share) !== pixel(this.share)) this.later();
    this.share = share;
  }

  /** Draws once in the next frame, however often it is asked to. */
  later() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    const scale = Math.min(3, (window.devicePixelRatio || 1) * 1.5);
    const size = [Math.round(width * scale), Math.round(height * scale)];
    if (size[0] !== this.canvas.width || size[1] !== this.canvas.height) [this.canvas.width, this.canvas.height] = size;
    const pen = this.canvas.getContext("2d");
    pen.resetTransform();
    pen.clearRect(0, 0, ...size);
    const style = getComputedStyle(this.canvas);
    const colour = (name) => (this.plain ? "" : style.getPropertyValue(name).trim()) || style.color;
    pen.scale(scale, scale);
    const top = this.knob ? 8 : 0;
    const room = height - top;
    const middle = top + room / 2;
    const count = Math.max(1, Math.floor((width + GAP) / (BAR + GAP)));
    const played = this.share * width;
    const heights = this.levels.length ? bars(this.levels, count) : Array(count).fill(0);
    const first = heights.findIndex((_, bar) => bar * (BAR + GAP) + BAR / 2 >= played); // of those to come
    const parts = { [this.colour]: [0, first < 0 ? count : first], "--ace-unplayed": [first < 0 ? count : first, count] };
    for (const [name, [from, to]] of Object.entries(parts)) {
      pen.fillStyle = colour(name);
      pen.beginPath();
      for (let bar = from; bar < to; bar++) {
        const tall = Math.max(2, heights[bar] * room);
        pen.roundRect(bar * (BAR + GAP), middle - tall / 2, BAR, tall, 1);
      }
      pen.fill();
    }
    if (!this.knob) return;
    pen.fillStyle = style.color;
    if (this.hover !== null) {
      pen.globalAlpha = 0.4;
      pen.fillRect(this.hover * width - 0.5, top, 1, room);
      pen.globalAlpha = 1;
    }
    if (this.levels.length) {
      const at = Math.min(width - 4, Math.max(4, played));
      pen.fillRect(at - 0.75, 4, 1.5, height - 4);
      pen.beginPath();
      pen.arc(at, 4, 4, 0, 2 * Math.PI);
      pen.fill();
    }
  }
}
