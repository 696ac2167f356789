// What the canvas shows of ACE-Step: results on the nodes that made them, and the colours of the wires.

import { app } from "../../scripts/app.js";
import { Author } from "./author.js";
import { DatasetTable } from "./dataset.js";
import { LyricsEditor } from "./editor.js";
import { PlanForm } from "./plan.js";
import { RegionWidget } from "./region.js";
import { KINDS } from "./region_target.js";
import { followDrops, remember, rescue } from "./drop.js";
import { fold, refold } from "./fold.js";
import { showGallery } from "./gallery.js";
import { showModels } from "./models.js";
import { makeForm, makeSong } from "./make.js";
import { migrate, offer } from "./migrate.js";
import { RecordPicker } from "./record.js";
import { readSentences, told, translateErrors } from "./sentences.js";
import { readShipped, translate } from "./shipped.js";
import { followRuns } from "./run.js";
import { SongWidget, widgets } from "./song.js";
import { addSongbook } from "./songbook.js";
import { followStatus } from "./status.js";
import { takeDrops } from "./song_drag.js";
import { takeOver } from "./takeover.js";
import { TextWidget } from "./text.js";
import { followPalette, startTheme } from "./theme.js";
import { TrainingMonitor } from "./training.js";
import { say } from "./words.js";

const PLAYER = "ACESTEP_PLAYER";
const SHOW_TEXT = "ACEStepShowText";
/** Nodes whose text is no remark, but what somebody or a model wrote. */
const WRITERS = [SHOW_TEXT, "ACEStepCreateSong", "ACEStepFormatSong", "ACEStepUnderstand"];
/** Nodes that do nothing on the canvas but report; in an app their report has its place before it is there. */
const REPORTERS = [SHOW_TEXT, "ACEStepPreprocess", "ACEStepSaveDataset", "ACEStepExportLoRA"];
/** Node -> its text input that has an editor of its own, and the type under which that is asked for. */
const EDITORS = { ACEStepSong: ["lyrics", "ACESTEP_LYRICS"], ACEStepPlan: ["edited_plan", "ACESTEP_PLAN"] };
const OPEN = ["auto", "unknown"];
/** Nodes with a panel of their own, beside the text that they tell. */
const PANELS = { ACEStepEditDataset: DatasetTable, ACEStepTrainLoRA: TrainingMonitor, ACEStepLoadRecord: RecordPicker };
/** What a switch says on either side; locale files have no place for it. */
const SIDES = { instrumental: "isInstrumental", vocals: "isVocal" };
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

/** A widget with which a text is edited; what is written is the value of the input, as it is without us. */
function editing(node, name, type, editor, least) {
  const set = (value) => (editor.text = value);
  const options = { hideOnZoom: false, margin: 8, getMinHeight: least, getValue: () => editor.text, setValue: set };
  const widget = node.addDOMWidget(name, type, editor.root, options);
  return { widget, minHeight: least(), minWidth: 380 };
}

/** The editors write into inputs that take text by wire too. */
function takesText(node) {
  const [name, type] = EDITORS[node.comfyClass] ?? [];
  for (const input of node.inputs ?? []) if (input.name === name && input.type === type) input.type = "STRING";
}

function nameSides(node) {
  for (const { options } of node.widgets ?? [])
    for (const side of ["on", "off"]) if (SIDES[options?.[side]]) options[side] = say(SIDES[options[side]]);
}

function value(node, name) {
  return node.widgets?.find((widget) => widget.name === name)?.value;
}

