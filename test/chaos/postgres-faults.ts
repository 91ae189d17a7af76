/** Faults that know PostgreSQL's protocol: what becomes of a COMMIT, of notifications, of what is said. */
import { ChaosProxy } from './chaos-proxy.ts';
import { postgresMessages, type Direction, type Message } from './splitters.ts';

/** What happens to COMMITs: they pass, are lost on the way, or their answers are. */
export type Cut = 'none' | 'before' | 'after';

export class PostgresProxy {
  readonly tcp: ChaosProxy;
  cut: Cut = 'none';
  /** No notification arrives, although they are listened for. */
  dropsNotifications = false;
  /** Statements asked for: simple queries and executions of prepared ones. */
  statements = 0;
  /** Statements by their first line, and rows that they say they wrote, by the table named first. */
  readonly asked = new Map<string, number>();
  readonly written = new Map<string, number>();
  /** Notifications that arrived, or would have. */
  notifications = 0;
  /** Every message, before anything is done about it. */
  onMessage: (message: Message, direction: Direction) => void = () => {};
  readonly #committing = new WeakSet<object>();
  /** The statement under way, by connection. */
  readonly #statement = new WeakMap<object, string>();

  private constructor(tcp: ChaosProxy) {
    this.tcp = tcp;
    tcp.decide = (message, direction, connection) => {
      this.onMessage(message, direction);
      if (direction === 'down') return this.#answered(message, connection);
      this.#count(message, connection);
      if (!isCommit(message) || this.cut === 'none') return 'pass';
      if (this.cut === 'before') return 'cut';
      this.#committing.add(connection);
      return 'pass';
    };
  }

  static async start(target: number): Promise<PostgresProxy> {
    return new PostgresProxy(await ChaosProxy.start({ target, split: postgresMessages }));
  }

  get port(): number {
    return this.tcp.port;
  }

  /** The same database, through the proxy. */
  through(url: string): string {
    const changed = new URL(url);
    changed.port = String(this.port);
    return changed.href;
  }

  stop(): Promise<void> {
    return this.tcp.stop();
  }

  #count({ kind, text }: Message, connection: object): void {
    if (kind === 'Q' || kind === 'E') this.statements++;
    if (kind !== 'Q' && kind !== 'P') return;
    const first = text.replaceAll(/\s+/g, ' ').trim().slice(0, STATEMENT_LENGTH_MAX);
    this.#statement.set(connection, first);
    add(this.asked, first, 1);
  }

  #answered({ kind, text }: Message, connection: object): 'pass' | 'drop' | 'cut' {
    // The server has answered, so the commit has happened; the client never learns.
    if (this.#committing.has(connection)) return 'cut';
    if (kind === 'CommandComplete') {
      const rows = Number(/^(?:INSERT 0|UPDATE|DELETE) (\d+)$/.exec(text)?.[1] ?? 0);
      const statement = this.#statement.get(connection) ?? '';
      const table = /(?:INSERT INTO|UPDATE|DELETE FROM) (\w+)/.exec(statement)?.[1];
      if (rows > 0 && table !== undefined) add(this.written, table, rows);
    }
    if (kind !== 'NotificationResponse') return 'pass';
    this.notifications++;
    return this.dropsNotifications ? 'drop' : 'pass';
  }
}

const STATEMENT_LENGTH_MAX = 160;

function add(counts: Map<string, number>, name: string, count: number): void {
  counts.set(name, (counts.get(name) ?? 0) + count);
}

export function isCommit({ kind, text }: Message): boolean {
  return kind === 'Q' && text === 'COMMIT';
}
