/**
 * The isolate's side of passive health. It counts for itself, so that it need not wait for anybody, and
 * tells the hub what it saw with its next question; what the hub answers is what all isolates think.
 */
import { must } from '#shared/base/assert.ts';
import type { Peer } from '#shared/balancer/peer.ts';
import type { UpstreamState } from '#shared/balancer/upstream-state.ts';
import type { CounterName } from '#shared/health/health.ts';
import type { HealthRegistry } from '#shared/health/registry.ts';
import {
  type HealthNews,
  type KnownTarget,
  OUTCOMES_MAX,
  type OutcomeReport,
  RUNS_MAX,
} from './hub-api.ts';

interface Noted {
  readonly ws: string;
  readonly upstream: string;
  readonly target: string;
  runs: [CounterName, number][];
}

export class SharedHealth {
  readonly #registry: HealthRegistry;
  #noted = new Map<string, Noted>();
  #known: ReadonlyMap<string, KnownTarget> = new Map();
  #mark = '';

  /** @param onEjected  a target was found unhealthy here: others should hear of it soon */
  constructor(registry: HealthRegistry, onEjected: () => void) {
    this.#registry = registry;
    registry.onCounted = (state, peer, counter) => this.#note(state, peer, counter);
    registry.subscribe(({ isHealthy, cause }) => {
      if (!isHealthy && cause === 'passive') onEjected();
    });
  }

  /** Of what the hub said last. */
  get mark(): string {
    return this.#mark;
  }

  /** Targets that the hub says something of. */
  get knownCount(): number {
    return this.#known.size;
  }

  /** What was noted since; it is the caller's to deliver from now on. */
  takeOutcomes(): OutcomeReport[] {
    const taken: OutcomeReport[] = [];
    for (const [key, noted] of this.#noted) {
      // Successes change nothing where nothing is wrong.
      const isNews = this.#known.has(key) || noted.runs.some(([counter]) => counter !== 'success');
      if (isNews) taken.push(noted);
    }
    this.#noted = new Map();
    return taken;
  }

  /** It could not be delivered. */
  giveBack(outcomes: readonly OutcomeReport[]): void {
    const later = this.#noted;
    this.#noted = new Map();
    for (const report of outcomes) {
      const { ws, upstream, target, runs } = report;
      const noted = {
        ws,
        upstream,
        target,
        runs: runs.map(([name, n]): [CounterName, number] => [name, n]),
      };
      this.#noted.set(keyOf(report), noted);
    }
    for (const [key, { runs, ...of }] of later) {
      const noted = this.#notedOf(key, of);
      if (noted !== null) noted.runs = [...noted.runs, ...runs].slice(-RUNS_MAX);
    }
  }

  /** Takes over what the hub says; null: it is as the hub said before. */
  learn(news: HealthNews | null): void {
    const before = this.#known;
    if (news !== null) {
      this.#mark = news.mark;
      this.#known = new Map(news.targets.map((known) => [keyOf(known), known]));
    }
    for (const state of this.#registry.current()) {
      if (state.current?.checks.isPassiveOn === true) this.#learnOf(state, before);
    }
  }

  #learnOf(state: UpstreamState, before: ReadonlyMap<string, KnownTarget>): void {
    for (const target of must(state.current, 'served').targets) {
      const key = keyOf({ ws: state.ws, upstream: state.name, target: target.key });
      // Seen since the question was asked: the next answer knows of it.
      if (this.#noted.has(key)) continue;
      const word = this.#known.get(key)?.word ?? 'healthy';
      const wasKnown = before.has(key);
      for (const { peer } of state.addressesOf(target).known) {
        if (!isAsSaid(peer, word, wasKnown)) state.learn(peer, word);
      }
    }
  }

  #note({ ws, name: upstream }: UpstreamState, { target }: Peer, counter: CounterName): void {
    const of = { ws, upstream, target };
    const noted = this.#notedOf(keyOf(of), of);
    if (noted === null) return;
    const last = noted.runs.at(-1);
    if (last !== undefined && last[0] === counter) last[1] += 1;
    else {
      if (noted.runs.length >= RUNS_MAX) noted.runs.shift();
      noted.runs.push([counter, 1]);
    }
  }

  /** Null: there are too many already. */
  #notedOf(key: string, of: Omit<Noted, 'runs'>): Noted | null {
    const known = this.#noted.get(key);
    if (known !== undefined) return known;
    if (this.#noted.size >= OUTCOMES_MAX) return null;
    const noted = { ...of, runs: [] };
    this.#noted.set(key, noted);
    return noted;
  }
}

function keyOf({ ws, upstream, target }: Omit<KnownTarget, 'word'>): string {
  return `${ws}\n${upstream}\n${target}`;
}

/** What an isolate counts on the way to an opinion is its own, but what is left of a trial is not. */
function isAsSaid(peer: Peer, word: KnownTarget['word'] | 'healthy', wasKnown: boolean): boolean {
  const { level, isHealthy } = peer.health;
  if (word === 'trial') return level === 'mostly_healthy';
  if (word === 'unhealthy') return !isHealthy;
  return wasKnown ? level === 'healthy' : isHealthy;
}
