// What all tests have in common: where things are, the files that the program wrote, and damaged copies of them.
//
//   SISKIN_FIXTURES=FOLDER

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const FIXTURES = process.env.SISKIN_FIXTURES;
assert.ok(FIXTURES, "SISKIN_FIXTURES names the folder that `cargo run -p siskin-web --example fixtures` wrote");

const folder = (path) => fileURLToPath(new URL(path, import.meta.url));
const bundle = folder("../../models/bundles/speech-24k/");

/** What a server gives out. */
export const folders = { player: folder("../player"), bundles: folder("../../models/bundles"), fixtures: FIXTURES };

/** Bytes of a file that the program wrote. */
export const fixture = (name) => new Uint8Array(readFileSync(join(FIXTURES, name)));

/** Samples that the program decoded from a file. */
export function floats(name) {
  return new Float32Array(fixture(`${name}.f32`).slice().buffer);
}

/** Milliseconds and hashes of the frames of a film. */
export const frames = (name = "video") => readFileSync(join(FIXTURES, `${name}.frames`), "utf8").trim().split("\n")
  .map((line) => line.split(" ").map(Number));

/** FNV-1a of the red, green and blue of pixels that have an opacity behind them; also run in pages, as text. */
export function hashPixels(pixels) {
  let value = 0x811c9dc5;
  for (let i = 0; i < pixels.length; i++) if (i % 4 !== 3) value = Math.imul(value ^ pixels[i], 0x01000193);
  return value >>> 0;
}

export const compileModule = () => WebAssembly.compile(readFileSync(join(folders.player, "siskin.wasm")));

/** The files of the shipped bundle that `filesOf` names of its manifest. */
export function bundleFiles(filesOf) {
  const read = (name) => new Uint8Array(readFileSync(join(bundle, name)));
  const manifest = read("manifest.json");
  return [manifest, new Map(filesOf(manifest).map((name) => [name, read(name)]))];
}

/**
 * Copies of a file with 1 to `most` bits turned, a third of them cut; the same ones for a seed. Each comes with the numbers to go
 * on by.
 */
export function* damagedCopies(whole, copies, most, seed) {
  const random = (below) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  for (let turn = 0; turn < copies; turn++) {
    const bytes = whole.slice(0, turn % 3 ? whole.length : random(whole.length));
    for (let i = 0; i < 1 + random(most); i++) bytes[random(bytes.length)] ^= 1 << random(8);
    yield [bytes, random];
  }
}

/** A copy of a file of the bundle `speech-24k` whose headers say that the sound has two channels. */
export function asStereo(whole) {
  const bytes = Buffer.from(whole);
  // The bundle's id, then the sample rate in three bytes of a varint, then the channels.
  const id = Buffer.from("497d6dac647edc95", "hex");
  let at = bytes.indexOf(id);
  assert.ok(at > 0);
  for (; at !== -1; at = bytes.indexOf(id, at + 1)) {
    assert.equal(bytes[at + 11], 1);
    bytes[at + 11] = 2;
  }
  return new Uint8Array(bytes);
}

/** A copy of a Matroska file whose block with the number `number` (from 0) has a byte in its middle changed. */
export function withDamagedBlock(whole, number) {
  const [at, end] = [...blocksOf(whole)][number];
  const bytes = whole.slice();
  bytes[(at + end) >> 1] ^= 0x5a;
  return bytes;
}

/** Where the blocks of a Matroska file begin and end. */
function* blocksOf(bytes) {
  const [SEGMENT, CLUSTER, BLOCK_GROUP, SIMPLE_BLOCK, BLOCK] = [0x18538067, 0x1f43b675, 0xa0, 0xa3, 0xa1];
  const number = (at, length, first) => bytes.subarray(at + 1, at + length).reduce((sum, byte) => sum * 256 + byte, first);
  for (let at = 0; at < bytes.length;) {
    const idBytes = Math.clz32(bytes[at]) - 23;
    const id = number(at, idBytes, bytes[at]);
    at += idBytes;
    const sizeBytes = Math.clz32(bytes[at]) - 23;
    const size = number(at, sizeBytes, bytes[at] & (0xff >> sizeBytes));
    at += sizeBytes;
    if (id === SIMPLE_BLOCK || id === BLOCK) yield [at, at + size];
    // Entered, their children are read as if they stood at the top.
    if (![SEGMENT, CLUSTER, BLOCK_GROUP].includes(id)) at += size;
  }
}
