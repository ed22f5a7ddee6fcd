// The package's types against what it exports, in headless Chromium: every member is declared, and every declared one is there. It
// is their names that are compared, not what they take and give.
//
//   SISKIN_FIXTURES=FOLDER NODE_MODULES=FOLDER [CHROMIUM=chromium] node --test web/tests/types.test.mjs

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import * as siskin from "../player/siskin.js";
import { folders } from "./files.mjs";
import { withPlayer } from "./harness.mjs";

const read = (name) => readFileSync(join(folders.player, name), "utf8");

/** Members of the classes of a .d.ts by class, and what it exports besides. */
function parseTypes(text) {
  const classes = {};
  for (const [, name, base, body] of text.matchAll(/^(?:export|declare) class (\w+)(?: extends (\w+))? \{(.*?)\}$/gms)) {
    const members = [...body.matchAll(/^  (?:readonly |get |set |static )*(\*?\w+)\??[(:]/gm)].map(([, member]) => member);
    classes[name] = [...new Set([...members.filter((member) => member !== "constructor"), ...(classes[base] ?? [])])].sort();
  }
  const functions = [...text.matchAll(/^export function (\w+)/gm)].map(([, name]) => name);
  const exported = [...text.matchAll(/^export class (\w+)/gm)].map(([, name]) => name);
  return { classes, exports: [...exported, ...functions].sort() };
}

const its = withPlayer("siskin-audio", "<!doctype html><title>Types</title>");

test("the elements have the members that are declared, and no others", async () => {
  const types = parseTypes(read("siskin-player.d.ts"));
  await its.page.goto(`${its.server.url}/`);
  const found = await its.page.evaluate(async () => {
    const exports = await import("/player/siskin-player.js");
    const members = (type) => type === HTMLElement ? []
      : [...Object.getOwnPropertyNames(type.prototype), ...members(Object.getPrototypeOf(type))];
    const classes = Object.entries(exports).filter(([, value]) => value.prototype instanceof HTMLElement);
    const found = Object.fromEntries(classes.map(([name, type]) => [name, members(type)]));
    return { exports: Object.keys(exports).sort(), classes: found };
  });
  assert.deepEqual(found.exports, types.exports);
  // What the browser and the base class call.
  const internal = /^(constructor|createView|\w+Callback)$/;
  for (const [name, members] of Object.entries(found.classes)) {
    assert.deepEqual([...new Set(members.filter((member) => !internal.test(member)))].sort(), types.classes[name], name);
  }
});

test("each script exports what its own types say", async () => {
  const { exports } = JSON.parse(read("package.json"));
  await its.page.goto(`${its.server.url}/`);
  for (const part of ["audio", "video", "recorder"]) {
    assert.equal(exports[`./${part}.js`].types, `./${part}.d.ts`);
    const declared = /^export \{ (\w+) \} from "\.\/siskin-player\.js";$/m.exec(read(`${part}.d.ts`))[1];
    assert.deepEqual(await its.page.evaluate(async (url) => Object.keys(await import(url)), `/player/${part}.js`), [declared]);
  }
});

test("the codecs have the members that are declared, and no others", () => {
  const types = parseTypes(read("siskin.d.ts"));
  assert.deepEqual(Object.keys(siskin).sort(), types.exports);
  // Values of an object, and not of its class.
  const values = ["offset", "sampleRate"];
  // What every class has, and what the other classes of the script call.
  const internal = { all: ["constructor", "prototype", "length", "name"], Siskin: ["input", "text", "check"] };
  for (const [name, members] of Object.entries(types.classes)) {
    const all = [...Object.getOwnPropertyNames(siskin[name].prototype), ...Object.getOwnPropertyNames(siskin[name])];
    const found = all.filter((member) => ![...internal.all, ...(internal[name] ?? [])].includes(member));
    assert.deepEqual(found.sort(), members.filter((member) => !values.includes(member)), name);
  }
});
