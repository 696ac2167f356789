// Corrections of a dataset, kept in a widget of the node: id -> field -> value. Every change can be taken back.

export class Edits {
  /** `widget`: holds the corrections as JSON; `changed` is called after each change. */
  constructor(widget, changed) {
    this.widget = widget;
    this.changed = changed;
    this.rows = [];
    this.applied = {};
    this.before = [];
    this.after = [];
  }

  /** The rows that a run has shown, and the corrections that are in them. */
  show(rows, applied) {
    this.rows = rows;
    this.applied = parsed(applied) ?? {};
    this.names = new Map();
    for (const { name } of rows) this.names.set(name, (this.names.get(name) ?? 0) + 1);
  }

  /** All corrections, or null where a person has written what is none. */
  read() {
    return parsed(this.widget.value);
  }

  /** Those of one row; people may have written its file name in place of its id. */
  of(row, all = this.read()) {
    return { ...(this.names.get(row.name) === 1 ? all?.[row.name] : {}), ...all?.[row.id] };
  }

  /** What holds for a field now: what the run made of a correction, the correction, or what stood there before. */
  value(row, field, own = this.of(row)) {
    if (field in own) return same(own[field], this.of(row, this.applied)[field]) ? row[field] : own[field];
    if (field === "is_instrumental" && "lyrics" in own) return !own.lyrics;
    return field in row.before ? row.before[field] : row[field];
  }

  /** Whether what is told of a row is about these corrections of it; if not, the next run looks again. */
  ran(row, own) {
    return same(own, this.of(row, this.applied));
  }

  /** Says something of rows. What is as it was before is no correction. */
  set(rows, field, value) {
    const all = this.read();
    if (!all) return;
    for (const row of rows) {
      const key = !(row.id in all) && row.name in all && this.names.get(row.name) === 1 ? row.name : row.id;
      const own = { ...all[key] };
      delete own[field];
      if (!same(value, this.value(row, field, own))) own[field] = value;
      if (Object.keys(own).length) all[key] = own;
      else delete all[key];
    }
    this.before.push(this.widget.value);
    this.after = [];
    this.write(JSON.stringify(all, null, 1));
  }

  undo() {
    this.swap(this.before, this.after);
  }

  redo() {
    this.swap(this.after, this.before);
  }

  swap(from, to) {
    if (!from.length) return;
    to.push(this.widget.value);
    this.write(from.pop());
  }

  write(text) {
    this.widget.value = text;
    this.widget.callback?.(text);
    this.changed();
  }
}

function parsed(text) {
  try {
    const found = JSON.parse(text?.trim() || "{}");
    return found && typeof found === "object" && !Array.isArray(found) ? found : null;
  } catch {
    return null;
  }
}

function same(one, other) {
  return JSON.stringify(one) === JSON.stringify(other);
}
