// <siskin-recorder>: records from the microphone, encodes in the page, gives a .mka. Nothing leaves the page.

import { placesOfParts } from "./element.js";
import { STYLE, formatTime } from "./view.js";

const HTML = `<style>${STYLE}
.level { flex: 1 1 8rem; height: .6rem; }
.record svg { fill: #c22; }
</style>
<div class="player" role="group" part="player" aria-label="Recorder">
<button class="record" part="record"></button>
<meter class="level" part="level" min="0" max="1" aria-label="Level"></meter>
<span class="time" part="time" role="timer" aria-live="off"></span>
<a class="save" part="save" hidden>Save the recording</a>
<div class="message" part="message" role="alert"></div>
</div>`;

const ICONS = {
  record: '<svg viewBox="0 0 24 24" aria-hidden="true"><circle cx="12" cy="12" r="8"/></svg>',
  stop: '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M6 6h12v12H6z"/></svg>',
};

/** Where the sound comes from: as it is, since echo cancellers and gain controls are made for calls and not for recordings. */
const MICROPHONE = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };

/** The element. */
export class SiskinRecorder extends HTMLElement {
  #find;
  /** "idle", "opening", "recording", "finishing". */
  #state = "idle";
  #duration = 0;
  #bytes = 0;
  #peak = 0;
  #file;
  #error;
  #address;
  #parts;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open", delegatesFocus: true });
    root.innerHTML = HTML;
    this.#find = (name) => root.querySelector(name);
    this.#find(".record").onclick = () => this.toggle();
    this.#update();
  }

  disconnectedCallback() {
    queueMicrotask(() => {
      if (!this.isConnected) this.#close();
    });
  }

  /** The bundle that encodes, as it is called in the folder of bundles. */
  get bundle() { return this.getAttribute("bundle") ?? "speech-24k"; }
  set bundle(name) { this.setAttribute("bundle", name); }

  /** Residual stages, each a step of the rate; 0 is the bundle's default. */
  get stages() { return Number(this.getAttribute("stages") ?? 0); }
  set stages(stages) { this.setAttribute("stages", String(stages)); }

  get recording() { return this.#state === "recording"; }
  /** Seconds and bytes that were encoded. */
  get duration() { return this.#duration; }
  get bytes() { return this.#bytes; }
  get error() { return this.#error; }
  /** The last recording. */
  get file() { return this.#file; }

  toggle() {
    // Errors are shown by the element.
    if (this.#state === "idle") this.start().catch(() => undefined);
    else if (this.#state === "recording") this.stop().catch(() => undefined);
  }

  /** Asks for the microphone and begins. */
  async start() {
    if (this.#state !== "idle") throw new Error("a recording is under way");
    const { stages } = this;
    if (!Number.isInteger(stages) || stages < 0 || stages > 255) throw new RangeError(`stages is ${this.getAttribute("stages")}, allowed: 0 to 255`);
    this.#state = "opening";
    this.#error = this.#file = undefined;
    this.#duration = this.#bytes = this.#peak = 0;
    this.#update();
    const parts = (this.#parts = {});
    try {
      if (!navigator.mediaDevices) throw new Error("the page may not use the microphone: it has to be from https or this machine");
      parts.stream = await navigator.mediaDevices.getUserMedia({ audio: MICROPHONE });
      // At the device's rate: not all browsers connect a microphone to a context of another one.
      const context = (parts.context = new AudioContext());
      const { wasm, bundles, recorderWorker, capture } = placesOfParts();
      parts.worker = new Worker(recorderWorker ?? new URL("./recorder-worker.js", import.meta.url), { type: "module" });
      const opened = new Promise((resolve, reject) => {
        parts.worker.onmessage = ({ data }) => this.#take(data, resolve, reject);
        parts.worker.onerror = (event) => reject(new Error(event.message || "the recorder's worker cannot be loaded"));
      });
      const { href } = new URL(this.getAttribute("bundles") ?? bundles, document.baseURI);
      parts.worker.postMessage({ type: "open", wasm, bundles: href, bundle: this.bundle, stages, sampleRate: context.sampleRate });
      await Promise.all([opened, context.audioWorklet.addModule(capture ?? new URL("./capture.js", import.meta.url).href), context.resume()]);
      if (this.#parts !== parts) throw new Error("the recorder was taken out of the page");
      const node = (parts.node = new AudioWorkletNode(context, "siskin-input", { numberOfOutputs: 0 }));
      const { port1, port2 } = new MessageChannel();
      node.port.postMessage({ port: port1 }, [port1]);
      parts.worker.postMessage({ type: "connect", port: port2 }, [port2]);
      context.createMediaStreamSource(parts.stream).connect(node);
      // A microphone that is pulled out ends the recording.
      parts.stream.getTracks()[0].onended = () => this.toggle();
      this.#state = "recording";
      this.#tell("start");
    } catch (error) {
      this.#fail(error);
      throw error;
    }
  }

  /** Ends the recording; its file. */
  async stop() {
    if (this.#state !== "recording") throw new Error("nothing is recorded");
    this.#state = "finishing";
    this.#update();
    const parts = this.#parts;
    const finished = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
    parts.node.port.postMessage({ type: "end" });
    return finished;
  }

  /** A message of the worker. */
  #take(message, opened, failed) {
    switch (message.type) {
      case "opened":
        opened();
        break;
      case "progress":
        this.#duration = message.seconds;
        this.#bytes = message.bytes;
        this.#peak = message.peak;
        this.#tell("timeupdate");
        break;
      case "finished": {
        this.#duration = message.seconds;
        this.#bytes = message.file.length;
        this.#file = new Blob([message.file], { type: "audio/x-matroska" });
        const { resolve } = this.#parts;
        this.#close();
        this.#tell("recorded");
        resolve?.(this.#file);
        break;
      }
      case "error": {
        const error = new Error(message.message);
        failed(error);
        if (this.#state !== "opening") this.#fail(error);
        break;
      }
    }
  }

  #fail(error) {
    const { reject } = this.#parts ?? {};
    // The browser's own words do not say what was not allowed.
    this.#error = error.name === "NotAllowedError" ? new Error("the microphone was not allowed") : error;
    this.#close();
    this.#tell("error");
    reject?.(error);
  }

  #close() {
    const { stream, context, worker } = this.#parts ?? {};
    for (const track of stream?.getTracks() ?? []) track.stop();
    context?.close();
    worker?.terminate();
    this.#parts = {};
    this.#state = "idle";
    this.#peak = 0;
  }

  #tell(event) {
    this.#update();
    this.dispatchEvent(new Event(event));
  }

  #update() {
    const isOn = this.#state === "recording";
    const button = this.#find(".record");
    const label = isOn ? "Stop" : "Record";
    if (button.getAttribute("aria-label") !== label) {
      button.setAttribute("aria-label", label);
      button.title = label;
      button.innerHTML = ICONS[isOn ? "stop" : "record"];
    }
    button.disabled = this.#state === "opening" || this.#state === "finishing";
    this.#find(".level").value = this.#peak;
    this.#find(".time").textContent = `${formatTime(this.#duration)} · ${(this.#bytes / 1000).toFixed(1)} kB`;
    this.#find(".message").textContent = this.#error ? `This cannot be recorded: ${this.#error.message}` : "";
    const save = this.#find(".save");
    save.hidden = !this.#file;
    if (this.#file && this.#address?.file !== this.#file) {
      if (this.#address) URL.revokeObjectURL(this.#address.href);
      this.#address = { file: this.#file, href: URL.createObjectURL(this.#file) };
      save.href = this.#address.href;
      save.download = `recording-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.mka`;
    }
  }
}

if (!customElements.get("siskin-recorder")) customElements.define("siskin-recorder", SiskinRecorder);
