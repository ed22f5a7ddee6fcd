// What <siskin-audio> and <siskin-video> have in common: state, Web Audio, the worker. No dependencies, no build step.

import { releaseMediaSession, takeMediaSession, tellMediaSession } from "./media-session.js";
import { bundlesOf, findPart, workerType } from "./places.js";

/** What of a file is not played. */
function noticeOf({ others, channels }) {
  const texts = others.length > 0 ? [`tracks of ${others.join(", ")}`] : [];
  if (channels > 1) texts.push(`its sound, which has ${channels} channels`);
  return texts.length > 0 ? `Not played: ${texts.join("; ")}.` : "";
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** Those that change what the browser's own controls show. */
const SESSION_EVENTS = ["play", "pause", "seeked", "ratechange", "durationchange", "error"];

/** A player. Its properties and events are those of HTMLMediaElement, as far as there are any. */
export class SiskinMedia extends HTMLElement {
  static observedAttributes = ["src", "title", "muted"];
  /** Whether frames are asked for; a subclass with a view that shows them says so. */
  static wantsVideo = false;

  #view;
  /** Of the file that is open; another file has another one. */
  #worker;
  /** Those that wait for a file to be open. */
  #waiting = [];
  /** Sound and frames of before a seek, or of another file, have a lower number. It grows for as long as the element lives. */
  #generation = 0;
  #state = "empty";
  #about;
  #file;
  #position = 0;
  #duration = NaN;
  #speed = 1;
  #volume = 1;
  #isPaused = true;
  #hasEnded = false;
  #isWaiting = false;
  #error;
  #audio;
  #isSeeking = false;
  /** The audio thread's last report: where it was, and when by its own clock. */
  #report;

  constructor() {
    super();
    this.#view = this.createView();
  }

  /** The view of this element: a subclass says which. */
  createView() {
    throw new TypeError("a player needs a view");
  }

  connectedCallback() {
    this.#view.update();
    if (this.#state === "empty") this.#loadIfAsked();
  }

  disconnectedCallback() {
    // Moved within the page it goes on; taken out it is silent and its worker ends.
    queueMicrotask(() => {
      if (!this.isConnected) this.#close();
    });
  }

  attributeChangedCallback(name, before, now) {
    if (before === now) return;
    if (name === "src" && this.isConnected) {
      this.#file = undefined;
      this.#close();
      this.#loadIfAsked();
    }
    if (name === "muted") this.muted = now !== null;
    this.#view.update();
  }

  get src() { return this.getAttribute("src") ?? ""; }
  set src(url) { this.setAttribute("src", url); }

  /** A file of the user's, or one that is in memory, in place of `src`. */
  get file() { return this.#file; }
  set file(file) {
    this.#file = file;
    this.#close();
    if (this.isConnected) this.#loadIfAsked();
  }

  /** "none" waits for `load` or `play`, "metadata" brings the beginning, "auto" everything. */
  get preload() { return this.getAttribute("preload") ?? "metadata"; }
  set preload(how) { this.setAttribute("preload", how); }

  get paused() { return this.#isPaused; }
  get ended() { return this.#hasEnded; }
  get seeking() { return this.#isSeeking; }
  get duration() { return this.#duration; }
  get error() { return this.#error; }
  get tags() { return this.#about?.tags ?? {}; }
  get chapters() { return this.#about?.chapters ?? []; }
  get isWaiting() { return this.#isWaiting; }
  /** The node that the sound comes from, for meters and recorders; none before the first `play`. */
  get audioNode() { return this.#audio?.gain; }

  /** The place that is heard now, between two reports of the audio thread too: frames are shown by it. */
  get presentationTime() {
    const { context } = this.#audio ?? {};
    if (!this.#report || this.#isPaused || this.#isWaiting || this.#hasEnded) return this.#position;
    // What the context has output is heard after the device's delay.
    const since = context.currentTime - this.#report.at - (context.outputLatency || 0);
    // A report that does not come stands for an audio thread that does not run.
    return Math.max(this.#report.seconds + clamp(since, -1, 0.5) * this.#speed, 0);
  }

  /** What the file says of its video; undefined without. */
  get video() { return this.#about?.video ?? undefined; }

  get currentTime() { return this.#position; }
  set currentTime(seconds) { this.#seek(seconds); }

  get volume() { return this.#volume; }
  set volume(volume) {
    if (!(volume >= 0 && volume <= 1)) throw new RangeError(`volume is ${volume}, allowed: 0 to 1`);
    this.#volume = volume;
    this.#setGain();
  }

  get muted() { return this.hasAttribute("muted"); }
  set muted(isMuted) {
    if (this.muted !== isMuted) this.toggleAttribute("muted", isMuted);
    this.#setGain();
  }

  get playbackRate() { return this.#speed; }
  set playbackRate(speed) {
    if (!(speed >= 0.5 && speed <= 3)) throw new RangeError(`playbackRate is ${speed}, allowed: 0.5 to 3`);
    if (speed === this.#speed) return;
    this.#speed = speed;
    this.#tell("ratechange");
    // What waits in the audio thread is of the old speed.
    if (this.#state === "ready") this.#seek(this.#position);
  }

  #loadIfAsked() {
    if ((this.src || this.#file) && this.preload !== "none") this.load();
  }

  /** Opens the file anew. */
  load() {
    // A place that was asked for before there was a file to ask.
    const place = this.#state === "empty" ? this.#position : 0;
    this.#close();
    this.#position = place;
    this.#state = "opening";
    const worker = new Worker(findPart("worker"), { type: workerType() });
    this.#worker = worker;
    worker.onmessage = ({ data }) => {
      if (worker === this.#worker) this.#take(data);
    };
    worker.onerror = (event) => {
      if (worker === this.#worker) this.#fail(event.message || "the player's worker cannot be loaded");
    };
    const source = this.#file ? { bytes: this.#file } : { url: new URL(this.src, document.baseURI).href };
    worker.postMessage({ type: "open", ...source, wasm: findPart("wasm"), bundles: bundlesOf(this), preload: this.preload,
      wantsVideo: this.constructor.wantsVideo, generation: this.#generation });
    this.#view.update();
  }

  /** Plays; browsers allow it only after a person has done something on the page. */
  async play() {
    if (this.#state === "empty") {
      if (!this.src && !this.#file) throw new Error("there is nothing to play: src is empty");
      this.load();
    }
    const worker = this.#worker;
    const still = () => {
      if (worker !== this.#worker) throw new DOMException("another file was set before this one played", "AbortError");
    };
    this.#isPaused = false;
    this.#tell("play");
    try {
      await this.#opened();
      still();
      if (this.#hasEnded) this.#seek(0);
      await this.#provideAudio();
      still();
      if (this.#isPaused) return;
      await this.#audio.context.resume();
      still();
      takeMediaSession(this);
    } catch (error) {
      // It is no matter of the file that was set since.
      if (worker === this.#worker) {
        this.#isPaused = true;
        if (!this.#error) this.#fail(error.message);
      }
      throw error;
    }
  }

  pause() {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.#audio?.context.suspend();
    this.#tell("pause");
  }

  togglePlay() {
    // Errors are shown by the element.
    if (this.#isPaused) this.play().catch(() => undefined);
    else this.pause();
  }

  async #opened() {
    if (this.#state === "ready") return;
    if (this.#error) throw this.#error;
    await new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** Tells those that wait for the file: it is open, or `error` is why it is not. */
  #settle(error) {
    for (const { resolve, reject } of this.#waiting.splice(0)) error ? reject(error) : resolve();
  }

  /** The audio context with the output, once they are there. */
  async #provideAudio() {
    this.#audio ??= this.#openAudio();
    await this.#audio.ready;
  }

  #openAudio() {
    // At the file's rate, so that every sample is output as it was decoded; the browser fits the device.
    const context = new AudioContext({ sampleRate: this.#about.sampleRate, latencyHint: "playback" });
    const gain = new GainNode(context);
    const audio = { context, gain };
    audio.ready = context.audioWorklet.addModule(findPart("worklet")).then(() => {
      if (this.#audio !== audio) return;
      const node = new AudioWorkletNode(context, "siskin-output", { numberOfInputs: 0, outputChannelCount: [1] });
      node.connect(gain).connect(context.destination);
      node.port.onmessage = ({ data }) => this.#takeProgress(data);
      const { port1, port2 } = new MessageChannel();
      node.port.postMessage({ port: port1 }, [port1]);
      this.#worker.postMessage({ type: "connect", port: port2 }, [port2]);
    });
    // Thrown where it is awaited.
    audio.ready.catch(() => undefined);
    gain.gain.value = this.muted ? 0 : this.#volume;
    return audio;
  }

  #seek(seconds) {
    if (!Number.isFinite(seconds)) throw new RangeError(`currentTime is ${seconds}`);
    this.#position = clamp(seconds, 0, Number.isFinite(this.#duration) ? this.#duration : Infinity);
    this.#hasEnded = false;
    this.#isSeeking = true;
    this.#generation += 1;
    this.#report = undefined;
    this.#view.clearFrames?.();
    this.#worker?.postMessage({ type: "seek", seconds: this.#position, speed: this.#speed, generation: this.#generation });
    this.#tell("seeking");
    this.#tell("timeupdate");
  }

  /** A message of the worker. */
  #take(message) {
    switch (message.type) {
      case "described":
        this.#about = message.about;
        // What goes wrong is thrown where it is awaited.
        if (!this.#isPaused) this.#provideAudio().catch(() => undefined);
        break;
      case "opened":
        this.#state = "ready";
        if (message.about.seconds && message.about.video) this.#duration = message.about.seconds;
        else if (message.about.samples) this.#duration = message.about.samples / message.about.sampleRate;
        // A place or speed that was asked for before.
        if (this.#position > 0 || this.#speed !== 1) this.#seek(this.#position);
        this.#view.setNotice(noticeOf(message.about));
        this.#tell("durationchange");
        this.#tell("loadedmetadata");
        this.#settle();
        break;
      case "seeked":
        if (message.generation !== this.#generation) break;
        this.#isSeeking = false;
        this.#tell("seeked");
        break;
      case "frame":
        if (message.generation === this.#generation) this.#view.addFrame(message);
        break;
      case "peaks":
        this.#view.setPeaks(message);
        break;
      case "length":
        if (message.seconds === 0) this.#fail(message.reason ?? "the file holds nothing that can be decoded");
        else this.#setDuration(message.seconds);
        break;
      case "damage":
        this.#view.setDamage(message.damage);
        break;
      case "error":
        this.#fail(message.message);
        break;
    }
  }

  #setDuration(seconds) {
    if (Math.abs(seconds - this.#duration) < 0.01) return;
    this.#duration = seconds;
    this.#position = Math.min(this.#position, seconds);
    this.#tell("durationchange");
  }

  /** A message of the audio thread. */
  #takeProgress({ generation, position, at, isStarved, ended }) {
    if (generation !== this.#generation) return;
    if (position !== undefined) {
      this.#position = position / this.#about.sampleRate;
      this.#report = { seconds: this.#position, at };
    }
    const isWaiting = isStarved && !ended && !this.#isPaused;
    if (isWaiting !== this.#isWaiting) {
      this.#isWaiting = isWaiting;
      this.#tell(isWaiting ? "waiting" : "playing");
    }
    if (ended && !this.#hasEnded && !this.#isPaused) {
      this.#hasEnded = true;
      if (!(this.#position <= this.#duration)) this.#setDuration(this.#position);
      this.#position = Math.min(this.#position, this.#duration);
      this.pause();
      this.#tell("ended");
    }
    this.#tell("timeupdate");
  }

  #fail(message) {
    this.#error = new Error(message);
    this.#state = "failed";
    this.#isPaused = true;
    this.#audio?.context.suspend();
    this.#settle(this.#error);
    this.#tell("error");
  }

  #close() {
    this.#worker?.terminate();
    releaseMediaSession(this);
    this.#audio?.context.close();
    this.#worker = this.#audio = this.#about = this.#error = undefined;
    this.#generation += 1;
    this.#state = "empty";
    this.#report = undefined;
    this.#position = 0;
    this.#duration = NaN;
    this.#isPaused = true;
    this.#hasEnded = this.#isWaiting = this.#isSeeking = false;
    this.#settle(new DOMException("another file was set before this one was open", "AbortError"));
    this.#view.reset();
  }

  #setGain() {
    const { gain, context } = this.#audio ?? {};
    // Within some milliseconds, or a jump would click.
    gain?.gain.setTargetAtTime(this.muted ? 0 : this.#volume, context.currentTime, 0.01);
    this.#tell("volumechange");
  }

  #tell(event) {
    this.#view.update();
    if (SESSION_EVENTS.includes(event)) tellMediaSession(this);
    this.dispatchEvent(new Event(event));
  }
}
