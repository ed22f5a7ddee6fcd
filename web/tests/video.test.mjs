// <siskin-video> in headless Chromium: what is on its canvas is hashed and compared with what the program decodes.
//
//   SISKIN_FIXTURES=FOLDER NODE_MODULES=FOLDER [SHARED_FILM=page.html] [CHROMIUM=chromium] node --test web/tests/video.test.mjs

import assert from "node:assert/strict";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

import { asStereo, fixture, frames, hashPixels } from "./files.mjs";
import { withPlayer } from "./harness.mjs";

const { SHARED_FILM } = process.env;
const PAGE = `<!doctype html><title>Player</title><script type="module" src="/player/video.js"></script>
<siskin-video id="player" bundles="/bundles/" title="A film"></siskin-video>`;

/** Run in the page: the time of what is heard and the hash of what is on screen, at each frame that the browser paints. */
const WATCH = `
globalThis.seen = [];
const player = document.querySelector("siskin-video");
const canvas = player.shadowRoot.querySelector(".frame");
const hash = () => (${hashPixels})(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data);
globalThis.frameHash = hash;
const look = () => {
  seen.push([player.presentationTime, hash()]);
  if (globalThis.isWatching) requestAnimationFrame(look);
};
globalThis.watch = () => { globalThis.isWatching = true; look(); };`;

/** Times in seconds by the hash of the frame. */
const timesOf = (name) => new Map(frames(name).map(([ms, hash]) => [hash, ms / 1000]));
const times = timesOf("video");

const its = withPlayer("siskin-video", PAGE);
const { call: player, until, pressPlay } = its;
const open = (source) => its.open(source, WATCH);
/** The time of the frame that is on screen; undefined where it is none of the program's. */
const onScreen = async (known = times) => known.get(await its.page.evaluate(() => globalThis.frameHash()));
const untilFrame = (seconds) => its.page.waitForFunction(
  (hash) => globalThis.frameHash() === hash, [...times].find(([, at]) => at === seconds)[0], { polling: 20 });

test("the frames of the fixture are different ones", () => {
  assert.equal(times.size, 250);
});

test("shows its first frame before it plays, and plays each frame at its time", async () => {
  await open("/fixtures/video.mkv");
  await untilFrame(0);
  const [width, height, duration] = await player((p) => [p.videoWidth, p.videoHeight, p.duration]);
  assert.deepEqual([width, height, duration], [320, 180, 10]);
  await pressPlay();
  await its.page.evaluate(() => globalThis.watch());
  await until((p) => p.currentTime > 5);
  await its.page.evaluate(() => { globalThis.isWatching = false; });
  const quality = await player((p) => p.getVideoPlaybackQuality());
  const seen = await its.page.evaluate(() => globalThis.seen);
  const known = seen.map(([now, hash]) => [now, times.get(hash)]);
  assert.ok(known.every(([, at]) => at !== undefined), "a frame on screen is none of the program's");
  const shown = new Set(known.map(([, at]) => at));
  const late = known.map(([now, at]) => now - at).filter((by) => by > 0.2 || by < -0.05);
  const seconds = known.at(-1)[0] - known[0][0];
  // Of the first frame it was not seen when it came.
  const rate = (shown.size - 1) / seconds;
  console.log(`320x180: ${shown.size} frames shown in ${seconds.toFixed(2)} s (${rate.toFixed(1)} frames/s), ` +
    `${quality.droppedVideoFrames} dropped, ${late.length} of ${known.length} looks off by more than 0.2 s`);
  // Those that were seen were shown; what the player shows between two looks of the test is not seen.
  assert.ok(quality.totalVideoFrames - quality.droppedVideoFrames >= shown.size, JSON.stringify(quality));
  assert.ok(quality.totalVideoFrames >= 120 && quality.totalVideoFrames <= 145, JSON.stringify(quality));
  assert.ok(rate > 15 && rate < 25.5, `${rate} frames/s`);
  assert.ok(late.length < known.length / 10, `${late.length} of ${known.length} looks were off: ${late.slice(0, 10)}`);
});

test("plays to the end: shorter sound, none, a live recording without a length, packets of several frames", async () => {
  for (const name of ["late", "silent", "live", "groups"]) {
    await open(`/fixtures/${name}.mkv`);
    await pressPlay();
    await until((p) => p.ended);
    const [at, duration] = await player((p) => [p.currentTime, p.duration]);
    assert.ok(Math.abs(duration - 3) < 0.05 && Math.abs(at - 3) < 0.1, `${name}: ${at} of ${duration} s`);
    const last = await onScreen(name === "groups" ? timesOf(name) : times);
    assert.ok(last >= 2.9, `${name}: ends at the frame of ${last} s`);
  }
});

test("a seek shows the frame of that time, playing or not", async () => {
  await open("/fixtures/video.mkv");
  await untilFrame(0);
  await player((p) => p.addEventListener("seeked", () => { p.dataset.seeked = String(p.currentTime); }));
  for (const seconds of [7.96, 2, 1.96, 9.96, 0.04]) {
    await player((p, at) => { p.currentTime = at + 0.001; }, seconds);
    await untilFrame(seconds);
    await until((p, at) => p.dataset.seeked === String(at + 0.001) && !p.seeking, seconds);
  }
  await pressPlay();
  await until((p) => p.currentTime > 0.5);
  await player((p) => { p.currentTime = 6; });
  await until((p) => p.currentTime > 6.3 && p.currentTime < 8);
  assert.ok((await onScreen()) >= 6);
});

