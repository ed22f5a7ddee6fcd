// What one element plays, in its worker: fetches, decodes ahead of the sound, and looks at the rest of the file for its waveform.

import { NeedsData, Siskin, filesOfDecoder } from "./siskin.js";
import { Loader } from "./loader.js";
import { Pictures } from "./pictures.js";
import { loadBundle, loadModule } from "./resources.js";
import { Sound } from "./sound.js";
import { Waveform } from "./waveform.js";

/** Seconds of output that wait in the audio thread: enough for a page that stutters, little to throw away at a seek. */
const AHEAD = 3;
/** Seconds of output that are always there first. */
const SOON = 0.5;
/** Samples per second of a film without sound. */
const SILENT_RATE = 48000;
/** Longer files are not decoded for their waveform, which would take minutes: it shows what was played. */
const MAX_SCAN_SECONDS = 3600;
/** Of larger files nothing is fetched for the waveform alone. */
const MAX_SCAN_BYTES = 1 << 20;

/** One file that is played. */
export class Session {
  /**
   * @param {(message: object, transfer?: Transferable[]) => void} post to the page
   * @param {number} generation of the first sound and frames; each seek brings another
   */
  constructor(post, generation) {
    this.post = post;
    this.generation = generation;
    this.sent = 0;
    this.consumed = 0;
    /** What is heard, in seconds of the file. */
    this.position = 0;
    this.speed = 1;
  }

  async open({ url, bytes, wasm, bundles, preload, wantsVideo }) {
    const module = loadModule(wasm);
    // Its failure is thrown where it is awaited, also if the file fails before.
    module.catch(() => undefined);
    this.siskin = await Siskin.instantiate(await module);
    this.file = this.siskin.newFile();
    if (bytes) {
      const whole = bytes instanceof Blob ? new Uint8Array(await bytes.arrayBuffer()) : bytes;
      this.file.write(0, whole);
      this.file.finish(whole.length);
    } else {
      this.loader = new Loader(this.file, url, () => this.arrived());
      if (preload === "auto") this.loader.loadAll();
      this.load();
    }
    const about = await this.retry(() => this.file.describe());
    const isFilm = Boolean(wantsVideo && about.video);
    // A film whose sound is not played shows its frames; the page says so.
    const hasSound = about.channels === 1;
    if (!hasSound) {
      // Says that there is no sound, or why it is not played, before a bundle is fetched for it.
      if (!isFilm) this.file.newDecoder();
      about.sampleRate = SILENT_RATE;
    }
    this.about = about;
    this.rate = about.sampleRate;
    // The page can set up its output while the networks are read.
    this.post({ type: "described", about });
    if (isFilm) {
      const video = await this.retry(() => this.file.newVideo());
      this.pictures = new Pictures(video, (frame, transfer) =>
        this.post({ type: "frame", generation: this.generation, ...frame }, transfer));
    }
    let decoder;
    if (hasSound) {
      const bundle = await loadBundle(bundles, about.bundleName, filesOfDecoder);
      this.siskin.openBundle(bundle.manifest, bundle.files);
      decoder = await this.retry(() => this.file.newDecoder());
    }
    // A film shows frames and no waveform.
    if (!isFilm) {
      this.waveform = new Waveform(this.rate, (peaks) => this.post({ type: "peaks", ...peaks }));
      this.wantsScan = (about.samples ?? 0) <= MAX_SCAN_SECONDS * this.rate;
    }
    this.sound = new Sound(this.rate, decoder, {
      film: this.pictures && (() => this.filmEnd()),
      heard: (samples, position) => this.waveform?.add(samples, position),
    });
    this.post({ type: "opened", about });
    this.pump();
  }

  /** How far a film is known to go. One that does not state its length, a live recording, ends with its frames. */
  filmEnd() {
    const { seconds } = this.about;
    return seconds ? { until: seconds, isEnd: true } : { until: this.pictures.until, isEnd: this.pictures.hasEnded };
  }

  load() {
    this.loader?.run().catch((error) => this.fail(error));
  }

  arrived() {
    const waiting = this.waiting ?? [];
    this.waiting = [];
    for (const resolve of waiting) resolve();
    if (this.sound) this.pump();
  }

  /** Calls something until what it needs has arrived. */
  async retry(call) {
    for (;;) {
      try {
        return call();
      } catch (error) {
        if (!(error instanceof NeedsData) || !this.loader) throw error;
        this.loader.want(error.offset);
        const arrival = new Promise((resolve) => (this.waiting ??= []).push(resolve));
        this.load();
        await arrival;
      }
    }
  }

  /** The audio thread's port: sound is wanted from here on. */
  connect(port) {
    this.output = port;
    port.onmessage = ({ data }) => {
      if (data.generation !== this.generation) return;
      this.isListening = true;
      this.consumed = data.consumed;
      if (data.position !== undefined) this.position = data.position / this.rate;
      this.pump();
    };
    // A seek may have come before.
    this.announce();
    // Who listens to the beginning will want what follows.
    this.loader?.readAhead();
    this.load();
    this.pump();
  }

