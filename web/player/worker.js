// The worker: fetches, decodes ahead of the sound, and looks at the rest of the file for its waveform.

import { NeedsData, Siskin, filesOfDecoder } from "./siskin.js";
import { Loader } from "./loader.js";
import { Pictures, Silence } from "./pictures.js";
import { loadBundle, loadModule } from "./resources.js";
import { Stretch } from "./stretch.js";

/** Seconds of output that wait in the audio thread: enough for a page that stutters, little to throw away at a seek. */
const AHEAD = 3;
/** Seconds of output that are always there first. */
const SOON = 0.5;
/** Buckets per second of the waveform. */
const BUCKETS = 20;
/** Samples per second of a film without sound. */
const SILENT_RATE = 48000;
/** Longer files show as much of their waveform as was played: their decoding would take minutes. */
const MAX_SCAN_SECONDS = 3600;
/** Of larger files nothing is fetched for the waveform alone. */
const MAX_SCAN_BYTES = 1 << 20;

/** What one element plays. */
class Session {
  constructor(post) {
    this.post = post;
    this.generation = 0;
    this.sent = 0;
    this.consumed = 0;
    this.speed = 1;
    /** Where the sound that was sent ends, in samples of the file. */
    this.expected = 0;
    /** What is heard, in seconds of the file. */
    this.position = 0;
    this.peaks = new Float32Array(0);
  }

