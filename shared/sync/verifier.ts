/** Makes verified states of what a control plane sends: deltas where they fit, tree nodes where not. */
import { hex } from '../base/bytes.ts';
import { Assembly, type Spare } from '../config/assembly.ts';
import {
  admit,
  advance,
  levelOf,
  makeState,
  NOWHERE,
  refuseBelow,
  verifyHead,
  type Head,
  type Pinned,
  type Refusal,
  type ReplicaState,
} from '../config/replica.ts';
import { compareRevisions } from '../config/manifest.ts';
import { ConfigTree } from '../config/tree.ts';
import type { Crypto } from '../platform/platform.ts';
import type { FrameOf, Position } from '../wire/frames.ts';
import { WANT_COUNT_MAX } from '../wire/protocol.ts';
import type { ConfigFrame, Verdict } from './state.ts';

/** Answers without a single node in a row, before we stop asking. */
const EMPTY_ANSWERS_MAX = 3;

const NO_SPARE: Spare = new Map();

/** What is held, newest first, and where the node stands to the outside. */
export interface Holding {
  readonly held: readonly ReplicaState[];
  readonly served: Position;
}

interface Fetch {
  readonly head: Head;
  readonly assembly: Assembly;
  /** Asked for and not answered. */
  readonly outstanding: Set<string>;
  emptyAnswers: number;
}

export class Verifier {
  readonly #crypto: Crypto;
  #fetch: Fetch | null = null;
  /** Nodes of fetches that came to nothing: a newer head, or a node that was not to be had any more. */
  #spare: Spare = NO_SPARE;

  constructor(crypto: Crypto) {
    this.#crypto = crypto;
  }

  /** One frame at a time. */
  async verify(frame: ConfigFrame, holding: Holding, pinned: Pinned): Promise<Verdict> {
    if (frame.type === 'shards') return this.#shards(frame);
    const verified = await verifyHead(frame.head, pinned, this.#crypto);
    if (!verified.ok) {
      const hash = hex(this.#crypto.sha256(frame.head.manifest));
      return { tag: 'refused', position: { ...NOWHERE, hash }, refusal: verified };
    }
    const { head } = verified;
    const verdict = this.#admit(head, holding, pinned);
    if (verdict !== null) return verdict;
    if (frame.type === 'delta') {
      const advanced = advance(baseOf(frame, holding), frame, head, this.#crypto);
      if (advanced.ok) return this.#ready(advanced.state);
    }
    return this.#startFetch(head, holding);
  }

  /** Null when it is to be taken. */
  #admit(head: Head, { held, served }: Holding, pinned: Pinned): Verdict | null {
    const { position } = head;
    const refusal = refuseBelow(head, pinned);
    if (refusal !== null) return { tag: 'refused', position, refusal };
    const { level } = head.manifest;
    const verdict = admit({ ...position, level }, levelOf(held[0] ?? null));
    if (verdict === 'newer') return null;
    if (verdict === 'same') return { tag: 'same' };
    // On the way from what is served to what is being built: old news, but no wrong news.
    if (compareRevisions(position, served) > 0) return { tag: 'ignored' };
    return { tag: 'refused', position, refusal: verdict };
  }

  #ready(state: ReplicaState): Verdict {
    this.#fetch = null;
    this.#spare = NO_SPARE;
    return { tag: 'ready', state };
  }

  #startFetch(head: Head, { held }: Holding): Verdict {
    const current = this.#fetch;
    if (current !== null && current.head.position.hash === head.position.hash) {
      // Offered again, in a new session: what was asked in the old one is not coming any more.
      current.outstanding.clear();
      return this.#proceed(current);
    }
    const base = held[0]?.tree ?? ConfigTree.empty(this.#crypto);
    if (current !== null) this.#spare = current.assembly.leftOver();
    const assembly = new Assembly(head.manifest, base, this.#crypto, this.#spare);
    this.#fetch = { head, assembly, outstanding: new Set(), emptyAnswers: 0 };
    return this.#proceed(this.#fetch);
  }

  #shards(frame: FrameOf<'shards'>): Verdict {
    const fetch = this.#fetch;
    if (fetch === null) return { tag: 'ignored' };
    for (const { id, text } of frame.nodes) {
      if (!fetch.outstanding.delete(id)) continue;
      if (!fetch.assembly.add(id, text))
        return this.#refuse(fetch, 'a node is not what it is named');
    }
    if (frame.missing.some((id) => fetch.outstanding.has(id))) {
      return this.#refuse(fetch, 'the control plane does not have a node any more');
    }
    const isEmpty = frame.nodes.length === 0;
    fetch.emptyAnswers = isEmpty ? fetch.emptyAnswers + 1 : 0;
    if (fetch.emptyAnswers > EMPTY_ANSWERS_MAX) {
      return this.#refuse(fetch, 'the control plane sends no nodes');
    }
    // An answer may be cut short: the rest is to be asked for again.
    if (isEmpty) fetch.outstanding.clear();
    return this.#proceed(fetch);
  }

  #proceed(fetch: Fetch): Verdict {
    const { assembly, outstanding, head } = fetch;
    if (assembly.isSettled) {
      const assembled = assembly.finish();
      if (!assembled.ok) return this.#refuse(fetch, assembled.detail);
      const made = makeState(head, assembled.tree);
      return made.ok ? this.#ready(made.state) : this.#refuse(fetch, made.detail);
    }
    if (outstanding.size > 0) return { tag: 'fetching', ids: [] };
    const ids = assembly.missing(WANT_COUNT_MAX);
    for (const id of ids) outstanding.add(id);
    return { tag: 'fetching', ids };
  }

  #refuse({ head, assembly }: Fetch, detail: string): Verdict {
    this.#fetch = null;
    this.#spare = assembly.leftOver();
    const refusal: Refusal = { ok: false, code: 'hash_mismatch', detail };
    return { tag: 'refused', position: head.position, refusal };
  }
}

/** The state that a delta starts from, among those held; the newest when it is none of them. */
function baseOf({ base }: FrameOf<'delta'>, { held }: Holding): ReplicaState | null {
  if (base.revision === 0) return null;
  return held.find((state) => state.replica.hash === base.hash) ?? held[0] ?? null;
}
