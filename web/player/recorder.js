// <siskin-recorder>: records from the microphone, encodes in the page, gives a .mka. Nothing leaves the page.

import { bundlesOf, findPart } from "./places.js";
import { STYLE, formatTime, setButton } from "./view.js";

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
      if (!this.isConnected) this.#close(new DOMException("the recorder was taken out of the page", "AbortError"));
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
    if (!Number.isInteger(stages) || stages < 0 || stages > 255) {
      throw new RangeError(`stages is ${this.getAttribute("stages")}, allowed: 0 to 255`);
    }
    this.#state = "opening";
    this.#error = this.#file = undefined;
    this.#duration = this.#bytes = this.#peak = 0;
    this.#update();
    const parts = (this.#parts = {});
    // Taken out of the page meanwhile, or asked again after that.
    const still = () => {
      if (this.#parts !== parts) throw new DOMException("the recorder was taken out of the page", "AbortError");
    };
    try {
      if (!navigator.mediaDevices) throw new Error("the page may not use the microphone: it has to be from https or this machine");
      parts.stream = await navigator.mediaDevices.getUserMedia({ audio: MICROPHONE });
      still();
      const [track] = parts.stream.getTracks();
      // A microphone that is pulled out ends the recording.
      track.onended = () => {
        if (this.#parts === parts && this.recording) this.stop().catch(() => undefined);
      };
      // At the device's rate: not all browsers connect a microphone to a context of another one.
      const context = (parts.context = new AudioContext());
      const opened = this.#openWorker(parts, stages);
      await Promise.all([opened, context.audioWorklet.addModule(findPart("capture")), context.resume()]);
      still();
      if (track.readyState === "ended") throw new Error("the microphone was taken away");
      const node = (parts.node = new AudioWorkletNode(context, "siskin-input", { numberOfOutputs: 0 }));
      const { port1, port2 } = new MessageChannel();
      node.port.postMessage({ port: port1 }, [port1]);
      parts.worker.postMessage({ type: "connect", port: port2 }, [port2]);
      context.createMediaStreamSource(parts.stream).connect(node);
      this.#state = "recording";
      this.#tell("start");
    } catch (error) {
      // Another recording may be under way since.
      if (this.#parts === parts) this.#fail(error);
      else release(parts);
      throw error;
    }
  }

  /** Starts the worker; resolves when it has its encoder. */
  #openWorker(parts, stages) {
    const worker = (parts.worker = new Worker(findPart("recorderWorker"), { type: "module" }));
    const opened = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
    worker.onmessage = ({ data }) => {
      if (this.#parts === parts) this.#take(data);
    };
    worker.onerror = (event) => {
      if (this.#parts === parts) this.#fail(new Error(event.message || "the recorder's worker cannot be loaded"));
    };
    const sampleRate = parts.context.sampleRate;
    worker.postMessage({ type: "open", wasm: findPart("wasm"), bundles: bundlesOf(this), bundle: this.bundle, stages, sampleRate });
    return opened;
  }

  /** Ends the recording; its file. */
  async stop() {
    if (!this.recording) throw new Error("nothing is recorded");
    this.#state = "finishing";
    this.#update();
    const parts = this.#parts;
    const finished = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
    parts.node.port.postMessage({ type: "end" });
    // Not only when all is encoded: the browser shows for as long that the page listens.
    stopTracks(parts);
    return finished;
  }

  /** A message of the worker. */
  #take(message) {
    const { resolve } = this.#parts;
    switch (message.type) {
      case "opened":
        resolve();
        break;
      case "progress":
        this.#duration = message.seconds;
        this.#bytes = message.bytes;
        this.#peak = message.peak;
        this.#tell("timeupdate");
        break;
      case "finished":
        this.#duration = message.seconds;
        this.#bytes = message.file.length;
        this.#file = new Blob([message.file], { type: "audio/x-matroska" });
        this.#close();
        this.#tell("recorded");
        resolve(this.#file);
        break;
      case "error":
        this.#fail(new Error(message.message));
        break;
    }
  }

  #fail(error) {
    // The browser's own words do not say what was not allowed.
    this.#error = error.name === "NotAllowedError" ? new Error("the microphone was not allowed") : error;
    this.#close(this.#error);
    this.#tell("error");
  }

  /** Lets everything go; whoever waits for the recording is told why there will be none. */
  #close(reason) {
    const parts = this.#parts;
    this.#parts = undefined;
    this.#state = "idle";
    this.#peak = 0;
    if (parts) release(parts);
    if (reason) parts?.reject?.(reason);
    this.#update();
  }

  #tell(event) {
    this.#update();
    this.dispatchEvent(new Event(event));
  }

  #update() {
    const label = this.recording ? "Stop" : "Record";
    const button = this.#find(".record");
    if (button.getAttribute("aria-label") !== label) setButton(button, label, ICONS[this.recording ? "stop" : "record"]);
    // Not `disabled`, which would take the focus from whoever has pressed it: `toggle` does nothing meanwhile.
    button.setAttribute("aria-disabled", String(this.#state === "opening" || this.#state === "finishing"));
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

function stopTracks({ stream }) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

/** Lets the microphone, the audio thread and the worker of a recording go. */
function release(parts) {
  stopTracks(parts);
  if (parts.context && parts.context.state !== "closed") parts.context.close();
  parts.worker?.terminate();
}

if (!customElements.get("siskin-recorder")) customElements.define("siskin-recorder", SiskinRecorder);
