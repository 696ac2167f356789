// What the widgets ask the server for.

import { api } from "../../scripts/api.js";

/** The folder of this pack as the server names it. */
const PACK = new URL(import.meta.url).pathname.split("/extensions/")[1].split("/")[0];
const outlines = new Map();

/** A file as the canvas names it -> its address. */
export function address(item) {
  return api.apiURL(`/view?${query(item)}`);
}

/** The same as a name that nodes understand: "sub/a.flac [output]". */
export function annotated(item) {
  return `${item.subfolder ? `${item.subfolder}/` : ""}${item.filename} [${item.type}]`;
}

/** `{seconds, levels, peak_db, loudness_db}` of a sound file; asked for once. */
export function peaks(item) {
  const key = query(item);
  if (!outlines.has(key)) {
    const found = answer(api.fetchApi(`/acestep/peaks?${key}`));
    found.catch(() => outlines.delete(key));
    outlines.set(key, found);
  }
  return outlines.get(key);
}

/** Keeps a song that was only played; gives all files of it. */
export async function save(item) {
  return (await post("/acestep/save", item)).files;
}

/** One archive of songs with what lies beside them. */
export function zip(items) {
  return post("/acestep/zip", { files: items });
}

/** A workflow of this pack: "cover", "cover_app", "api/cover". */
export function workflow(name) {
  return answer(api.fetchApi(`/workflow_templates/${PACK}/${name}.json`));
}

/** The picture of a workflow of this pack. */
export function pictureOf(name) {
  return api.apiURL(`/workflow_templates/${PACK}/${name}.jpg`);
}

/** What one of our own addresses answers. */
export function asked(path) {
  return answer(api.fetchApi(path));
}

/** Lets the browser keep a file under its own name. */
export function download(item) {
  const link = document.createElement("a");
  link.href = address(item);
  link.download = item.filename;
  link.click();
}

function query(item) {
  return new URLSearchParams({
    filename: item.filename,
    subfolder: item.subfolder ?? "",
    type: item.type ?? "output",
  }).toString();
}

export function post(path, body) {
  return answer(
    api.fetchApi(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }),
  );
}

async function answer(asked) {
  const response = await asked;
  const found = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(found.error ?? `${response.status} ${response.statusText}`);
  return found;
}
