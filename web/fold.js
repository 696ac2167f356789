// What is shown of a node's inputs: those that count, and of these in the classic renderer what is rarely needed behind
// a button. What is hidden keeps its value, and its place in saved graphs.

import { app } from "../../scripts/app.js";
import { say } from "./words.js";

const buttons = new WeakMap();

/** Input -> for which values of which other inputs it counts, as its node declares; nothing for one that always does. */
function counts(node, name) {
  const { required, optional } = node.constructor.nodeData?.input ?? {};
  return (required?.[name] ?? optional?.[name])?.[1]?.counts ?? {};
}

function linked(node, name) {
  const place = node.inputs?.findIndex((input) => input.name === name) ?? -1;
  return place >= 0 && node.isInputConnected(place);
}

/** Whether an input makes no difference as the node is set; what comes by wire may be anything. */
function idle(node, name) {
  if (linked(node, name)) return false;
  return Object.entries(counts(node, name)).some(([other, values]) => {
    const widget = node.widgets.find((one) => one.name === other);
    return widget && !linked(node, other) && !values.includes(widget.value);
  });
}

/** Folds the inputs of a new node. */
export function fold(node) {
  follow(node);
  const rare = node.widgets?.filter((widget) => widget.options?.advanced) ?? [];
  if (!rare.length) return refold(node);
  for (const widget of rare) widget.advanced = true; // the node's least height leaves it out
  node.showAdvanced = Boolean(app.extensionManager.setting.get("Comfy.Node.AlwaysShowAdvancedWidgets"));
  const press = () => {
    node.showAdvanced = !node.showAdvanced;
    refold(node);
    node.setSize([node.size[0], node.computeSize()[1]]);
  };
  const more = node.addWidget("button", "advanced", null, press, { canvasOnly: true, serialize: false });
  more.serialize = false;
  buttons.set(node, more);
  refold(node);
  if (!window.LiteGraph?.vueNodesMode) node.setSize([node.size[0], node.computeSize()[1]]);
}

/** Folds again when an input changes that others depend on, or what is connected. */
function follow(node) {
  const watched = new Set((node.widgets ?? []).flatMap((widget) => Object.keys(counts(node, widget.name))));
  if (!watched.size) return;
  for (const widget of node.widgets.filter(({ name }) => watched.has(name))) {
    const changed = widget.callback;
    widget.callback = function (...given) {
      const answer = changed?.apply(this, given);
      resize(node);
      return answer;
    };
  }
  const connected = node.onConnectionsChange;
  node.onConnectionsChange = function (...given) {
    connected?.apply(this, given);
    refold(this);
  };
}

/** Folds again; the node grows or shrinks by what came or went, and keeps the room that somebody gave it. */
function resize(node) {
  const before = node.computeSize()[1];
  refold(node);
  const grown = node.computeSize()[1] - before;
  if (grown && !window.LiteGraph?.vueNodesMode) node.setSize([node.size[0], node.size[1] + grown]);
}

/** Brings the widgets in line with what the node says; the newer nodes fold what is rare by themselves. */
export function refold(node) {
  const more = buttons.get(node);
  const folded = more && !node.showAdvanced && !window.LiteGraph?.vueNodesMode;
  for (const widget of node.widgets ?? []) {
    const rare = Boolean(more && widget.options?.advanced);
    if (rare || Object.keys(counts(node, widget.name)).length) {
      const hidden = idle(node, widget.name) || (rare && folded);
      widget.hidden = hidden;
      if (widget.options) widget.options.hidden = hidden; // what the newer nodes look at
    }
  }
  if (more) {
    more.hidden = !node.widgets.some((widget) => widget.options?.advanced && !idle(node, widget.name));
    node.showAdvanced = Boolean(node.showAdvanced); // has older frontends draw a newer node again
    more.label = say(node.showAdvanced ? "hideAdvanced" : "showAdvanced");
  }
  node.graph?.setDirtyCanvas(true, true);
}
