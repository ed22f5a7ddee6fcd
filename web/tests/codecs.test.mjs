// Video, the encoder and what a recording needs, in Node.
//
//   SISKIN_FIXTURES=FOLDER node --test web/tests/codecs.test.mjs

import assert from "node:assert/strict";
import { test } from "node:test";

import { Resampler } from "../player/resample.js";
import { NeedsData, Siskin, SiskinEncoder, filesOfEncoder } from "../player/siskin.js";
import { bundleFiles, compileModule, damagedCopies, fixture, floats, frames as framesOf, hashPixels,
  withDamagedBlock } from "./files.mjs";

const module = await compileModule();

function opened(siskin, name, bytes = fixture(name)) {
  const file = siskin.newFile();
  file.write(0, bytes);
  file.finish(bytes.length);
  return file;
}

const frames = framesOf();

test("frames are those of the program, and a seek leads to the one of its time", async () => {
  const siskin = await Siskin.instantiate(module);
  const file = opened(siskin, "video.mkv");
  const { video, seconds } = file.describe();
  assert.deepEqual([video.width, video.height, video.frameRate, video.pixelAspect, seconds], [320, 180, [25, 1], [1, 1], 10]);
  const decoder = file.newVideo();
  const start = process.cpuUsage();
  for (const [ms, wanted] of frames) {
    const frame = decoder.next();
    const [start, end] = [frame.start * 1000, frame.end * 1000];
    assert.ok(frame.isShown && Math.abs(start - ms) < 1 && Math.abs(end - ms - 40) < 1, JSON.stringify(frame));
    assert.equal(hashPixels(decoder.picture().pixels), wanted, `the frame of ${ms} ms`);
  }
  assert.equal(decoder.next(), null);
  const { user, system } = process.cpuUsage(start);
  console.log(`320x180: ${(frames.length / ((user + system) / 1e6)).toFixed(0)} frames per second of CPU time, hashes among it`);
  assert.ok(frames.length / ((user + system) / 1e6) > 30);
  for (const ms of [5000, 4960, 40, 9960, 0]) {
    decoder.seek(ms / 1000 + 0.02);
    let frame = decoder.next();
    for (; frame && !frame.isShown; frame = decoder.next());
    assert.equal(Math.round(frame.start * 1000), ms);
    assert.equal(hashPixels(decoder.picture().pixels), frames[ms / 40][1]);
  }
});

test("frames of packets that hold several are those of the program, each at its time, and a seek leads into them", async () => {
  const siskin = await Siskin.instantiate(module);
  const decoder = opened(siskin, "groups.mkv").newVideo();
  const wanted = framesOf("groups");
  assert.equal(new Set(wanted.map(([, hash]) => hash)).size, 75);
  const all = [];
  for (let frame = decoder.next(); frame; frame = decoder.next()) {
    assert.ok(frame.isShown && Math.abs(frame.end - frame.start - 0.04) < 1e-3, JSON.stringify(frame));
    all.push([Math.round(frame.start * 1000), hashPixels(decoder.picture().pixels)]);
  }
  assert.deepEqual(all, wanted);
  for (const ms of [2960, 1000, 1360, 40, 0]) {
    decoder.seek(ms / 1000 + 0.02);
    let frame = decoder.next();
    for (; frame && !frame.isShown; frame = decoder.next());
    assert.equal(Math.round(frame.start * 1000), ms);
    assert.equal(hashPixels(decoder.picture().pixels), wanted[ms / 40][1]);
  }
});

test("a damaged packet of several frames lasts as long as they do and counts as so many, once", async () => {
  const siskin = await Siskin.instantiate(module);
  // Each fifth packet from the first on has one frame, the others have eight, and the second is damaged: no keyframe follows within
  // 33 frames, and all up to there hang on it.
  const decoder = opened(siskin, "groups.mkv", withDamagedBlock(fixture("groups.mkv"), 1)).newVideo();
  const wanted = framesOf("groups");
  const play = () => {
    const damaged = [];
    let end = 0;
    for (let frame = decoder.next(); frame; frame = decoder.next()) {
      assert.ok(Math.abs(frame.start - end) < 1e-3, `${frame.start} s behind ${end} s`);
      end = frame.end;
      if (frame.isDamaged) damaged.push([Math.round(frame.start * 1000), Math.round(frame.end * 1000)]);
      else assert.equal(hashPixels(decoder.picture().pixels), wanted[Math.round(frame.start * 25)][1], `${frame.start} s`);
    }
    assert.equal(Math.round(end * 1000), 3000);
    return damaged;
  };
  const damaged = play();
  assert.deepEqual(damaged[0], [40, 360]);
  const lost = damaged.reduce((sum, [from, to]) => sum + (to - from) / 40, 0);
  assert.ok(lost >= 8 && lost < 75, `${lost} frames`);
  assert.deepEqual(decoder.damage(), { badFrames: lost, endsEarly: false, damage: null });
  decoder.seek(0);
  assert.deepEqual([play(), decoder.damage().badFrames], [damaged, lost]);
});

