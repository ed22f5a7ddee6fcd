// The worker: fetches, decodes ahead of the sound, and looks at the rest of the file for its waveform.

import { NeedsData, Siskin, filesOfDecoder } from "./siskin.js";
import { Loader } from "./loader.js";
import { loadBundle, loadModule } from "./resources.js";
import { Stretch } from "./stretch.js";

/** Seconds of output that wait in the audio thread: enough for a page that stutters, little to throw away at a seek. */
const AHEAD = 3;
/** Buckets per second of the waveform. */
const BUCKETS = 20;
/** Longer files show as much of their waveform as was played: their decoding would take minutes. */
const MAX_SCAN_SECONDS = 3600;

/** What one element plays. */
class Session {
  constructor(post) {
    this.post = post;
    this.generation = 0;
    this.sent = 0;
    this.consumed = 0;
    this.speed = 1;
    this.peaks = new Float32Array(0);
  }

  async open({ url, bytes, wasm, bundles, preload }) {
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
    const bundle = await loadBundle(bundles, about.bundleName, filesOfDecoder);
    this.siskin.openBundle(bundle.manifest, bundle.files);
    this.about = about;
    this.rate = about.sampleRate;
    this.decoder = await this.retry(() => this.file.newDecoder());
    if ((about.samples ?? 0) <= MAX_SCAN_SECONDS * this.rate) {
      this.scanner = await this.retry(() => this.file.newDecoder());
    }
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
      this.pump();
    };
    // Who listens to the beginning will want the rest.
    this.loader?.loadAll();
    this.load();
    this.pump();
  }

  /** Goes on at a time and speed. */
  seek(seconds, speed, generation) {
    this.generation = generation;
    this.speed = speed;
    this.target = seconds;
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
    const wantsSound = this.output && !this.hasEnded && this.sent - this.consumed < AHEAD * this.rate;
    if (wantsSound && this.tryWithData(() => this.play())) return true;
    // A waveform alone is no reason to fetch what nobody plays.
    return Boolean(this.scanner) && this.tryWithData(() => this.scan(), Boolean(this.output));
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

  play() {
    if (this.target !== undefined) {
      this.decoder.seek(this.target);
      this.target = undefined;
      this.stretch = undefined;
    }
    const samples = this.decoder.next();
    if (!samples) {
      if (this.stretch) this.send(this.stretch.finish());
      this.hasEnded = true;
      this.output.postMessage({ end: true });
      this.tellDamage(this.decoder);
      return;
    }
    const position = this.decoder.position() - samples.length;
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
    const samples = this.scanner.next();
    if (!samples) {
      this.tellPeaks();
      const end = this.scanner.position();
      this.post({ type: "length", seconds: end / this.rate, damage: this.scanner.damage() });
      this.scanner.free();
      this.scanner = undefined;
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

  tellDamage(decoder) {
    this.post({ type: "damage", damage: decoder.damage() });
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
      session = new Session((message) => globalThis.postMessage({ ...message, id }));
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
