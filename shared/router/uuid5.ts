/**
 * Name-based UUIDs (RFC 9562 section 5.5). Kong gives the parts of a split route such ids and breaks
 * ties by them, so we must arrive at the same ones. SHA-1 serves as a fixed function here, not as
 * protection.
 */
import { utf8 } from '../base/bytes.ts';

/** @param namespace  a UUID */
export function uuid5(namespace: string, name: string): string {
  const prefix = namespace.replaceAll('-', '');
  const text = utf8(name);
  const input = new Uint8Array(16 + text.length);
  for (let i = 0; i < 16; i += 1) input[i] = Number.parseInt(prefix.slice(i * 2, i * 2 + 2), 16);
  input.set(text, 16);
  const words = sha1(input);
  words[1] = ((words[1] ?? 0) & 0xffff_0fff) | 0x5000;
  words[2] = ((words[2] ?? 0) & 0x3fff_ffff) | 0x8000_0000;
  const hex = Array.from(words.slice(0, 4), (word) => (word >>> 0).toString(16).padStart(8, '0'));
  return hex.join('').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** FIPS 180-4 section 6.1. */
function sha1(input: Uint8Array): Int32Array {
  const blocks = ((input.length + 8) >> 6) + 1;
  const padded = new DataView(new ArrayBuffer(blocks * 64));
  for (const [index, byte] of input.entries()) padded.setUint8(index, byte);
  padded.setUint8(input.length, 0x80);
  padded.setUint32(blocks * 64 - 4, input.length * 8);
  const state = Int32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0);
  const schedule = new Int32Array(80);
  for (let block = 0; block < blocks; block += 1) {
    for (let i = 0; i < 16; i += 1) schedule[i] = padded.getInt32(block * 64 + i * 4);
    for (let i = 16; i < 80; i += 1) {
      const mixed = at(schedule, i - 3) ^ at(schedule, i - 8) ^ at(schedule, i - 14);
      schedule[i] = rotate(mixed ^ at(schedule, i - 16), 1);
    }
    compress(state, schedule);
  }
  return state;
}

function compress(state: Int32Array, schedule: Int32Array): void {
  let [a = 0, b = 0, c = 0, d = 0, e = 0] = state;
  for (let i = 0; i < 80; i += 1) {
    const next = (rotate(a, 5) + roundFunction(i, b, c, d) + e + at(schedule, i)) | 0;
    e = d;
    d = c;
    c = rotate(b, 30);
    b = a;
    a = next;
  }
  for (const [index, word] of [a, b, c, d, e].entries()) state[index] = at(state, index) + word;
}

function roundFunction(round: number, b: number, c: number, d: number): number {
  if (round < 20) return ((b & c) | (~b & d)) + 0x5a827999;
  if (round < 40) return (b ^ c ^ d) + 0x6ed9eba1;
  if (round < 60) return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
  return (b ^ c ^ d) + 0xca62c1d6;
}

function rotate(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}

function at(words: Int32Array, index: number): number {
  return words[index] ?? 0;
}