test("video arrives in any pieces, and a seek asks for its own part alone", async () => {
  const siskin = await Siskin.instantiate(module);
  const bytes = fixture("video.mkv");
  const file = siskin.newFile();
  file.finish(bytes.length);
  const asked = [];
  const until = (call) => {
    for (;;) {
      try {
        return call();
      } catch (error) {
        if (!(error instanceof NeedsData)) throw error;
        const from = error.offset - (error.offset % 65536);
        asked.push(from);
        file.write(from, bytes.subarray(from, from + 65536));
      }
    }
  };
  const decoder = until(() => file.newVideo());
  until(() => decoder.seek(8.01));
  let frame = until(() => decoder.next());
  for (; !frame.isShown; frame = until(() => decoder.next()));
  assert.equal(hashPixels(decoder.picture().pixels), frames[200][1]);
  // The beginning, the index at the end, and around the target.
  assert.ok(bytes.length > 400_000 && new Set(asked).size <= 5, `${asked} of ${bytes.length}`);
});

test("video that needs a network, and files without video, are refused with a reason", async () => {
  const siskin = await Siskin.instantiate(module);
  assert.throws(() => opened(siskin, "fit.mkv").newVideo(), /a network of its own.*siskin play/);
  assert.throws(() => opened(siskin, "network.mkv").newVideo(), /video-realtime of earlier versions/);
  assert.throws(() => opened(siskin, "speech.mka").newVideo(), /no V_SISKIN track, found: A_SISKIN/);
  assert.throws(() => opened(siskin, "silent.mkv").newDecoder(), /no A_SISKIN track, found: V_SISKIN/);
});

test("damage anywhere in a video ends in frames or in a reason", async () => {
  const siskin = await Siskin.instantiate(module);
  const whole = fixture("silent.mkv");
  let shown = 0;
  for (const [bytes, random] of damagedCopies(whole, 40, 8, 7)) {
    const file = siskin.newFile();
    file.write(0, bytes);
    file.finish(bytes.length);
    try {
      const decoder = file.newVideo();
      for (let frame = decoder.next(); frame; frame = decoder.next()) {
        shown += frame.isShown;
        if (frame.isShown) decoder.picture();
      }
      decoder.seek(random(4));
      decoder.free();
    } catch (error) {
      assert.ok(!/the decoder failed/.test(error.message), error.message);
    }
    file.free();
  }
  assert.ok(shown > 200, `${shown} frames`);
});

async function newEncoder() {
  const siskin = await Siskin.instantiate(module);
  siskin.openBundle(...bundleFiles(filesOfEncoder));
  return [siskin, new SiskinEncoder(siskin)];
}

const codesOf = (siskin, bytes) => {
  const file = siskin.newFile();
  file.write(0, bytes);
  file.finish(bytes.length);
  return [...file.codes()].flatMap((codes) => [...codes]);
};

test("what is encoded here has the codes of the program's encoder, however the samples were cut", async () => {
  const samples = floats("speech");
  const files = [];
  let siskin;
  for (const cut of [480, 1024, 77_777]) {
    let encoder;
    [siskin, encoder] = await newEncoder();
    assert.equal(encoder.sampleRate, 24000);
    const start = process.cpuUsage();
    for (let at = 0; at < samples.length; at += cut) encoder.push(samples.subarray(at, at + cut));
    files.push(encoder.finish());
    const { user, system } = process.cpuUsage(start);
    const speed = samples.length / 24000 / ((user + system) / 1e6);
    console.log(`encoding at ${speed.toFixed(1)} times real time by CPU time, ${cut} samples at a time`);
    assert.ok(Buffer.compare(files[0], files.at(-1)) === 0, `cut by ${cut}`);
  }
  const [found, wanted] = [codesOf(siskin, files[0]), codesOf(siskin, fixture("again.mka"))];
  assert.equal(found.length, wanted.length);
  const differ = found.filter((code, i) => code !== wanted[i]).length;
  console.log(`${differ} of ${wanted.length} codes differ from those of ONNX Runtime`);
  // The last bits of a network's sums decide between two codes that are equally near, now and then.
  assert.ok(differ <= wanted.length / 100, `${differ} of ${wanted.length} codes differ`);
});

test("a bundle without its encoder, and stages that it has not, are refused", async () => {
  const siskin = await Siskin.instantiate(module);
  assert.throws(() => new SiskinEncoder(siskin), /no bundle is open/);
  const [other] = await newEncoder();
  assert.throws(() => new SiskinEncoder(other, 99), /stages/);
});

test("another sample rate keeps the sound and lets nothing fold back", () => {
  const tone = (rate, hertz) => Float32Array.from({ length: rate }, (_, i) => Math.sin((2 * Math.PI * hertz * i) / rate));
  for (const from of [48000, 44100, 24000, 16000, 96000]) {
    const input = tone(from, 1000);
    const run = (cut) => {
      const resampler = new Resampler(from, 24000);
      const pieces = [];
      for (let at = 0; at < input.length; at += cut) pieces.push(...resampler.push(input.subarray(at, at + cut)));
      return Float32Array.from([...pieces, ...resampler.finish()]);
    };
    const output = run(1024);
    assert.equal(output.length, 24000);
    assert.deepEqual(output, run(777));
    const ideal = tone(24000, 1000);
    for (let i = 500; i < 23_500; i++) assert.ok(Math.abs(output[i] - ideal[i]) < 1e-3, `${from} Hz: sample ${i}`);
  }
  const folded = new Resampler(48000, 24000).push(tone(48000, 13_000));
  assert.ok(folded.subarray(500, 23_000).every((sample) => Math.abs(sample) < 1e-3));
});
