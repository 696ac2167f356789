// How long a run of the form will take: as long as its last one on this machine took, for each second of each take.

import { kept } from "./dom.js";

export class Pace {
  /** `asked`: `{way, seconds}`, how songs are made and how long all of them are; null where that is open. */
  begin(asked) {
    this.asked = asked;
    this.since = performance.now();
    this.worked = false;
  }

  /** Something was made, not taken as it was. */
  step() {
    this.worked = true;
  }

  end() {
    if (!this.worked || !this.asked) return;
    const spent = (performance.now() - this.since) / 1000;
    kept.set("pace", { ...kept.get("pace", {}), [this.asked.way]: spent / this.asked.seconds });
  }

  /** Seconds, or null where nothing of this way was made yet. */
  guess(asked) {
    const each = asked && kept.get("pace", {})[asked.way];
    return each ? Math.max(1, each * asked.seconds) : null;
  }
}
