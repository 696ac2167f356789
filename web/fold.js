// In the classic renderer too, what is rarely needed waits behind a button.

import { app } from "../../scripts/app.js";
import { say } from "./words.js";

const buttons = new WeakMap();

/** Folds the advanced widgets of a new node. */
export function fold(node) {
  const rare = node.widgets?.filter((widget) => widget.options?.advanced) ?? [];
  if (!rare.length) return;
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

/** Brings the widgets in line with what the node says; the newer nodes fold by themselves. */
export function refold(node) {
  const more = buttons.get(node);
  if (!more) return;
  const folded = !node.showAdvanced && !window.LiteGraph?.vueNodesMode;
  for (const widget of node.widgets) if (widget.options?.advanced) widget.hidden = folded;
  more.label = say(node.showAdvanced ? "hideAdvanced" : "showAdvanced");
  node.graph?.setDirtyCanvas(true, true);
}