test("a seek to the end shows the last frame", async () => {
  await open("/fixtures/video.mkv");
  await untilFrame(0);
  await its.page.getByRole("slider", { name: "Position" }).focus();
  await its.page.keyboard.press("End");
  assert.equal(await player((p) => p.currentTime), 10);
  await untilFrame(9.96);
});

test("after a seek the next file shows its frames and plays", async () => {
  await open("/fixtures/video.mkv");
  await player((p) => { p.currentTime = 5; });
  await untilFrame(5);
  await player((p) => { p.src = "/fixtures/silent.mkv"; });
  await untilFrame(0);
  await pressPlay();
  await until((p) => p.currentTime > 0.3 && p.duration === 3);
});

test("frames do not heap up where nothing is painted", async () => {
  await open("/fixtures/video.mkv");
  const [most, last, quality] = await its.page.evaluate(async () => {
    const { VideoView } = await import("/player/video-view.js");
    const player = document.createElement("div");
    Object.assign(player, { currentTime: 0, duration: 10, volume: 1, playbackRate: 1, presentationTime: 0 });
    // As in a tab in the background.
    globalThis.requestAnimationFrame = () => 1;
    const view = new VideoView(player);
    let most = 0;
    for (let i = 0; i < 250; i++) {
      // Frames are decoded half a second before their time.
      player.presentationTime = Math.max(0, i / 25 - 0.5);
      const pixels = new ArrayBuffer(16);
      view.addFrame({ start: i / 25, end: (i + 1) / 25, width: 2, height: 2, pixels, skipped: i === 9 ? 3 : 0 });
      most = Math.max(most, view.queue.length);
    }
    return [most, view.queue.at(-1).start, view.dropped];
  });
  assert.ok(most <= 15, `${most} frames wait`);
  assert.equal(last, 249 / 25);
  // What the page threw away, and what the worker did not send.
  assert.ok(quality > 200 + 3, `${quality} dropped`);
});

test("where the browser knows no full screen there is no button for it", async () => {
  await its.page.addInitScript(() => Object.defineProperty(Document.prototype, "fullscreenEnabled", { get: () => false }));
  const errors = [];
  its.page.on("pageerror", (error) => errors.push(error.message));
  await open("/fixtures/video.mkv");
  await untilFrame(0);
  assert.equal(await its.page.getByRole("button", { name: "Full screen" }).count(), 0);
  await its.page.getByRole("slider", { name: "Position" }).focus();
  await its.page.keyboard.press("f");
  assert.deepEqual(errors, []);
});

test("keys and a screen reader reach all of the video player", async () => {
  await open("/fixtures/video.mkv");
  await untilFrame(0);
  assert.equal(await its.page.getByRole("group", { name: "A film" }).count(), 1);
  assert.equal(await its.page.getByRole("img", { name: "A film" }).count(), 1);
  assert.equal(await its.page.getByRole("button", { name: "Full screen" }).count(), 1);
  await its.page.getByRole("slider", { name: "Position" }).focus();
  await its.page.keyboard.press("ArrowRight");
  await untilFrame(5);
  await its.page.keyboard.press("k");
  await until((p) => !p.paused && p.currentTime > 5.2);
  await its.page.locator("siskin-video .stage").click();
  assert.equal(await player((p) => p.paused), true);
  await its.page.keyboard.press("f");
  await its.page.waitForFunction(() => document.fullscreenElement?.localName === "siskin-video");
});

test("damage costs frames up to the next keyframe, and the player says so", async () => {
  await open("/fixtures/holes.mkv");
  await player((p) => { p.playbackRate = 3; });
  await pressPlay();
  await until((p) => p.ended);
  // The frames 60 to 99 hang on the damaged one.
  await its.page.getByRole("alert").filter({ hasText: "40 frames are damaged" }).waitFor();
});

test("a film whose sound has two channels shows its frames, and the player says so", async () => {
  await open("/fixtures/video.mkv");
  const film = Buffer.from(asStereo(fixture("video.mkv"))).toString("base64");
  await player(async (p, film) => { p.file = await (await fetch(`data:video/x-matroska;base64,${film}`)).blob(); }, film);
  await its.page.getByRole("alert").filter({ hasText: "Not played: its sound, which has 2 channels." }).waitFor();
  await untilFrame(0);
  await pressPlay();
  await until((p) => p.currentTime > 0.3);
  assert.ok((await onScreen()) > 0);
});

test("video that needs a network is refused with a reason", async () => {
  for (const [name, reason] of [["fit", /network of its own/], ["network", /video-realtime of earlier versions/]]) {
    await open(`/fixtures/${name}.mkv`);
    const alert = its.page.getByRole("alert").filter({ hasText: "cannot be played" });
    await alert.waitFor();
    assert.match(await alert.textContent(), reason);
  }
  // A file of sound plays as it does in <video>.
  await open("/fixtures/speech.mka");
  await pressPlay();
  await until((p) => p.currentTime > 0.3);
  assert.equal(await player((p) => p.videoWidth), 0);
});

test("a shared page plays a film offline, from a file", { skip: !SHARED_FILM && "SHARED_FILM names no page" }, async () => {
  await its.browser.setOffline(true);
  try {
    await its.page.goto(pathToFileURL(SHARED_FILM).href);
    await until((p) => p.duration === 10);
    await its.page.evaluate(WATCH);
    await untilFrame(0);
    await pressPlay();
    await until((p) => p.currentTime > 1);
    await player((p) => p.pause());
    assert.ok((await onScreen()) > 0.5, `the frame of ${await onScreen()} s is on screen`);
    assert.match(await its.page.locator("#save").getAttribute("download"), /^video\.mkv$/);
  } finally {
    await its.browser.setOffline(false);
  }
});
