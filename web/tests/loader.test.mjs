// What the loader fetches, in Node: from a server that knows ranges, and from one that does not.
//
//   node --test web/tests/loader.test.mjs

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { Loader } from "../player/loader.js";
import { serve } from "./server.mjs";

const MIB = 1 << 20;
const SIZE = 5 * MIB + 12_345;
const bytes = Uint8Array.from({ length: SIZE }, (_, i) => (i * 2654435761) >>> 24);

let server, folder;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "siskin-loader-"));
  writeFileSync(join(folder, "file"), bytes);
  server = await serve({ files: folder }, {});
});

after(() => {
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A loader of the file, and what has arrived: `has` tells whether a place is right. */
function newLoader(query = "") {
  const arrived = new Uint8Array(SIZE);
  const there = new Uint8Array(SIZE);
  let count = 0;
  const file = {
    write(offset, piece) {
      arrived.set(piece, offset);
      there.fill(1, offset, offset + piece.length);
      count += piece.length;
    },
    finish(length) { this.length = length; },
  };
  const loader = new Loader(file, `${server.url}/files/file${query}`, () => undefined);
  const has = (from, to) => {
    for (let i = from; i < to; i++) if (!there[i] || arrived[i] !== bytes[i]) return false;
    return true;
  };
  return { loader, file, has, count: () => count };
}

test("nothing is fetched further than a mebibyte behind the place that was wanted last, wherever the index lies", async () => {
  const { loader, file, has, count } = newLoader();
  await loader.run();
  assert.equal(file.length, SIZE);
  assert.ok(has(0, MIB / 4) && count() === MIB / 4, `${count()} bytes before anybody wants them`);
  // The index at the end, and then somebody listens in the middle.
  loader.want(SIZE - 100);
  await loader.run();
  loader.readAhead();
  await loader.run();
  const before = count();
  assert.ok(before < MIB / 2, `${before} bytes for the beginning and the end`);
  loader.want(2 * MIB + 77);
  await loader.run();
  assert.ok(has(2 * MIB, 3 * MIB));
  assert.ok(count() - before <= MIB + MIB / 4, `${count() - before} bytes for the middle`);
  // And back.
  loader.want(MIB);
  await loader.run();
  assert.ok(has(MIB, 3 * MIB) && !has(MIB - 1, MIB) && !has(4 * MIB, 4 * MIB + 1));
});

test("a request for another place is given up", async () => {
  // 256 kB would take four seconds.
  const { loader, has, count } = newLoader("?rate=65536");
  const running = loader.run();
  while (count() === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  loader.want(4 * MIB);
  while (!has(4 * MIB, 4 * MIB + 100)) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(!has(0, MIB / 8), "the first request went on");
  loader.close();
  await running;
});

test("all of a file is fetched where that is asked for, and where the server knows no ranges", async () => {
  for (const query of ["", "?ranges=0"]) {
    const { loader, has, count } = newLoader(query);
    if (!query) loader.loadAll();
    loader.want(SIZE - 100);
    await loader.run();
    assert.ok(has(0, SIZE) && count() === SIZE, `${count()} bytes ${query}`);
  }
});
