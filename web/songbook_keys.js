// The keys of the songbook. They work only while the focus is inside it, and then the canvas does not see them.

/** Acts on a key, if it is one of ours. */
export function press(book, event) {
  const { list } = book;
  const typing = event.target.matches("input:not([type=checkbox]), select, textarea");
  if (typing) {
    if (event.key === "Escape") list.root.focus();
    event.stopPropagation();
    return;
  }
  const index = list.index;
  const withSong = (act) => () => index !== null && act(index);
  const command = event.ctrlKey || event.metaKey;
  const keys = command
    ? { a: () => book.select(null, "all"), z: () => book.undo() }
    : event.altKey
      ? { ArrowLeft: () => book.turn(-1), ArrowRight: () => book.turn(1) }
      : {
          ArrowUp: () => list.step(-1),
          ArrowDown: () => list.step(1),
          ArrowLeft: () => list.turn(-1),
          ArrowRight: () => list.turn(1),
          Home: () => list.go(list.order[0]),
          End: () => list.go(list.order.at(-1)),
          Enter: () => (index === null ? list.turn(list.folded.has(list.blockOf(list.active)?.number) ? 1 : -1) : book.play(index)),
          " ": () => (index === null ? null : book.play(index)),
          x: withSong((at) => book.select(at, "toggle")),
          f: withSong((at) => book.favour(at)),
          Delete: () => book.trash(book.selected.size ? null : index),
          Backspace: () => {},
          "/": () => book.parts.search.focus(),
          Escape: () => (book.selected.size ? book.unselect() : document.activeElement?.blur()),
        };
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (!(key in keys)) return;
  event.stopPropagation();
  const onButton = event.target.matches("button, input, [role=slider]");
  if (onButton && [" ", "Enter", "ArrowLeft", "ArrowRight"].includes(event.key) && !event.altKey) return; // the button's own
  event.preventDefault();
  keys[key]();
}