  /** Tells the audio thread what comes next. Nothing is sent before it answers: where it stands still each seek would queue 3 s. */
  announce() {
    this.isListening = false;
    this.output?.postMessage({ generation: this.generation });
  }

  /** Goes on at a time and speed. */
  seek(seconds, speed, generation) {
    this.generation = generation;
    this.speed = speed;
    this.position = seconds;
    this.sound?.seek(seconds, speed);
    this.pictures?.seek(seconds);
    this.hasEnded = false;
    this.sent = this.consumed = 0;
    this.announce();
    this.isSeeking = true;
    // Where nobody looks or listens yet there is nothing to wait for.
    if (!this.output && !this.pictures) this.arriveAtTarget();
    this.pump();
  }

  /** Tells that what was sought is there. */
  arriveAtTarget() {
    if (this.isSeeking) this.post({ type: "seeked", generation: this.generation });
    this.isSeeking = false;
  }

  /** Does what there is to do, letting messages in between two packets. */
  async pump() {
    this.isAsked = true;
    if (this.isPumping) return;
    this.isPumping = true;
    try {
      while (this.isAsked && !this.isClosed) {
        this.isAsked = this.step();
        await tick();
      }
    } catch (error) {
      this.fail(error);
    } finally {
      this.isPumping = false;
    }
  }

  /** One packet of work; false if there is nothing to do before a message or data come. */
  step() {
    if (!this.sound) return false;
    const ahead = this.sent - this.consumed;
    const wantsSound = this.isListening && !this.hasEnded && ahead < AHEAD * this.rate;
    // Frames come before sound that is not soon needed, or a slow machine would show none for long after a seek.
    const isUrgent = wantsSound && ahead < SOON * this.rate;
    if (isUrgent && this.tryWithData(() => this.play())) return true;
    const wantsFrames = this.pictures?.isDue(this.position);
    if (wantsFrames && this.tryWithData(() => this.decodeFrame())) return true;
    if (wantsSound && !isUrgent && this.tryWithData(() => this.play())) return true;
    // A waveform alone is no reason to fetch what nobody plays, nor to be before what somebody waits for.
    const mayFetch = this.output && !wantsSound && !(this.loader?.total > MAX_SCAN_BYTES);
    return this.wantsScan && this.tryWithData(() => this.scan(), Boolean(mayFetch));
  }

  /** False if there was nothing to do, or if it has to wait for data, which is fetched if `isWanted`. */
  tryWithData(work, isWanted = true) {
    try {
      return work() !== false;
    } catch (error) {
      if (!(error instanceof NeedsData) || !this.loader) throw error;
      if (isWanted) {
        this.loader.want(error.offset);
        this.load();
      }
      return false;
    }
  }

  decodeFrame() {
    this.pictures.step(this.position);
    if (this.pictures.lastSent >= 0 || this.pictures.hasEnded) this.arriveAtTarget();
    // The sound may have been over long before.
    if (this.pictures.hasEnded) this.tellDamage();
  }

  /** Sends a piece of sound; false if frames have to be decoded first. */
  play() {
    const piece = this.sound.next();
    if (piece === undefined) return false;
    if (!this.pictures) this.arriveAtTarget();
    if (piece) {
      const { samples, position, step } = piece;
      this.sent += samples.length;
      if (samples.length > 0) this.output.postMessage({ samples, position, step }, [samples.buffer]);
      return true;
    }
    this.hasEnded = true;
    this.waveform?.flush();
    this.output.postMessage({ end: true });
    this.tellDamage();
    // Behind a seek beyond the end nothing was sent, and the end is not known.
    if (!this.about.seconds && this.sent > 0) this.post({ type: "length", seconds: this.sound.expected / this.rate });
    return true;
  }

  /** Looks at the next packet for the waveform. */
  scan() {
    // Made when there is time for it, and not before the first sound.
    this.scanner ??= this.file.newDecoder();
    const samples = this.scanner.next();
    if (samples) {
      this.waveform.add(samples, this.scanner.position() - samples.length);
      return;
    }
    this.waveform.flush();
    const damage = this.scanner.damage();
    this.post({ type: "damage", damage });
    this.post({ type: "length", seconds: this.scanner.position() / this.rate, reason: damage.damage });
    this.scanner.free();
    this.wantsScan = false;
  }

  /** Tells what was damaged, of the sound and of the frames. */
  tellDamage() {
    const damage = this.sound.damage();
    const ofVideo = this.pictures?.decoder.damage();
    if (ofVideo) {
      damage.badFrames = ofVideo.badFrames;
      damage.endsEarly ||= ofVideo.endsEarly;
      damage.damage ??= ofVideo.damage;
    }
    this.post({ type: "damage", damage });
  }

  fail(error) {
    if (this.isClosed) return;
    this.close();
    this.post({ type: "error", message: error?.message ?? String(error) });
  }

  close() {
    this.isClosed = true;
    this.loader?.close();
    this.output?.postMessage({ generation: this.generation });
  }
}

/** Lets messages in. Timers would wait for 4 ms each. */
function tick() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(0);
  });
}
