// What there is to know of a song beyond its sound: plan, audio codes, times, models. Closed until somebody wants it.

import { clock, el, icon, kept } from "./dom.js";
import { brief } from "./lengths.js";
import { known, languageName, number, say } from "./words.js";

const STAGES = {
  plan: "codes",
  codes: "codes",
  lm: "codes",
  encode: "vae",
  condition: "cond",
  sample: "latent",
  decode: "audio",
};

export class Drawers {
  constructor(copy) {
    this.copy = copy;
    this.root = el("div", { class: "ace-drawers" });
  }

  show(facts) {
    this.root.replaceChildren(
      ...[this.plan(facts), this.codes(facts), this.times(facts), this.model(facts)].filter(Boolean),
    );
  }

  plan({ plan }) {
    const rows = planRows(plan);
    if (!rows.length) return null;
    const short = rows
      .filter(([name]) => name === "bpm" || name === "keyscale")
      .map(([name, value]) => spelled(name, value));
    return drawer("plan", "codes", el("span", { class: "ace-quiet ace-cut", text: short.join(" · ") }), () =>
      table(rows.map(([name, value]) => [known(name) ? say(name) : name, spelled(name, value)])),
    );
  }

  codes({ codes }) {
    if (!codes?.count) return null;
    const text = codes.first.map((code) => `<|audio_code_${code}|>`).join("");
    return drawer(
      "codes",
      "codes",
      el("span", { class: "ace-quiet", text: say("codesCount", number(codes.count)) }),
      () =>
        el(
          "div",
          { class: "ace-inside" },
          el("div", {
            class: "ace-codes",
            text: codes.first.join(" ") + (codes.count > codes.first.length ? " …" : ""),
          }),
          el(
            "button",
            {
              type: "button",
              class: "ace-button line",
              on: { click: (event) => this.copy(text, event.currentTarget) },
            },
            icon("copy"),
            el("span", { text: say("copyCodes") }),
          ),
        ),
    );
  }

  times({ seconds }) {
    const stages = Object.entries(seconds ?? {}).filter(([, value]) => value > 0);
    if (!stages.length) return null;
    const whole = stages.reduce((sum, [, value]) => sum + value, 0);
    const bar = el(
      "span",
      { class: "ace-bar" },
      ...stages.map(([name, value]) =>
        el("b", { style: { "flex-grow": value, background: `var(--ace-${STAGES[name] ?? "set"})` } }),
      ),
    );
    return drawer(
      "times",
      "latent",
      bar,
      () =>
        table(stages.map(([name, value]) => [known(`stage_${name}`) ? say(`stage_${name}`) : name, brief(value)])),
      brief(whole),
    );
  }

  model({ model, variant, lm, steps, adapters }) {
    if (!model) return null;
    const rows = [[say("model"), model], lm && [say("lm"), lm], steps && [say("steps"), number(steps)]].filter(Boolean);
    for (const [name, strength] of adapters ?? []) rows.push([say("lora"), `${name} × ${number(strength ?? 1, 2)}`]);
    const short = [variant || model, lm].filter(Boolean).join(" · ");
    return drawer("model", "model", el("span", { class: "ace-quiet ace-cut", text: short }), () => table(rows));
  }
}

function drawer(name, thread, short, inside, end) {
  const body = el("div", { class: "ace-drawn" });
  const sign = icon("chevron-right");
  const head = el(
    "button",
    { type: "button", class: "ace-drawer", style: { "--ace-thread": `var(--ace-${thread})` } },
    sign,
    el("span", { text: say(name) }),
    short,
    el("span", { class: "ace-space" }),
    end && el("span", { class: "ace-quiet", text: end }),
  );
  const set = (open) => {
    head.setAttribute("aria-expanded", String(open));
    sign.className = `pi pi-chevron-${open ? "down" : "right"}`;
    body.hidden = !open;
    if (open && !body.firstChild) body.append(inside());
  };
  head.addEventListener("click", () => {
    const open = head.getAttribute("aria-expanded") !== "true";
    kept.set(`drawer.${name}`, open);
    set(open);
  });
  set(kept.get(`drawer.${name}`, false));
  return el("div", {}, head, body);
}

function table(rows) {
  return el(
    "dl",
    { class: "ace-table" },
    ...rows.flatMap(([name, value]) => [el("dt", { text: name }), el("dd", { text: value, title: value })]),
  );
}

/** `bpm: 92` of each line; a value may go on in the next line. */
function planRows(plan) {
  const rows = [];
  for (const line of (plan ?? "").split("\n")) {
    const found = /^([a-z_]+):\s?(.*)$/.exec(line);
    if (found) rows.push([found[1], found[2]]);
    else if (rows.length && line.trim()) rows.at(-1)[1] += ` ${line.trim()}`;
  }
  return rows.map(([name, value]) => [name, value.replace(/^(['"])(.*)\1$/, "$2")]);
}

/** A value of a song as a musician writes it. */
export function spelled(name, value) {
  if (name === "bpm") return `${number(value)} bpm`;
  if (name === "duration") return clock(value);
  if (name === "timesignature") return String(value) === "6" ? "6/8" : `${value}/4`;
  if (name === "language") return languageName(value);
  return String(value);
}
