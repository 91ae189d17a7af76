/** Which control planes are alive, by their leases; a node of one that is not is not connected. */

/** SQL, of a column that holds a control plane's id: whether that one is alive. */
export function isAlive(column: string): string {
  return `EXISTS (SELECT FROM control_planes alive WHERE alive.id = ${column}
    AND alive.stopped_at IS NULL
    AND alive.seen_at > now() - make_interval(secs => alive.ttl_seconds))`;
}
