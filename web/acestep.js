// The player that the canvas puts on Save Song and Preview Song shows a result; it is no setting. Some versions of the
// canvas would send its address with every prompt, and a song would be made and saved again after each page load.

import { app } from "../../scripts/app.js";

app.registerExtension({
  name: "acestep.player",
  nodeCreated(node) {
    if (!node.comfyClass?.startsWith("ACEStep")) return;
    for (const widget of node.widgets ?? []) {
      if (widget.name !== "audioUI") continue;
      widget.serialize = false;
      widget.options = { ...widget.options, serialize: false };
    }
  },
});
