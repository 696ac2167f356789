// What the canvas shows of ACE-Step: results on the nodes that made them, and the colours of the wires.

import { app } from "../../scripts/app.js";
import { followDrops, remember, rescue } from "./drop.js";
import { fold, refold } from "./fold.js";
import { showGallery } from "./gallery.js";
import { showModels } from "./models.js";
import { makeForm, makeSong } from "./make.js";
import { readShipped, translate } from "./shipped.js";
import { followRuns } from "./run.js";
import { SongWidget, widgets } from "./song.js";
import { TextWidget } from "./text.js";
import { follow, startTheme } from "./theme.js";
import { say } from "./words.js";

const PLAYER = "ACESTEP_PLAYER";
const SHOW_TEXT = "ACEStepShowText";
const shown = new WeakMap();

/** A widget that shows a result. It is no setting: with a value in the prompt a song would be made again for it. */
function result(node, name, type, root, options) {
  const widget = node.addDOMWidget(name, type, root, {
    serialize: false,
    hideOnZoom: false,
    margin: 8,
    getValue: () => "",
    setValue: () => {},
    ...options,
  });
  widget.serialize = false;
  widget.label = say("untitled");
  return widget;
}

function text(node) {
  const parts = shown.get(node) ?? {};
  if (!parts.text) {
    parts.text = new TextWidget(node.comfyClass === SHOW_TEXT);
    parts.widget = result(node, "shown", "acestep.text", parts.text.root, { getMinHeight: () => parts.text.height() });
    shown.set(node, parts);
  }
  return parts.text;
}

/** Shows the outputs of a node: after a run, or when a tab comes back. */
function show(node, output) {
  if (!node.comfyClass?.startsWith("ACEStep") || !output) return;
  const song = shown.get(node)?.song;
  if (song) {
    song.show(output);
    return;
  }
  if (!output.text?.length && !shown.get(node)?.text) return;
  text(node).show(output.text ?? []);
  const least = node.computeSize?.()[1] ?? 0;
  if (node.size && node.size[1] < least) node.setSize([node.size[0], least]);
  node.graph?.setDirtyCanvas(true, true);
}

app.registerExtension({
  name: "acestep.canvas",
  commands: [
    { id: "ACEStep.MakeSong", label: () => say("makeSong"), icon: "pi pi-sparkles", function: makeSong },
    { id: "ACEStep.Gallery", label: () => say("galleryShort"), icon: "pi pi-th-large", function: showGallery },
    { id: "ACEStep.Models", label: () => say("models"), icon: "pi pi-cloud-download", function: showModels },
  ],
  menuCommands: [{ path: ["ACE-Step"], commands: ["ACEStep.MakeSong", "ACEStep.Gallery", "ACEStep.Models"] }],
  init() {
    startTheme();
  },
  setup() {
    follow();
    followRuns(widgets);
    followDrops();
    app.ui?.settings?.addEventListener?.("Comfy.VueNodes.Enabled.change", () => app.graph?.nodes.forEach(refold));
  },
  beforeRegisterNodeDef(nodeType, nodeData) {
    const inputs = nodeData.input?.optional;
    if (nodeData.name.startsWith("ACEStep") && inputs?.audioUI) inputs.audioUI = [PLAYER, {}];
  },
  getCustomWidgets() {
    return {
      [PLAYER](node, name) {
        const song = new SongWidget(node);
        shown.set(node, { song });
        return { widget: result(node, name, "acestep.song", song.root, { getMinHeight: () => song.size.least() }) };
      },
    };
  },
  nodeCreated(node) {
    if (!node.comfyClass?.startsWith("ACEStep")) return;
    fold(node);
    if (node.comfyClass === SHOW_TEXT) text(node);
    const executed = node.onExecuted;
    node.onExecuted = function (output) {
      executed?.call(this, output);
      show(this, output);
    };
    const removed = node.onRemoved;
    node.onRemoved = function () {
      removed?.call(this);
      shown.get(this)?.song?.dispose();
    };
  },
  beforeLoadGraph() {
    remember();
  },
  async beforeConfigureGraph(graph) {
    await rescue(graph);
    translate(graph, await readShipped());
  },
  afterConfigureGraph() {
    makeForm();
  },
  loadedGraphNode(node) {
    refold(node);
    const widget = shown.get(node)?.widget;
    if (widget) widget.label = node.title;
  },
  onNodeOutputsUpdated(outputs) {
    for (const [id, output] of Object.entries(outputs)) {
      const node = app.graph?.getNodeById(id) ?? app.graph?.getNodeById(Number(id));
      if (node) show(node, output);
    }
  },
});
