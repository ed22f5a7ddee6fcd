// The worker of a recording: takes samples of the microphone to the codec's rate and encodes them.

import { Resampler } from "./resample.js";
import { loadBundle, loadModule } from "./resources.js";
import { Siskin, SiskinEncoder, filesOfEncoder } from "./siskin.js";

/** Seconds between two messages of progress: samples come 47 times a second, and the page draws what it is told. */
const PROGRESS = 0.1;

/** One recording. */
class Recording {
  async open({ wasm, bundles, bundle, stages, sampleRate }) {
    const [module, files] = await Promise.all([loadModule(wasm), loadBundle(bundles, bundle, filesOfEncoder)]);
    const siskin = await Siskin.instantiate(module);
    siskin.openBundle(files.manifest, files.files);
    this.encoder = new SiskinEncoder(siskin, stages);
    this.resampler = new Resampler(sampleRate, this.encoder.sampleRate);
    this.samples = 0;
    /** The last progress that the page was told, in seconds, and the peak since. */
    this.told = this.peak = 0;
    globalThis.postMessage({ type: "opened" });
  }

  push(samples) {
    for (const sample of samples) this.peak = Math.max(this.peak, Math.abs(sample));
    const bytes = this.encode(this.resampler.push(samples));
    const seconds = this.samples / this.encoder.sampleRate;
    if (seconds < this.told + PROGRESS) return;
    globalThis.postMessage({ type: "progress", seconds, bytes, peak: this.peak });
    this.told = seconds;
    this.peak = 0;
  }

  encode(samples) {
    this.samples += samples.length;
    return this.encoder.push(samples);
  }

  finish() {
    this.encode(this.resampler.finish());
    const seconds = this.samples / this.encoder.sampleRate;
    const file = this.encoder.finish();
    globalThis.postMessage({ type: "finished", seconds, file }, [file.buffer]);
  }
}

const recording = new Recording();

/** Does something and tells the page where that fails. */
function attempt(work) {
  try {
    work();
  } catch (error) {
    globalThis.postMessage({ type: "error", message: error?.message ?? String(error) });
  }
}

globalThis.onmessage = ({ data }) => {
  if (data.type === "open") {
    recording.open(data).catch((error) => attempt(() => { throw error; }));
  } else if (data.type === "connect") {
    // Straight from the audio thread, so that a busy page loses nothing.
    data.port.onmessage = (event) => attempt(() => (event.data.end ? recording.finish() : recording.push(event.data.samples)));
  }
};
