// A session in Node, with an audio thread that does what the tests say: what it is sent, and what the page is told.
//
//   SISKIN_FIXTURES=FOLDER node --test web/tests/session.test.mjs

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { Session } from "../player/session.js";
import { filesOfDecoder } from "../player/siskin.js";
import { asStereo, bundleFiles, fixture, floats, folders } from "./files.mjs";

const wasm = readFileSync(join(folders.player, "siskin.wasm"));
const [manifest, files] = bundleFiles(filesOfDecoder);
const bundles = { "speech-24k": { manifest, files: Object.fromEntries(files) } };
const RATE = 24000;

/** Stands for the audio thread: it plays what it was sent when it is asked to. */
class Output {
  constructor(session, answers = true) {
    Object.assign(this, { session, answers, sent: 0, samples: 0, position: 0, hasEnded: false });
    session.connect(this);
  }

  postMessage({ generation, samples, position, step, end }) {
    if (generation !== undefined) {
      Object.assign(this, { generation, samples: 0, hasEnded: false });
      if (this.answers) setImmediate(() => this.onmessage({ data: { generation, consumed: 0 } }));
    } else if (end) {
      this.hasEnded = true;
    } else {
      this.sent += samples.length;
      this.samples += samples.length;
      this.position = position + samples.length * step;
    }
  }

  /** Plays all that is there. */
  play() {
    const { generation, samples: consumed, position } = this;
    this.onmessage({ data: { generation, consumed, position } });
  }
}

async function open(name, wantsVideo = false, options = {}) {
  const messages = [];
  const session = new Session((message) => messages.push(message), 7);
  await session.open({ bytes: fixture(name), wasm, bundles, preload: "metadata", wantsVideo, ...options });
  return { session, messages };
}

