// What the widgets ask the server for.

import { api } from "../../scripts/api.js";
import { told } from "./sentences.js";

/** The folder of this pack as the server names it. */
const PACK = new URL(import.meta.url).pathname.split("/extensions/")[1].split("/")[0];
const outlines = new Map();
const known = new Map();

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

/** What is known of a recording: the facts of its record and its `lines`; asked for once. */
export function facts(item) {
  const key = query(item);
  if (!known.has(key)) {
    const found = answer(api.fetchApi(`/acestep/facts?${key}`));
    found.catch(() => known.delete(key));
    known.set(key, found);
  }
  return known.get(key);
}

/** One page of the songs of the output folder; the first has `batches`, `keys` and `models` too. */
export function songs(asked) {
  return answer(api.fetchApi(`/acestep/songs?${new URLSearchParams(asked)}`));
}

/** `{names}` of all favourites, as paths below the output folder. */
export function favourites() {
  return answer(api.fetchApi("/acestep/favourites"));
}

export function markFavourite(files, favourite) {
  return post("/acestep/favourites", { files, favourite });
}

/** Moves songs into the trash; gives the `entry` that brings them back. */
export function remove(files) {
  return post("/acestep/delete", { files });
}

export function bringBack(entry) {
  return post("/acestep/undelete", { entry });
}

/** `{songs, bytes}` of what can be brought back. */
export function trash() {
  return answer(api.fetchApi("/acestep/trash"));
}

export function emptyTrash() {
  return post("/acestep/trash/empty", { sure: true });
}

/** Keeps what is known of a file already, such as the lines that a run has listened for. */
export function remember(item, told) {
  known.set(query(item), Promise.resolve(told));
}

/** `{start, end}` in seconds of what somebody wrote: a time, or bars. */
export async function times(text, meter) {
  const asked = { text, bpm: meter?.bpm ?? 0, timesignature: meter?.beats ?? "" };
  const found = await answer(api.fetchApi(`/acestep/times?${new URLSearchParams(asked)}`));
  if (found.error) throw new Error(told(found.error));
  return found;
}

/** `{inside, outside}`: seconds that are blended at each edge of a region. */
export function seam(edges) {
  return answer(api.fetchApi(`/acestep/seam?${new URLSearchParams(edges)}`));
}

/** Keeps a song that was only played; gives all files of it. */
export async function save(item) {
  return (await post("/acestep/save", item)).files;
}

/** One archive of songs with what lies beside them. */
export function zip(items) {
  return post("/acestep/zip", { files: items });
}

/** What there is to say about lyrics: `{lyrics, language, duration}` -> `LyricReport` of the library. */
export function report(asked) {
  return post("/acestep/lyrics", asked);
}

/** What fields of a plan mean, or its text: `{fields | text}` -> `{fields, wanted, problems}`. */
export function planned(asked) {
  return post("/acestep/plan", asked);
}

/** A value of a recording in its one spelling, such as "Am" for the key; fails with the reason where it makes no sense. */
export async function field(name, value) {
  const { problem, value: read } = await post("/acestep/field", { name, value });
  if (problem) throw new Error(told(problem));
  return read;
}

/** What a training run has logged: `{run, records}`. */
export function run(name) {
  return answer(api.fetchApi(`/acestep/run?${new URLSearchParams({ run: name })}`));
}

/** Asks a run that goes on to "stop" and keep, or to let "hear" a test song. */
export function wish(name, what) {
  return post("/acestep/run", { run: name, wish: what });
}

/** A graph of other ACE-Step nodes, or a request, in our nodes: `{workflow, notes}`. */
export function migrated(graph) {
  return post("/acestep/import", { graph });
}

/** A workflow of this pack: "cover", "cover_app", "api/cover". */
export function workflow(name) {
  return answer(api.fetchApi(`/workflow_templates/${PACK}/${name}.json`));
}

/** The picture of a workflow of this pack. */
export function pictureOf(name) {
  return api.apiURL(`/workflow_templates/${PACK}/${name}.jpg`);
}

/** What it sounds like, of those that have a sound. */
export function soundOf(name) {
  return api.apiURL(`/workflow_templates/${PACK}/${name}.mp3`);
}

/** What one of our own addresses answers. */
export function asked(path) {
  return answer(api.fetchApi(path));
}

/** Puts a file of this computer into the input folder; gives it as the canvas names it. */
export async function upload(file) {
  const body = new FormData();
  body.append("image", file);
  const { name, subfolder, type } = await answer(api.fetchApi("/upload/image", { method: "POST", body }));
  return { filename: name, subfolder, type };
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
  if (!response.ok) throw new Error(told(found.error) ?? `${response.status} ${response.statusText}`);
  return found;
}
