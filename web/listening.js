// Short sounds behind buttons, of which one plays at a time.

import { button } from "./dom.js";
import { say } from "./words.js";

export class Listening {
  constructor() {
    this.audio = new Audio();
    this.audio.addEventListener("ended", () => this.stop());
    this.audio.addEventListener("error", () => this.stop());
  }

  /** Plays the sound at an address and stops it again. */
  button(address, title) {
    const made = button({
      icon: "play",
      name: say("hearIt", title),
      class: "ace-icon filled ace-hear",
      press: () => (this.pressed === made ? this.stop() : this.play(address, made)),
      "aria-pressed": "false",
    });
    return made;
  }

  play(address, pressed) {
    this.stop();
    this.pressed = pressed;
    this.show("stop", true);
    this.audio.src = address;
    this.audio.play().catch(() => this.pressed === pressed && this.stop());
  }

  stop() {
    if (!this.pressed) return;
    this.audio.pause();
    this.show("play", false);
    this.pressed = null;
  }

  show(sign, playing) {
    this.pressed.setAttribute("aria-pressed", String(playing));
    this.pressed.firstElementChild.className = `pi pi-${sign}`;
  }
}
