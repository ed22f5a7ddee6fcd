/** Where the player's parts are. */
export interface Places {
  /** Address of worker.js. */
  worker: string;
  /** "classic" where worker.js and what it imports were made one script; "module" without it. */
  workerType?: "module" | "classic";
  /** Address of worklet.js. */
  worklet: string;
  /** Address of siskin.wasm, or its bytes. */
  wasm: string | Uint8Array;
  /** Folder of all bundles, with a slash at its end; or the bundles themselves, by name. */
  bundles: string | Record<string, { manifest: Uint8Array; files: Record<string, Uint8Array> }>;
}

/** Says where the player's parts are, before the first element loads. Without it they lie beside siskin-player.js. */
export function configure(places: Partial<Places>): void;

/**
 * `<siskin-audio src="talk.mka">`. Attributes: `src`, `title`, `preload` ("none", "metadata", "auto"), `muted`, `bundles`.
 *
 * Events, as of HTMLMediaElement: loadedmetadata, durationchange, play, playing, pause, waiting, timeupdate, seeking, seeked,
 * ended, volumechange, ratechange, error.
 */
export class SiskinAudio extends HTMLElement {
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
  readonly isWaiting: boolean;
  readonly error: Error | undefined;
  /** Tags of the file, such as TITLE. */
  readonly tags: Record<string, string>;
  readonly chapters: { seconds: number; title: string }[];
  /** The node that the sound comes from; none before the first `play`. */
  readonly audioNode: GainNode | undefined;
  /** Opens the file anew. */
  load(): void;
  /** Rejects if the file cannot be played. */
  play(): Promise<void>;
  pause(): void;
  togglePlay(): void;
}

declare global {
  interface HTMLElementTagNameMap {
    "siskin-audio": SiskinAudio;
  }
}
