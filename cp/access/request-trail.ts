/** One request on its way: what is learnt of it, until its row in the audit is right. */
import { randomUUID } from 'node:crypto';
import type { Actor, AuditedRequest } from '../store/audited-request.ts';
import type { Audit } from './audit.ts';

export interface TrailStart {
  readonly method: string;
  readonly path: string;
  /** Address of the connected socket. */
  readonly source: string;
  readonly forwardedFor: string | null;
}

export interface TrailEnd {
  readonly status: number;
  /** Its sender may not do that. */
  readonly isRefused: boolean;
  /** It was only tried (`dry_run`). */
  readonly isTrial: boolean;
}

/** What a write is answered unless something is wrong, by its method. */
const STATUS: Readonly<Record<string, number>> = { POST: 201, DELETE: 204 };
const STATUS_OTHERWISE = 200;
const READS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);

export class RequestTrail implements AuditedRequest {
  readonly id = randomUUID().replaceAll('-', '');
  readonly method: string;
  readonly path: string;
  readonly forwardedFor: string | null;
  readonly status: number;
  readonly #audit: Audit;
  readonly #source: string;
  #name = 'anonymous';
  #tokenId: string | null = null;
  #workspace: string | null = null;
  #isChanging = false;
  #isRecorded = false;

  constructor(audit: Audit, start: TrailStart) {
    this.#audit = audit;
    this.#source = start.source;
    this.method = start.method;
    this.path = start.path;
    this.forwardedFor = start.forwardedFor;
    this.status = STATUS[start.method] ?? STATUS_OTHERWISE;
  }

  get tokenId(): string | null {
    return this.#tokenId;
  }

  get workspace(): string | null {
    return this.#workspace;
  }

  get actor(): Actor {
    return { name: this.#name, source: this.#source, request: this };
  }

  /** Who sent it. */
  sentBy({ name, tokenId }: { readonly name: string; readonly tokenId: string | null }): void {
    this.#name = name;
    this.#tokenId = tokenId;
  }

  /** Where it goes. @param isChanging  whether that is a part of the API where anything can change */
  reached(workspace: string, isChanging: boolean): void {
    this.#workspace = workspace;
    this.#isChanging = isChanging;
  }

  recorded(): void {
    this.#isRecorded = true;
  }

  /** Before it is answered. Never fails: what cannot be written is logged. */
  async end({ status, isRefused, isTrial }: TrailEnd): Promise<void> {
    if (READS.has(this.method)) return;
    if (isRefused) return this.#audit.recordRefusal(this.actor, status);
    if (this.#isRecorded) {
      if (status !== this.status) await this.#audit.correct(this.actor, this.id, status);
      return;
    }
    if (this.#isChanging && status < 400 && !isTrial) await this.#audit.record(this.actor, status);
  }
}
