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
  /** Notifications that arrived, or would have. */
  notifications = 0;
  /** Every message, before anything is done about it. */
  onMessage: (message: Message, direction: Direction) => void = () => {};
  readonly #committing = new WeakSet<object>();

  private constructor(tcp: ChaosProxy) {
    this.tcp = tcp;
    tcp.decide = (message, direction, connection) => {
      this.onMessage(message, direction);
      if (direction === 'down') return this.#answered(message, connection);
      if (message.kind === 'Q' || message.kind === 'E') this.statements++;
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

  #answered({ kind }: Message, connection: object): 'pass' | 'drop' | 'cut' {
    // The server has answered, so the commit has happened; the client never learns.
    if (this.#committing.has(connection)) return 'cut';
    if (kind !== 'NotificationResponse') return 'pass';
    this.notifications++;
    return this.dropsNotifications ? 'drop' : 'pass';
  }
}

export function isCommit({ kind, text }: Message): boolean {
  return kind === 'Q' && text === 'COMMIT';
}
