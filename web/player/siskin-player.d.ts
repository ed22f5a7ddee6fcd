/** Where the player's parts are. Addresses are relative to the page. */
export interface Places {
  /** Address of worker.js. */
  worker: string;
  /** "classic" where worker.js and what it imports were made one script; "module" without it. */
  workerType?: "module" | "classic";
  /** Address of worklet.js. */
  worklet: string;
  /** Address of siskin.wasm, or its bytes. */
  wasm: string | Uint8Array;
  /** Folder of all bundles; or the bundles themselves, by name. */
  bundles: string | Record<string, { manifest: Uint8Array; files: Record<string, Uint8Array> }>;
  /** Address of recorder-worker.js, a module. */
  recorderWorker?: string;
  /** Address of capture.js. */
  capture?: string;
}

/** Says where the player's parts are, before the first element loads. Without it they lie beside siskin-player.js. */
export function configure(places: Partial<Places>): void;

/**
 * What `<siskin-audio src="talk.mka">` and `<siskin-video src="film.mkv">` have in common. Attributes: `src`, `title`, `preload`
 * ("none", "metadata", "auto"), `muted`, `bundles` (a folder, relative to the page as `src` is).
 *
 * Events, as of HTMLMediaElement: loadedmetadata, durationchange, play, playing, pause, waiting, timeupdate, seeking, seeked,
 * ended, volumechange, ratechange, error.
 */
declare class SiskinMedia extends HTMLElement {
  src: string;
  /** A file of the user's, or the bytes of one, in place of `src`. */
  get file(): Blob | Uint8Array | undefined;
  set file(file: Blob | Uint8Array | undefined);
  preload: "none" | "metadata" | "auto";
  /** Seconds; set it to seek. Samples behind a seek are those of playing from the start. */
  currentTime: number;
  /** 0 to 1. */
  volume: number;
  muted: boolean;
  /** 0.5 to 3; the pitch stays. */
  playbackRate: number;
  /** Seconds; NaN until they are known. */
  readonly duration: number;
  readonly paused: boolean;
  readonly ended: boolean;
  /** Between `seeking` and `seeked`. */
  readonly seeking: boolean;
  /** Whether it waits for the file, or for the decoder. */
  readonly isWaiting: boolean;
  readonly error: Error | undefined;
  /** Tags of the file, such as TITLE. */
  readonly tags: Record<string, string>;
  readonly chapters: { seconds: number; title: string }[];
  /** What the file says of its video; none before it is open, and without video. */
  readonly video: import("./siskin.js").About["video"] | undefined;
  /** The place that is heard now, in seconds; `currentTime` is that of the last `timeupdate`. */
  readonly presentationTime: number;
  /** The node that the sound comes from; none before the first `play`. */
  readonly audioNode: GainNode | undefined;
  /** Opens the file anew. */
  load(): void;
  /** Rejects if the file cannot be played, and with an AbortError where another one is set first. */
  play(): Promise<void>;
  pause(): void;
  togglePlay(): void;
}

/** Plays the sound of a file. */
export class SiskinAudio extends SiskinMedia {}

/** Plays the video of a file, and its sound. Video that needs a network (fits, the coding of earlier versions) is refused. */
export class SiskinVideo extends SiskinMedia {
  /** Columns and rows of the frames; 0 before they are known. */
  readonly videoWidth: number;
  readonly videoHeight: number;
  /** As HTMLVideoElement's, of the file that is open: all frames so far, and those that came too late to be shown. */
  getVideoPlaybackQuality(): { creationTime: number; totalVideoFrames: number; droppedVideoFrames: number };
}

/**
 * `<siskin-recorder>`: records from the microphone and encodes in the page. Attributes: `bundle`, `stages`, `bundles` (a folder,
 * relative to the page).
 *
 * Events: start, timeupdate, recorded, error.
 */
export class SiskinRecorder extends HTMLElement {
  /** The bundle that encodes: "speech-24k" without it. */
  bundle: string;
  /** Residual stages: 1 to the bundle's; 0 is its default. */
  stages: number;
  readonly recording: boolean;
  /** Seconds that were encoded. */
  readonly duration: number;
  readonly bytes: number;
  readonly error: Error | undefined;
  /** The last recording: a Matroska file. */
  readonly file: Blob | undefined;
  /** Asks for the microphone and begins; rejects if that is not allowed, and where the recorder is taken out of the page. */
  start(): Promise<void>;
  /** Lets the microphone go; the recording, once all is encoded. */
  stop(): Promise<Blob>;
  toggle(): void;
}

declare global {
  interface HTMLElementTagNameMap {
    "siskin-audio": SiskinAudio;
    "siskin-video": SiskinVideo;
    "siskin-recorder": SiskinRecorder;
  }
}