function choices(type, name) {
  const found = window.LiteGraph?.registered_node_types?.[type]?.nodeData?.input?.required?.[name];
  return (Array.isArray(found?.[0]) ? found[0] : (found?.[1]?.options ?? [])).filter((one) => !OPEN.includes(one));
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

/** A node that works on a part of a recording gets the waveform to choose it on; its inputs hold what is chosen. */
function region(node) {
  const made = new RegionWidget(node);
  shown.set(node, { region: made });
  result(node, "region", "acestep.region", made.root, { getMinHeight: () => made.screen.least() }).label = say("region");
}

function panel(node) {
  const made = new PANELS[node.comfyClass](node);
  shown.set(node, { panel: made });
  result(node, "panel", "acestep.panel", made.root, { getMinHeight: () => made.least() }).label = node.title;
}

/** Shows the outputs of a node: after a run, or when a tab comes back. */
function show(node, output) {
  if (!node.comfyClass?.startsWith("ACEStep") || !output) return;
  const { song, plan } = shown.get(node) ?? {};
  if (song) {
    song.show(output);
    return;
  }
  shown.get(node)?.panel?.show(output);
  if (plan) {
    if (output.plan?.length) plan.show(JSON.parse(output.plan[0]));
    return;
  }
  if (!output.text?.length && !shown.get(node)?.text) return;
  const texts = output.text ?? [];
  text(node).show(WRITERS.includes(node.comfyClass) ? texts : texts.map(told));
  const canBeTaken = output.song?.length && !app.graph?.extra?.linearMode;
  text(node).offer(canBeTaken ? () => takeOver(node, JSON.parse(output.song[0])) : null);
  fit(node);
}

/** Makes a node high enough for what it shows. */
function fit(node) {
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
    { id: "ACEStep.Migrate", label: () => say("migrateShort"), icon: "pi pi-arrow-right-arrow-left", function: migrate },
  ],
  menuCommands: [{ path: ["ACE-Step"], commands: ["ACEStep.MakeSong", "ACEStep.Gallery", "ACEStep.Models", "ACEStep.Migrate"] }],
  init() {
    startTheme();
  },
  setup() {
    followPalette();
    readSentences();
    translateErrors();
    followRuns(widgets);
    followStatus();
    addSongbook();
    takeDrops();
    followDrops();
    app.ui?.settings?.addEventListener?.("Comfy.VueNodes.Enabled.change", () => app.graph?.nodes.forEach(refold));
  },
  beforeRegisterNodeDef(nodeType, nodeData) {
    const inputs = nodeData.input?.optional;
    if (nodeData.name.startsWith("ACEStep") && inputs?.audioUI) inputs.audioUI = [PLAYER, {}];
    const [name, type] = EDITORS[nodeData.name] ?? [];
    for (const group of Object.values(nodeData.input ?? {}))
      if (group?.[name]) group[name] = [type, { ...group[name][1], advanced: false }];
  },
  getCustomWidgets() {
    return {
      [PLAYER](node, name) {
        const song = new SongWidget(node);
        shown.set(node, { song });
        return { widget: result(node, name, "acestep.song", song.root, { getMinHeight: () => song.size.least() }) };
      },
      ACESTEP_LYRICS(node, name, [, declared]) {
        const author = new Author(node);
        const editor = new LyricsEditor({
          beside: () => ({
            language: value(node, "language"),
            duration: value(node, "duration"),
            instrumental: value(node, "instrumental"),
          }),
          edited: () => made.widget.callback?.(editor.text),
          author,
        });
        shown.set(node, { editor });
        const made = editing(node, name, "acestep.lyrics", editor, () => editor.least());
        editor.text = declared?.default ?? "";
        return made;
      },
      ACESTEP_PLAN(node, name) {
        const fields = ["keyscale", "timesignature", "language"];
        const offered = fields.map((field) => [field, choices("ACEStepSong", field)]);
        const plan = new PlanForm(node, {
          edited: (text) => made.widget.callback?.(text),
          grown: () => fit(node),
          choices: Object.fromEntries(offered),
        });
        shown.set(node, { plan });
        const made = editing(node, name, "acestep.plan", plan, () => plan.least());
        return made;
      },
    };
  },
  nodeCreated(node) {
    if (!node.comfyClass?.startsWith("ACEStep")) return;
    fold(node);
    nameSides(node);
    if (REPORTERS.includes(node.comfyClass)) text(node);
    if (node.comfyClass in KINDS) region(node);
    takesText(node);
    shown.get(node)?.editor?.watch(node);
    shown.get(node)?.plan?.watch(node);
    if (node.comfyClass in PANELS) panel(node);
    const executed = node.onExecuted;
    node.onExecuted = function (output) {
      executed?.call(this, output);
      show(this, output);
    };
    const removed = node.onRemoved;
    node.onRemoved = function () {
      removed?.call(this);
      shown.get(this)?.song?.dispose();
      shown.get(this)?.region?.dispose();
      shown.get(this)?.panel?.dispose();
    };
  },
  beforeLoadGraph() {
    remember();
  },
  async beforeConfigureGraph(graph) {
    await rescue(graph);
    await offer(graph);
    translate(graph, await readShipped());
  },
  afterConfigureGraph() {
    makeForm();
  },
  loadedGraphNode(node) {
    takesText(node);
    refold(node);
    const widget = shown.get(node)?.widget;
    if (widget) widget.label = node.title;
    shown.get(node)?.panel?.loaded?.();
  },
  onNodeOutputsUpdated(outputs) {
    for (const [id, output] of Object.entries(outputs)) {
      const node = app.graph?.getNodeById(id) ?? app.graph?.getNodeById(Number(id));
      if (node) show(node, output);
    }
  },
});
