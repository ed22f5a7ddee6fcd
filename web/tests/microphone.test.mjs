// What <siskin-recorder> does with the microphone, in headless Chromium with one that beeps: it is let go whatever happens.
//
//   SISKIN_FIXTURES=FOLDER NODE_MODULES=FOLDER [CHROMIUM=chromium] node --test web/tests/microphone.test.mjs

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";

import { folders } from "./files.mjs";
import { TIMEOUT, launch } from "./harness.mjs";
import { serve } from "./server.mjs";

const PAGE = `<!doctype html><title>Recorder</title><script type="module" src="/player/recorder.js"></script>
<siskin-recorder bundles="bundles"></siskin-recorder>`;

/** Run in the page before all else: keeps the tracks of each microphone that the page gets, and what happens at the recorder. */
const WATCH = `
globalThis.tracks = [];
globalThis.seen = [];
const { mediaDevices } = navigator;
const getUserMedia = mediaDevices.getUserMedia.bind(mediaDevices);
mediaDevices.getUserMedia = async (constraints) => {
  const stream = await getUserMedia(constraints);
  tracks.push(...stream.getTracks());
  await globalThis.hold;
  return stream;
};
addEventListener("DOMContentLoaded", () => {
  globalThis.recorder = document.querySelector("siskin-recorder");
  for (const event of ["start", "recorded", "error"]) recorder.addEventListener(event, () => seen.push(event));
});`;

let server, profile, browser, page;

before(async () => {
  server = await serve(folders, { "/": PAGE });
  profile = mkdtempSync(join(tmpdir(), "siskin-microphone-"));
  browser = await launch(profile, ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]);
});

after(async () => {
  await browser?.close();
  server?.close();
  rmSync(profile, { recursive: true, force: true });
});

beforeEach(async () => {
  await page?.close();
  page = await browser.newPage();
  page.setDefaultTimeout(TIMEOUT);
  await page.addInitScript(WATCH);
  await page.goto(`${server.url}/`);
});

const press = (name) => page.getByRole("button", { name }).click();
const until = (isTrue) => page.waitForFunction(isTrue, undefined, { polling: 20 });
/** The states of all tracks that there were. */
const states = () => page.evaluate(() => globalThis.tracks.map((track) => track.readyState));

async function record() {
  await press("Record");
  await until(() => globalThis.recorder.duration > 0.2);
  assert.deepEqual(await states(), ["live"]);
}

test("the microphone is let go as soon as the recording stops, and what was recorded comes then", async () => {
  await record();
  const [state, size] = await page.evaluate(async () => {
    const { recorder, tracks } = globalThis;
    const stopped = recorder.stop();
    const state = tracks[0].readyState;
    return [state, (await stopped).size];
  });
  assert.equal(state, "ended");
  assert.ok(size > 100, `${size} bytes`);
  assert.deepEqual(await page.evaluate(() => globalThis.seen), ["start", "recorded"]);
});

test("the microphone is let go where the recorder is taken out of the page", async () => {
  await record();
  const reason = await page.evaluate(async () => {
    const { recorder } = globalThis;
    const stopped = recorder.stop();
    recorder.remove();
    return stopped.catch((error) => error.message);
  });
  assert.match(reason, /taken out of the page/);
  assert.deepEqual(await states(), ["ended"]);
});

test("a microphone that comes when the recorder is gone, or records again, is let go", async () => {
  const reason = await page.evaluate(async () => {
    const { recorder } = globalThis;
    let go;
    globalThis.hold = new Promise((resolve) => { go = resolve; });
    const first = recorder.start();
    const { parentNode } = recorder;
    recorder.remove();
    await new Promise((resolve) => setTimeout(resolve, 50));
    parentNode.append(recorder);
    const second = recorder.start();
    while (globalThis.tracks.length < 2) await new Promise((resolve) => setTimeout(resolve, 10));
    go();
    const failed = await first.catch((error) => error.message);
    await second;
    return failed;
  });
  assert.match(reason, /taken out of the page/);
  assert.deepEqual(await states(), ["ended", "live"]);
  assert.deepEqual(await page.evaluate(() => [globalThis.recorder.recording, globalThis.seen]), [true, ["start"]]);
});

test("the microphone is let go where encoding fails, before the recording and in it", async () => {
  await page.evaluate(() => { globalThis.recorder.bundle = "none"; });
  await press("Record");
  await page.getByRole("alert").filter({ hasText: "404" }).waitFor();
  assert.deepEqual(await states(), ["ended"]);
  await page.evaluate(() => {
    globalThis.recorder.bundle = "speech-24k";
    // A worker that dies later: an error outside all calls.
    const { Worker } = globalThis;
    globalThis.Worker = class extends Worker {
      constructor(...given) { super(...given); globalThis.worker = this; }
    };
  });
  await press("Record");
  await until(() => globalThis.recorder.recording);
  await page.evaluate(() => globalThis.worker.dispatchEvent(new ErrorEvent("error", { message: "out of memory" })));
  await page.getByRole("alert").filter({ hasText: "out of memory" }).waitFor();
  assert.deepEqual(await states(), ["ended", "ended"]);
  assert.deepEqual(await page.evaluate(() => globalThis.seen), ["error", "start", "error"]);
});

test("a microphone that is pulled out ends its recording, and starts none", async () => {
  await record();
  await page.evaluate(() => globalThis.tracks[0].dispatchEvent(new Event("ended")));
  await until(() => globalThis.seen.includes("recorded"));
  await page.evaluate(() => globalThis.tracks[0].dispatchEvent(new Event("ended")));
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.deepEqual([await states(), await page.evaluate(() => globalThis.seen)], [["ended"], ["start", "recorded"]]);
});

test("the button keeps the focus, and the page is told ten times a second", async () => {
  const isFocused = () => page.evaluate(() => globalThis.recorder.shadowRoot.activeElement?.className === "record");
  await page.getByRole("button", { name: "Record" }).focus();
  await page.evaluate(() => {
    globalThis.told = 0;
    globalThis.recorder.addEventListener("timeupdate", () => { globalThis.told += 1; });
  });
  await page.keyboard.press(" ");
  assert.equal(await page.getByRole("button", { name: "Record" }).isDisabled(), true);
  await until(() => globalThis.recorder.recording);
  assert.equal(await isFocused(), true);
  await until(() => globalThis.recorder.duration > 1.5);
  const [told, duration] = await page.evaluate(() => [globalThis.told, globalThis.recorder.duration]);
  assert.ok(told <= 10 * duration + 1 && told > 2, `told ${told} times in ${duration} s`);
  await page.keyboard.press(" ");
  await until(() => globalThis.seen.includes("recorded"));
  assert.equal(await isFocused(), true);
});