async function until(isTrue, work = () => undefined) {
  for (const end = Date.now() + 60_000; !isTrue();) {
    assert.ok(Date.now() < end, `not in a minute: ${isTrue}`);
    work();
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

const isIdle = (session) => !session.isPumping;
const ofType = (messages, type) => messages.filter((message) => message.type === type);

test("sound and frames have the generation that the page gave when it opened the file", async () => {
  const { session, messages } = await open("video.mkv", true);
  const output = new Output(session);
  await until(() => output.sent > 0 && ofType(messages, "frame").length > 0);
  assert.equal(output.generation, 7);
  assert.ok(ofType(messages, "frame").every((frame) => frame.generation === 7));
  session.close();
});

test("an audio thread that is paused gets 3 s, one that stands still nothing, and the page half a second of frames", async () => {
  const { session, messages } = await open("video.mkv", true);
  const output = new Output(session);
  await until(() => output.samples >= 3 * RATE && isIdle(session));
  assert.ok(output.samples < 4.1 * RATE, `${output.samples} samples`);
  assert.ok(ofType(messages, "frame").length <= 15, `${ofType(messages, "frame").length} frames`);
  // Each seek would heap up 3 s where the audio thread takes no messages.
  output.answers = false;
  output.sent = 0;
  for (let turn = 1; turn <= 20; turn++) {
    session.seek(turn / 4, 1, 7 + turn);
    await until(() => isIdle(session));
  }
  assert.equal(output.sent, 0);
  output.onmessage({ data: { generation: 27, consumed: 0 } });
  await until(() => output.samples >= 3 * RATE);
  session.close();
});

test("a film that does not state its length lasts as long as its frames", async () => {
  const { session, messages } = await open("live.mkv", true);
  assert.equal(ofType(messages, "opened")[0].about.seconds, null);
  const output = new Output(session);
  await until(() => output.hasEnded, () => output.play());
  assert.equal(output.position, 3 * 48000);
  assert.deepEqual(ofType(messages, "length").map(({ seconds }) => seconds), [3]);
  assert.ok(ofType(messages, "frame").some(({ end }) => end === 3));
  session.close();
});

test("a seek to the end gives the last frame and says so, in a film that states its length and in one that does not", async () => {
  for (const [name, last, end] of [["video", 9.96, 10], ["live", 2.96, 3], ["silent", 2.96, 100], ["groups", 2.96, 3]]) {
    const { session, messages } = await open(`${name}.mkv`, true);
    await until(() => isIdle(session));
    messages.length = 0;
    session.seek(end, 1, 8);
    await until(() => ofType(messages, "seeked").length === 1);
    assert.deepEqual(ofType(messages, "frame").map((frame) => [frame.generation, frame.start]), [[8, last]], name);
    session.close();
  }
});

test("the waveform of a file beyond an hour is what was played of it, at any speed", async () => {
  const { session, messages } = await open("hours.mka");
  const output = new Output(session);
  const peaks = () => {
    const all = new Float32Array(2 * 3600 * 20);
    for (const { from, values, perSecond } of ofType(messages, "peaks")) {
      assert.equal(perSecond, 20);
      all.set(values, from);
    }
    return all;
  };
  await until(() => output.position > 6 * RATE, () => output.play());
  session.seek(3030, 2, 8);
  await until(() => output.generation === 8 && output.position > 3040 * RATE, () => output.play());
  const found = peaks();
  const whole = floats("long");
  const peakOf = (at) => whole.subarray(at * 1200, (at + 1) * 1200).reduce((most, s) => Math.max(most, Math.abs(s)), 0);
  for (let i = 0; i < 80; i++) {
    assert.ok(Math.abs(found[i] - peakOf(i)) < 1e-3, `${i}: ${found[i]}`);
    assert.ok(Math.abs(found[3030 * 20 + i] - peakOf(30 * 20 + i)) < 1e-3, `3030 s + ${i}: ${found[3030 * 20 + i]}`);
  }
  assert.ok(found.subarray(20 * 20, 3000 * 20).every((peak) => peak === 0));
  session.close();
});

test("frames that are too late are not sent, and are counted", async () => {
  const { session, messages } = await open("video.mkv", true);
  const output = new Output(session);
  await until(() => ofType(messages, "frame").length >= 12 && isIdle(session));
  // The sound is heard four seconds on at once.
  output.onmessage({ data: { generation: 7, consumed: 0, position: 4 * RATE } });
  await until(() => ofType(messages, "frame").some((frame) => frame.start >= 4));
  const shown = ofType(messages, "frame").filter((frame) => frame.start < 4);
  const skipped = ofType(messages, "frame").reduce((sum, frame) => sum + frame.skipped, 0);
  assert.ok(skipped > 50, `${skipped} late frames`);
  assert.ok(Math.abs(shown.length + skipped - 100) <= 1, `${shown.length} sent and ${skipped} late of 100`);
  session.close();
});

test("what is damaged counts once, however often it is played", async () => {
  const { session, messages } = await open("holes.mkv", true);
  const output = new Output(session);
  for (const generation of [7, 8, 9]) {
    if (generation > 7) session.seek(0, 1, generation);
    messages.length = 0;
    await until(() => output.generation === generation && output.hasEnded && session.pictures.hasEnded, () => output.play());
    // The frames 60 to 99 hang on the damaged one.
    assert.equal(ofType(messages, "damage").at(-1).damage.badFrames, 40);
  }
  session.close();
});

test("sound of two channels is refused before a bundle is fetched, and a film with it shows its frames in silence", async () => {
  const options = (name) => ({ bytes: asStereo(fixture(name)), bundles: {} });
  await assert.rejects(open("speech.mka", false, options("speech.mka")), /the sound has 2 channels, and this player plays one/);
  await assert.rejects(open("video.mkv", false, options("video.mkv")), /the sound has 2 channels/);
  const { session, messages } = await open("video.mkv", true, options("video.mkv"));
  const [{ about }] = ofType(messages, "opened");
  assert.deepEqual([about.channels, about.sampleRate, about.video.width], [2, 48000, 320]);
  const output = new Output(session);
  // The silence is there at once, and most frames are late for it.
  await until(() => output.hasEnded && session.pictures.hasEnded, () => output.play());
  assert.equal(output.position, 10 * 48000);
  assert.ok(ofType(messages, "frame").length > 10);
  session.close();
});
