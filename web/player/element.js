// What <siskin-audio> and <siskin-video> have in common: state, Web Audio, Media Session, the worker. No dependencies, no build step.

/** Where the player's parts are; `configure` sets others. */
let places;

function defaultPlaces() {
  const at = (name) => new URL(name, import.meta.url).href;
  return { worker: at("./worker.js"), worklet: at("./worklet.js"), wasm: at("./siskin.wasm"), bundles: at("./bundles/") };
}

/**
 * Says where the player's parts are, before the first element loads: for pages that carry them in themselves.
 * @param {Partial<import("./siskin-player").Places>} given
 */
export function configure(given) {
  // Not asked for where all are given: a module in a blob has no folder.
  const isWhole = ["worker", "worklet", "wasm", "bundles"].every((name) => name in given);
  places = isWhole ? given : { ...(places ?? defaultPlaces()), ...given };
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** Where the player's parts are, for those that load them. */
export function placesOfParts() {
  return (places ??= defaultPlaces());
}

/** A player. Its properties and events are those of HTMLMediaElement, as far as there are any. */
export class SiskinMedia extends HTMLElement {
  static observedAttributes = ["src", "title", "muted"];
  /** Whether frames are asked for; a subclass with a view that shows them says so. */
  static wantsVideo = false;

  #view;
  #worker;
  #opening = 0;
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
  #lastUpdate = 0;
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

  /** As HTMLVideoElement's: frames that were shown, and those that came too late to be. */
  getVideoPlaybackQuality() {
    const { shown = 0, dropped = 0 } = this.#view;
    return { creationTime: performance.now(), totalVideoFrames: shown + dropped, droppedVideoFrames: dropped };
  }

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
    this.#close();
    this.#error = undefined;
    this.#state = "opening";
    const { worker, workerType, wasm, bundles } = placesOfParts();
    const id = ++this.#opening;
    this.#worker = new Worker(worker, { type: workerType ?? "module" });
    this.#worker.onmessage = ({ data }) => {
      if (data.id === this.#opening) this.#take(data);
    };
    this.#worker.onerror = (event) => this.#fail(event.message || "the player's worker cannot be loaded");
    const open = (source) => {
      if (id !== this.#opening) return;
      this.#worker.postMessage({ type: "open", id, ...source, wasm, bundles: this.getAttribute("bundles") ?? bundles, preload: this.preload,
        wantsVideo: this.constructor.wantsVideo });
    };
    if (this.#file instanceof Uint8Array) {
      open({ bytes: this.#file });
    } else if (this.#file) {
      this.#file.arrayBuffer().then((buffer) => open({ bytes: new Uint8Array(buffer) }), (error) => this.#fail(error.message));
    } else {
      open({ url: new URL(this.src, document.baseURI).href });
    }
    this.#view.update();
  }

  /** Plays; browsers allow it only after a person has done something on the page. */
  async play() {
    if (this.#state === "empty") {
      if (!this.src && !this.#file) throw new Error("there is nothing to play: src is empty");
      this.load();
    }
    this.#isPaused = false;
    this.#tell("play");
    try {
      await this.#opened();
      if (this.#hasEnded) this.#seek(0);
      await this.#provideAudio();
      if (this.#isPaused) return;
      await this.#audio.context.resume();
      this.#setMediaSession();
    } catch (error) {
      this.#isPaused = true;
      if (!this.#error) this.#fail(error.message);
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
    await new Promise((resolve, reject) => {
      this.addEventListener("loadedmetadata", () => resolve(undefined), { once: true });
      this.addEventListener("error", () => reject(this.#error), { once: true });
    });
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
    audio.ready = context.audioWorklet.addModule(places.worklet).then(() => {
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
        if (!this.#isPaused) this.#provideAudio();
        break;
      case "opened":
        this.#state = "ready";
        if (message.about.seconds && message.about.video) this.#duration = message.about.seconds;
        else if (message.about.samples) this.#duration = message.about.samples / message.about.sampleRate;
        // A place or speed that was asked for before.
        if (this.#position > 0 || this.#speed !== 1) this.#seek(this.#position);
        if (message.about.others.length > 0) this.#view.setNotice(`Not played: tracks of ${message.about.others.join(", ")}.`);
        this.#tell("durationchange");
        this.#tell("loadedmetadata");
        break;
      case "frame":
        if (message.generation === this.#generation) this.#view.addFrame(message);
        break;
      case "peaks":
        this.#view.setPeaks(message.values, message.perSecond);
        break;
      case "length":
        if (message.seconds === 0) this.#fail(message.damage.damage ?? "the file holds no sound that can be decoded");
        else if (!(Math.abs(message.seconds - this.#duration) < 0.01)) {
          this.#duration = message.seconds;
          this.#tell("durationchange");
        }
        if (message.seconds > 0) this.#view.setDamage(message.damage);
        break;
      case "damage":
        this.#view.setDamage(message.damage);
        break;
      case "error":
        this.#fail(message.message);
        break;
    }
  }

  /** A message of the audio thread. */
  #takeProgress({ generation, position, at, isStarved, ended }) {
    if (generation !== this.#generation) return;
    if (position !== undefined) {
      const isNew = this.#lastUpdate !== generation;
      this.#lastUpdate = generation;
      this.#position = position / this.#about.sampleRate;
      this.#report = { seconds: this.#position, at };
      if (isNew) this.#tell("seeked");
    }
    const isWaiting = isStarved && !ended && !this.#isPaused;
    if (isWaiting !== this.#isWaiting) {
      this.#isWaiting = isWaiting;
      this.#tell(isWaiting ? "waiting" : "playing");
    }
    if (ended && !this.#hasEnded && !this.#isPaused) {
      this.#hasEnded = true;
      if (!(this.#position <= this.#duration)) this.#duration = this.#position;
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
    this.#tell("error");
  }

  #close() {
    this.#worker?.terminate();
    this.#audio?.context.close();
    this.#worker = this.#audio = this.#about = undefined;
    this.#opening += 1;
    this.#state = "empty";
    this.#report = undefined;
    this.#position = 0;
    this.#duration = NaN;
    this.#isPaused = true;
    this.#hasEnded = this.#isWaiting = false;
    this.#view.reset();
  }

  #setGain() {
    const { gain, context } = this.#audio ?? {};
    // Within some milliseconds, or a jump would click.
    gain?.gain.setTargetAtTime(this.muted ? 0 : this.#volume, context.currentTime, 0.01);
    this.#tell("volumechange");
  }

  #setMediaSession() {
    const session = navigator.mediaSession;
    if (!session) return;
    const { TITLE, ARTIST, ALBUM } = this.tags;
    session.metadata = new MediaMetadata({ title: this.title || TITLE || document.title, artist: ARTIST ?? "", album: ALBUM ?? "" });
    const by = (step) => (details) => this.#seek(this.#position + step * (details.seekOffset ?? 10));
    const actions = {
      play: () => this.play().catch(() => undefined),
      pause: () => this.pause(),
      seekbackward: by(-1),
      seekforward: by(1),
      seekto: (details) => this.#seek(details.seekTime),
    };
    for (const [action, handler] of Object.entries(actions)) {
      // Each browser knows others.
      try { session.setActionHandler(action, handler); } catch { /* not this one */ }
    }
  }

  #tellMediaSession() {
    const session = navigator.mediaSession;
    if (!session || !this.#audio) return;
    session.playbackState = this.#isPaused ? "paused" : "playing";
    if (this.#duration > 0) {
      const position = clamp(this.#position, 0, this.#duration);
      session.setPositionState?.({ duration: this.#duration, playbackRate: this.#speed, position });
    }
  }

  #tell(event) {
    this.#view.update();
    if (event === "play" || event === "pause" || event === "seeked" || event === "ratechange") this.#tellMediaSession();
    this.dispatchEvent(new Event(event));
  }
}
