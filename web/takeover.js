// A song that the language model wrote in a run, taken over into a node in which it can be changed.

import { app } from "../../scripts/app.js";

const GAP = 60;

/** Puts an ACE-Step Song with these values below the node that wrote them; its song goes where theirs went. */
export function takeOver(node, values) {
  const { graph } = node;
  const song = window.LiteGraph.createNode("ACEStepSong");
  song.pos = [node.pos[0], node.pos[1] + node.size[1] + GAP];
  graph.add(song);
  for (const widget of song.widgets)
    if (widget.name in values) {
      widget.value = values[widget.name];
      widget.callback?.(widget.value);
    }
  for (const other of graph.nodes)
    for (const slot of (other.inputs ?? []).keys()) {
      const link = other.getInputLink?.(slot);
      if (link && String(link.origin_id) === String(node.id) && link.origin_slot === 0) song.connect(0, other, slot);
    }
  app.canvas.selectNode?.(song);
  graph.setDirtyCanvas(true, true);
  return song;
}
