// Pointer and keys on a region. They work only inside it, and then the canvas does not see them.

const NEAR = 12;
const TOP = 24;
const STILL = 4;

/** Lets a surface be drawn on, its edges be dragged, and the view be moved. */
export function handle(widget) {
  const { surface, whole } = widget;
  let drag = null;
  const place = (event) => {
    const box = surface.getBoundingClientRect();
    return { share: (event.clientX - box.left) / box.width, scale: surface.clientWidth / box.width, box };
  };
  surface.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !widget.seconds) return;
    event.stopPropagation();
    surface.setPointerCapture(event.pointerId);
    const { share, box, scale } = place(event);
    const time = widget.view.time(share);
    drag = { ...begun(widget, event, { time, box, scale }), time, from: event.clientX, before: { ...widget.value } };
    drag.edge?.focus();
  });
  surface.addEventListener("pointermove", (event) => {
    const { share } = place(event);
    widget.hover(share);
    if (!drag || !surface.hasPointerCapture(event.pointerId)) return;
    if (!drag.moved && Math.abs(event.clientX - drag.from) < STILL) return;
    drag.moved = true;
    if (share < 0 || share > 1) widget.follow(share);
    move(widget, drag, widget.view.time(share), event.altKey);
  });
  surface.addEventListener("pointerup", (event) => {
    if (!drag) return;
    if (drag.moved) widget.commit();
    else if (!drag.edge) widget.seek(drag.time);
    drag = null;
    surface.releasePointerCapture(event.pointerId);
  });
  surface.addEventListener("pointercancel", () => (drag = null));
  surface.addEventListener("pointerleave", () => widget.hover(null));
  surface.addEventListener("dblclick", () => widget.zoomTo());
  surface.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey && !widget.view.zoomed) return;
      event.preventDefault();
      event.stopPropagation();
      const { share } = place(event);
      if (event.ctrlKey) widget.zoom(event.deltaY > 0 ? 1.25 : 0.8, widget.view.time(share));
      else widget.pan(((event.deltaX || event.deltaY) / surface.clientWidth) * widget.view.span);
    },
    { passive: false },
  );
  const look = (event) => {
    const box = whole.getBoundingClientRect();
    const { low, high, span } = widget.view;
    const time = low + ((event.clientX - box.left) / box.width) * (high - low);
    widget.look(time - span / 2);
  };
  whole.addEventListener("pointerdown", (event) => {
    event.stopPropagation();
    whole.setPointerCapture(event.pointerId);
    look(event);
  });
  whole.addEventListener("pointermove", (event) => whole.hasPointerCapture(event.pointerId) && look(event));
  widget.cancelDrag = () => {
    if (!drag) return false;
    widget.value = drag.before;
    widget.written();
    drag = null;
    return true;
  };
}

/** What a press takes hold of: an edge, the region, or free ground to draw on. */
function begun(widget, event, { time, box, scale }) {
  const { start, end } = widget.value;
  const pixels = (moment) => Math.abs(widget.view.share(moment) - widget.view.share(time)) * box.width * scale;
  const held = event.target.closest?.("[data-edge]");
  const edges = [
    [widget.start, pixels(start), "start"],
    [widget.end, pixels(end), "end"],
  ].sort((one, other) => one[1] - other[1]);
  if (held || edges[0][1] <= NEAR) {
    const [edge, , name] = held ? edges.find(([element]) => element === held) : edges[0];
    return { act: name, edge };
  }
  if (widget.target.kind === "added") return { act: "seek" };
  const high = (event.clientY - box.top) * scale < TOP + widget.strip;
  const whole = start <= 0 && end >= widget.seconds;
  if (time > start && time < end && !whole) return { act: event.altKey || high ? "move" : "seek", edge: null };
  return { act: "draw" };
}

function move(widget, drag, time, free) {
  const snap = (moment) => (free ? moment : widget.snap(moment));
  const { start, end } = drag.before;
  if (drag.act === "seek") widget.seek(time);
  if (drag.act === "start") widget.put({ start: snap(time), end }, "start");
  if (drag.act === "end") widget.put({ start, end: snap(time) }, "end");
  if (drag.act === "move") {
    const to = snap(start + time - drag.time);
    widget.put({ start: to, end: to + end - start }, "move");
  }
  if (drag.act === "draw") {
    const [one, other] = [snap(drag.time), snap(time)];
    widget.put({ start: Math.min(one, other), end: Math.max(one, other) }, "draw");
  }
}

/** Acts on a key, if it is one of ours. */
export function press(widget, event) {
  if (event.target.matches("input")) {
    if (event.key !== "Tab") event.stopPropagation();
    return;
  }
  if (event.ctrlKey || event.metaKey) return; // the canvas undoes what stands in its inputs
  const edge = event.target.dataset?.edge;
  const nudge = (by) => widget.nudge(edge ?? "both", event.altKey ? by * 0.01 : by * (event.shiftKey ? 4 : 1), event.altKey);
  const nothing = () => {};
  const keys = {
    " ": () => widget.play(),
    arrowleft: () => nudge(-1),
    arrowright: () => nudge(1),
    i: () => widget.mark("start"),
    o: () => widget.mark("end"),
    "+": () => widget.zoom(0.5),
    "-": () => widget.zoom(2),
    0: () => widget.fit(),
    b: () => widget.setSnap("bar"),
    n: () => widget.setSnap("beat"),
    v: () => widget.setSnap("line"),
    l: () => widget.setLoop(!widget.loop),
    backspace: () => widget.everything(),
    delete: nothing, // would delete the node
    escape: () => widget.cancelDrag() || document.activeElement?.blur(),
  };
  const act = keys[event.key.toLowerCase()];
  if (!act) return;
  event.stopPropagation();
  if (event.target.matches("button") && [" ", "Enter"].includes(event.key)) return; // presses the button
  event.preventDefault();
  act();
}
