// The keys of the song widget. They work only while the focus is inside it, and then the canvas does not see them.

/** Acts on a key, if it is one of ours. */
export function press(song, event) {
  if (!song.song || event.ctrlKey || event.metaKey || event.altKey) return;
  const { player } = song;
  const step = event.shiftKey ? 1 : 5;
  const onTake = event.target.role === "radio";
  const across = (by) => (onTake ? song.choose(song.place + by) : player.seek(player.time + by * step));
  const line = (by) => {
    const to = song.lyrics.step(by, player.time);
    if (to !== null) player.seek(to);
  };
  const several = song.songs.length > 1;
  const nothing = () => {};
  const keys = {
    " ": () => player.toggle(),
    k: () => player.toggle(),
    ArrowLeft: () => across(-1),
    ArrowRight: () => across(1),
    ArrowUp: () => line(-1),
    ArrowDown: () => line(1),
    Home: () => player.seek(0),
    End: () => player.seek(song.seconds),
    PageUp: () => song.choose(song.place - 1),
    "[": () => song.choose(song.place - 1),
    PageDown: () => song.choose(song.place + 1),
    "]": () => song.choose(song.place + 1),
    l: () => (player.loop = !player.loop),
    a: () => several && song.compare(true),
    x: () => several && song.compare(),
    m: () => player.mute(),
    "+": () => player.louder(0.05),
    "-": () => player.louder(-0.05),
    f: () => song.favour(),
    s: () => song.act(song.actions.save, () => song.save()),
    "?": () => song.menu(),
    Escape: () => song.leave(),
    Delete: nothing, // would delete the node
    Backspace: nothing,
  };
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const act = /^[1-8]$/.test(key) ? () => song.choose(Number(key) - 1) : keys[key];
  if (!act) return;
  event.stopPropagation();
  const onButton = event.target.matches("button, input");
  if (onButton && [" ", "Enter"].includes(event.key)) return; // presses the button
  event.preventDefault();
  act();
  if (onTake) song.takes.root.children[song.place].focus();
}
