// Which songs are favourites. The server keeps them; every heart on the page shows the same.

import { favourites as ask, markFavourite } from "./api.js";

const names = new Set();
const listeners = new Set();
let asked = null;

function nameOf(item) {
  return item.subfolder ? `${item.subfolder}/${item.filename}` : item.filename;
}

function take(found) {
  names.clear();
  for (const name of found.names) names.add(name);
  for (const listener of listeners) listener();
}

export function isFavourite(item) {
  return item.type === "output" && names.has(nameOf(item));
}

/** Marks songs of the output folder, or takes the mark away. */
export async function favour(items, yes) {
  take(await markFavourite(items, yes));
}

/** Calls back when marks have changed. They are asked for once, or again with `refresh`. */
export function onFavourites(listener) {
  listeners.add(listener);
  if (asked === null) refresh();
}

export function forget(listener) {
  listeners.delete(listener);
}

export function refresh() {
  asked = ask().then(take, () => {}); // without the server no heart is filled
}
