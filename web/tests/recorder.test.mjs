// <siskin-recorder> in headless Chromium with a microphone that plays a file: the program decodes the recording and compares it.
//
//   SISKIN=siskin SISKIN_FIXTURES=FOLDER NODE_MODULES=FOLDER [CHROMIUM=chromium] node --test web/tests/recorder.test.mjs

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { floats, folders } from "./files.mjs";
import { TIMEOUT, launch } from "./harness.mjs";
import { serve } from "./server.mjs";

const { SISKIN } = process.env;
assert.ok(SISKIN, "SISKIN names the program");
const RATE = 24000;
const PAGE = `<!doctype html><title>Recorder</title><script type="module" src="/player/recorder.js"></script>
<siskin-recorder bundles="/bundles/"></siskin-recorder>`;

let server, work;

before(async () => {
  server = await serve(folders, { "/": PAGE });
  work = mkdtempSync(join(tmpdir(), "siskin-recorder-"));
});

after(() => {
  server?.close();
  rmSync(work, { recursive: true, force: true });
});

/** A WAV of 16 bits at 48 kHz, by twice each sample's place: what the microphone plays, over and over. */
function writeWav(path, samples) {
  const data = Buffer.alloc(44 + samples.length * 4);
  data.write("RIFF", 0).toString();
  data.writeUInt32LE(36 + samples.length * 4, 4);
  data.write("WAVEfmt ", 8);
  const format = [[16, 4], [1, 2], [1, 2], [48000, 4], [96000, 4], [2, 2], [16, 2]];
  format.reduce((at, [value, bytes]) => data.writeUIntLE(value, at, bytes), 16);
  data.write("data", 36);
  data.writeUInt32LE(samples.length * 4, 40);
  for (let i = 0; i < samples.length; i++) {
    const next = samples[Math.min(i + 1, samples.length - 1)];
    data.writeInt16LE(Math.round(samples[i] * 32767), 44 + 4 * i);
    data.writeInt16LE(Math.round(((samples[i] + next) / 2) * 32767), 46 + 4 * i);
  }
  writeFileSync(path, data);
}

/** Level in dB of every 20 ms. */
function levels(samples) {
  const found = [];
  for (let at = 0; at + 480 <= samples.length; at += 480) {
    let sum = 0;
    for (let i = at; i < at + 480; i++) sum += samples[i] * samples[i];
    found.push(10 * Math.log10(sum / 480 + 1e-7));
  }
  return found;
}

function correlation(a, b) {
  const n = Math.min(a.length, b.length);
  const mean = (list) => list.slice(0, n).reduce((x, y) => x + y, 0) / n;
  const [ma, mb] = [mean(a), mean(b)];
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < n; i++) {
    ab += (a[i] - ma) * (b[i] - mb);
    aa += (a[i] - ma) ** 2;
    bb += (b[i] - mb) ** 2;
  }
  return ab / Math.sqrt(aa * bb);
}

test("a recording is what the microphone heard", async () => {
  const spoken = floats("speech");
  writeWav(join(work, "voice.wav"), spoken);
  const browser = await launch(join(work, "profile"), [
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
    `--use-file-for-fake-audio-capture=${join(work, "voice.wav")}`,
  ], { acceptDownloads: true });
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(TIMEOUT);
    await page.goto(`${server.url}/`);
    await page.getByRole("button", { name: "Record" }).click();
    await page.waitForFunction(() => document.querySelector("siskin-recorder").duration > 6, undefined, { polling: 50 });
    assert.equal(await page.getByRole("button", { name: "Stop" }).count(), 1);
    await page.getByRole("button", { name: "Stop" }).click();
    await page.waitForFunction(() => document.querySelector("siskin-recorder").file, undefined, { polling: 50 });
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByText("Save the recording").click()]);
    assert.match(download.suggestedFilename(), /^recording-.*\.mka$/);
    const file = join(work, "recording.mka");
    await download.saveAs(file);

    // A whole file by the program's own judgment.
    execFileSync(SISKIN, ["verify", file]);
    execFileSync(SISKIN, ["decode", "-q", "-y", file, join(work, "recording.f32")]);
    const bytes = readFileSync(join(work, "recording.f32"));
    const heard = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
    const { duration, size } = await page.evaluate(() => {
      const recorder = document.querySelector("siskin-recorder");
      return { duration: recorder.duration, size: recorder.file.size };
    });
    assert.ok(Math.abs(heard.length / RATE - duration) < 1e-3, `${heard.length / RATE} s decoded of ${duration}`);
    assert.equal(size, readFileSync(file).length);
    const rate = (size * 8) / duration;
    assert.ok(rate > 3000 && rate < 9000, `${rate} b/s`);

    // Three seconds from its middle, wherever in the voice they are: the microphone plays it over and over.
    const piece = levels(heard.subarray(2 * RATE, 5 * RATE));
    const twice = levels(Float32Array.from([...spoken, ...spoken, ...spoken]));
    let best = -1;
    for (let at = 0; at + piece.length <= twice.length; at++) {
      best = Math.max(best, correlation(piece, twice.slice(at, at + piece.length)));
    }
    console.log(`recorded ${duration.toFixed(2)} s in ${size} bytes (${rate.toFixed(0)} b/s); ` +
      `its levels correlate with the voice's by ${best.toFixed(3)}`);
    assert.ok(best > 0.9, `levels correlate by ${best}`);

    // The page plays its own recording, and records again.
    await page.getByRole("button", { name: "Record" }).click();
    await page.waitForFunction(() => document.querySelector("siskin-recorder").recording, undefined, { polling: 50 });
    assert.equal(await page.evaluate(() => document.querySelector("siskin-recorder").file), undefined);
  } finally {
    await browser.close();
  }
});

test("a microphone that is not allowed gives a message", async () => {
  const browser = await launch(join(work, "other"), ["--use-fake-device-for-media-stream", "--deny-permission-prompts"]);
  try {
    const page = await browser.newPage();
    await page.goto(`${server.url}/`);
    await page.getByRole("button", { name: "Record" }).click();
    await page.getByRole("alert").filter({ hasText: "the microphone was not allowed" }).waitFor();
    assert.equal(await page.getByRole("button", { name: "Record" }).isEnabled(), true);
  } finally {
    await browser.close();
  }
});