  async open({ url, bytes, wasm, bundles, preload, wantsVideo }) {
    const module = loadModule(wasm);
    // Its failure is thrown where it is awaited, also if the file fails before.
    module.catch(() => undefined);
    this.siskin = await Siskin.instantiate(await module);
    this.file = this.siskin.newFile();
    if (bytes) {
      this.file.write(0, bytes);
      this.file.finish(bytes.length);
    } else {
      this.loader = new Loader(this.file, url, () => this.arrived());
      if (preload === "auto") this.loader.loadAll();
      this.load();
    }
    const about = await this.retry(() => this.file.describe());
    const isFilm = Boolean(wantsVideo && about.video);
    if (!about.sampleRate) {
      // Says that there is no sound, and what there is.
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
    if (about.bundleName) {
      const bundle = await loadBundle(bundles, about.bundleName, filesOfDecoder);
      this.siskin.openBundle(bundle.manifest, bundle.files);
      this.decoder = await this.retry(() => this.file.newDecoder());
    } else {
      this.decoder = new Silence(SILENT_RATE, about.seconds ?? 0);
    }
    // A film shows frames and no waveform.
    this.wantsPeaks = !isFilm && (about.samples ?? 0) <= MAX_SCAN_SECONDS * this.rate;
    this.post({ type: "opened", about });
    this.pump();
  }

  load() {
    this.loader?.run().catch((error) => this.fail(error));
  }

  arrived() {
    const waiting = this.waiting ?? [];
    this.waiting = [];
    for (const resolve of waiting) resolve();
    if (this.decoder) this.pump();
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
    // A seek may have come before.
    port.postMessage({ generation: this.generation });
    port.onmessage = ({ data }) => {
      if (data.generation !== this.generation) return;
      this.consumed = data.consumed;
      if (data.position !== undefined) this.position = data.position / this.rate;
      this.pump();
    };
    // Who listens to the beginning will want what follows.
    this.loader?.readAhead();
    this.load();
    this.pump();
  }

  /** Goes on at a time and speed. */
  seek(seconds, speed, generation) {
    this.generation = generation;
    this.speed = speed;
    this.target = seconds;
    this.position = seconds;
    this.pictures?.seek(seconds);
    this.hasEnded = false;
    this.sent = this.consumed = 0;
    this.output?.postMessage({ generation });
    this.pump();
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
    if (!this.decoder) return false;
    const ahead = this.sent - this.consumed;
    const wantsSound = this.output && !this.hasEnded && ahead < AHEAD * this.rate;
    // Frames come before sound that is not soon needed, or a slow machine would show none for long after a seek.
    const isUrgent = wantsSound && ahead < SOON * this.rate;
    if (isUrgent && this.tryWithData(() => this.play())) return true;
    const wantsFrames = this.pictures?.isDue(this.position);
    if (wantsFrames && this.tryWithData(() => this.decodeFrame())) return true;
    if (wantsSound && !isUrgent && this.tryWithData(() => this.play())) return true;
    // A waveform alone is no reason to fetch what nobody plays, nor to be before what somebody waits for.
    const mayFetch = this.output && !wantsSound && !(this.loader?.total > MAX_SCAN_BYTES);
    return this.wantsPeaks && this.tryWithData(() => this.scan(), Boolean(mayFetch));
  }

  /** False if it has to wait for data, which is fetched if `isWanted`. */
  tryWithData(work, isWanted = true) {
    try {
      work();
      return true;
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
    // The sound may have been over long before.
    if (this.pictures.hasEnded) this.tellDamage(this.decoder);
  }

  play() {
    if (this.target !== undefined) {
      this.decoder.seek(this.target);
      this.expected = Math.round(this.target * this.rate);
      this.kept = this.silence = undefined;
      this.target = undefined;
      this.stretch = undefined;
    }
    const { samples, position } = this.nextSound();
    if (!samples) {
      if (this.stretch) this.send(this.stretch.finish());
      this.hasEnded = true;
      this.output.postMessage({ end: true });
      this.tellDamage(this.decoder);
      return;
    }
    if (this.speed === 1) {
      this.emit(samples, position, 1);
      return;
    }
    if (!this.stretch) {
      this.stretch = new Stretch(this.rate, this.speed);
      this.nextPosition = position;
    }
    this.send(this.stretch.push(samples));
  }

  /** The next piece of sound and its place; of a film silence where there is none; without samples at the end. */
  nextSound() {
    let piece = this.kept;
    this.kept = undefined;
    if (!piece && !this.silence) {
      const samples = this.decoder.next();
      if (samples) piece = { samples, position: this.decoder.position() - samples.length };
      else if (!this.pictures) return {};
    }
    if (!piece) {
      // The sound is over, and the frames may not be.
      if (!this.silence) {
        this.silence = new Silence(this.rate, this.about.seconds ?? 0);
        this.silence.seek(this.expected / this.rate);
      }
      const samples = this.silence.next();
      if (!samples) return {};
      piece = { samples, position: this.silence.position() - samples.length };
    }
    // Sound that begins later than the frames; less than that is rounding.
    const gap = piece.position - this.expected;
    if (this.pictures && gap > this.rate / 50) {
      this.kept = piece;
      piece = { samples: new Float32Array(Math.min(gap, this.rate)), position: this.expected };
    }
    this.expected = piece.position + piece.samples.length;
    return piece;
  }

  /** Sends stretched samples, which lie behind those before. */
  send(samples) {
    if (samples.length === 0) return;
    const position = this.nextPosition;
    this.nextPosition += samples.length * this.speed;
    this.emit(samples, position, this.speed);
  }

  emit(samples, position, step) {
    this.sent += samples.length;
    this.output.postMessage({ samples, position, step }, [samples.buffer]);
  }

  /** Looks at the next packet for the waveform. */
  scan() {
    // Made when there is time for it, and not before the first sound.
    this.scanner ??= this.file.newDecoder();
    const samples = this.scanner.next();
    if (!samples) {
      this.tellPeaks();
      const end = this.scanner.position();
      this.post({ type: "length", seconds: end / this.rate, damage: this.scanner.damage() });
      this.scanner.free();
      this.wantsPeaks = false;
      return;
    }
    const size = this.rate / BUCKETS;
    const first = this.scanner.position() - samples.length;
    const last = Math.floor((first + samples.length - 1) / size);
    if (last >= this.peaks.length) {
      const more = new Float32Array(Math.max(2 * this.peaks.length, last + 1, 1024));
      more.set(this.peaks);
      this.peaks = more;
    }
    for (let i = 0; i < samples.length; i++) {
      const bucket = Math.floor((first + i) / size);
      this.peaks[bucket] = Math.max(this.peaks[bucket], Math.abs(samples[i]));
    }
    this.scanned = last + 1;
    if (this.scanned - (this.told ?? 0) >= 5 * BUCKETS) this.tellPeaks();
  }

  tellPeaks() {
    if (!this.scanned) return;
    this.told = this.scanned;
    this.post({ type: "peaks", values: this.peaks.slice(0, this.scanned), perSecond: BUCKETS });
  }

  /** Tells what was damaged, of the sound and of the frames. */
  tellDamage(decoder) {
    const damage = decoder.damage();
    const ofVideo = this.pictures?.decoder.damage();
    if (ofVideo) {
      damage.badFrames = ofVideo.badPackets;
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

let session;
globalThis.onmessage = ({ data }) => {
  switch (data.type) {
    case "open": {
      session?.close();
      const { id } = data;
      session = new Session((message, transfer) => globalThis.postMessage({ ...message, id }, transfer ?? []));
      const opened = session;
      opened.open(data).catch((error) => opened.fail(error));
      break;
    }
    case "connect":
      session?.connect(data.port);
      break;
    case "seek":
      session?.seek(data.seconds, data.speed, data.generation);
      break;
    case "close":
      session?.close();
      session = undefined;
      break;
  }
};
