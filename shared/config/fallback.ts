/**
 * The layout of a group's configuration in an object store: tree nodes under their hash, which never
 * change; the boot record; and last, one pointer to the newest state. The same as the edge has in KV.
 */
/** @param level  schema level of the records: each has a pointer of its own */
export function headName(group: string, level: number): string {
  return `${group}/head.${level}`;
}

export function bootName(group: string): string {
  return `${group}/boot`;
}

/** @param id  empty: what all of them begin with */
export function nodeName(group: string, id: string): string {
  return `${group}/node/${id}`;
}
