// What the tests in Chromium have in common: where things are, and the browser.
//
//   SISKIN_FIXTURES=FOLDER NODE_MODULES=FOLDER [CHROMIUM=chromium] [TIMEOUT=60000]

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const FIXTURES = process.env.SISKIN_FIXTURES;
assert.ok(FIXTURES, "SISKIN_FIXTURES names the folder that `cargo run -p siskin-web --example fixtures` wrote");
const { CHROMIUM = "chromium" } = process.env;
/** Milliseconds that something may take before it counts as not happening; a busy machine needs more. */
export const TIMEOUT = Number(process.env.TIMEOUT ?? 60_000);
const { chromium } = createRequire(join(process.env.NODE_MODULES ?? import.meta.dirname, "/"))("playwright-core");

const folder = (path) => fileURLToPath(new URL(path, import.meta.url));

/** What the server gives out. */
export const folders = { player: folder("../player"), bundles: folder("../../models/bundles"), fixtures: FIXTURES };

/** Samples that the program decoded from a file. */
export function floats(name) {
  const bytes = readFileSync(join(FIXTURES, `${name}.f32`));
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}

/** Chromium with a profile. */
export function launch(profile, args = [], options = {}) {
  return chromium.launchPersistentContext(profile, {
    executablePath: CHROMIUM.includes("/") ? CHROMIUM : `/usr/bin/${CHROMIUM}`,
    headless: true,
    timeout: Math.max(TIMEOUT, 30_000),
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", ...args],
    ...options,
  });
}
