// Making elements. Text is always set as text, never as markup.

/** An element: `class`, `text`, `on` (listeners), `style` (custom properties), anything else is an attribute. */
export function el(tag, { class: name, text, on = {}, style = {}, ...attributes } = {}, ...children) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== undefined && value !== null) made.setAttribute(key, value);
  }
  for (const [key, value] of Object.entries(style)) made.style.setProperty(key, value);
  for (const [key, listener] of Object.entries(on)) made.addEventListener(key, listener);
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** One of the icons that the frontend serves (PrimeIcons). */
export function icon(name) {
  return el("i", { class: `pi pi-${name}`, "aria-hidden": "true" });
}

/** A button with an icon, a word, or both; an icon alone gets its name for readers and as a tooltip. */
export function button({ icon: sign, label, name, class: kind = "ace-button", press, ...attributes }) {
  return el(
    "button",
    {
      type: "button",
      class: kind,
      title: name,
      "aria-label": label ? undefined : name,
      on: { click: press },
      ...attributes,
    },
    sign && icon(sign),
    label && el("span", { text: label }),
  );
}

/** Shows or takes away. */
export function visible(element, yes) {
  element.hidden = !yes;
}

/** Off, but still to be reached and asked why. */
export function disable(element, why) {
  if (why) element.setAttribute("aria-disabled", "true");
  else element.removeAttribute("aria-disabled");
  if (why) element.title = why;
}

export function disabled(element) {
  return element.getAttribute("aria-disabled") === "true";
}

/** Says for two seconds on a button how that went. */
export function flash(pressed, text) {
  const label = pressed.querySelector("span");
  if (!label || pressed.dataset.flash) return;
  const before = label.textContent;
  pressed.dataset.flash = "true";
  label.textContent = text;
  setTimeout(() => {
    label.textContent = before;
    delete pressed.dataset.flash;
  }, 2000);
}

/** Shows something in front of everything until it is closed; gives the dialog. Esc closes it. */
export function inFront(body, { kind = "", name, shut, key = () => {}, closed = () => {} }) {
  const dialog = el("dialog", { class: `ace ${kind} ace-dialog`, "aria-label": name }, body);
  const close = button({ icon: "times", name: shut, class: "ace-icon ace-close", press: () => dialog.close() });
  dialog.append(close);
  dialog.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return key(event);
    event.stopPropagation();
    dialog.close(); // some frontends keep the key from the browser
  });
  dialog.addEventListener("close", () => {
    closed();
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** 192 -> "3:12". */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds || 0));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** What a song is called: the first line of its caption, or its file. */
export function titleOf(caption, filename) {
  const words = (caption || filename).split("\n")[0];
  return caption ? words.charAt(0).toUpperCase() + words.slice(1) : words;
}

/** What a person chose once and wants again; nothing where the browser keeps nothing. */
export const kept = {
  get(key, fallback) {
    try {
      return JSON.parse(localStorage.getItem(`acestep.${key}`)) ?? fallback;
    } catch {
      return fallback;
    }
  },
  set(key, value) {
    try {
      localStorage.setItem(`acestep.${key}`, JSON.stringify(value));
    } catch {
      // private windows keep nothing; the choice then lasts as long as the page
    }
  },
};
