/** What a file says of itself. What is said of its sound is missing where there is none. */
export interface About {
  bundle?: string;
  bundleName?: string;
  sampleRate?: number;
  /** Sound of one channel alone is decoded. */
  channels?: number;
  frameSamples?: number;
  stages?: number;
  codesPerStage?: number;
  /** Samples, where the file states its length and has no video. */
  samples?: number | null;
  video: {
    width: number;
    height: number;
    /** Frames per second as a fraction; 0 where they last for different times. */
    frameRate: [number, number];
    /** Width to height of a pixel, as a fraction. */
    pixelAspect: [number, number];
  } | null;
  /** The length that the file states. */
  seconds: number | null;
  /** Codec ids of tracks of sound and video that are not Siskin's. */
  others: string[];
  tags: Record<string, string>;
  chapters: { seconds: number; title: string }[];
}

/** What was damaged or missing of a file's sound since the last seek. */
export interface Damage {
  badPackets: number;
  concealedSamples: number;
  endsEarly: boolean;
  damage: string | null;
}

/** What was damaged or missing of a file's video since the last seek. */
export interface VideoDamage {
  /** Frames that could not be decoded: those of damaged packets, and those that are predicted from one. */
  badFrames: number;
  endsEarly: boolean;
  damage: string | null;
}

/** A call needs a part of the file that has not arrived. */
export class NeedsData extends Error {
  constructor(offset: number);
  /** The byte that is needed. */
  offset: number;
}

/** The decoder: siskin.wasm with one bundle and any number of files. */
export class Siskin {
  static instantiate(module: BufferSource | WebAssembly.Module): Promise<Siskin>;
  openBundle(manifest: Uint8Array, files: Map<string, Uint8Array>): void;
  newFile(): SiskinFile;
}

/** A file that may still be arriving. */
export class SiskinFile {
  /** Bytes at `offset`: they go on with what is there, or begin at a multiple of 65536. */
  write(offset: number, bytes: Uint8Array): void;
  /** Says how long the file is. */
  finish(length: number): void;
  describe(): About;
  newDecoder(): SiskinDecoder;
  /** Fails where there is no video, or one that needs a network. */
  newVideo(): SiskinVideoDecoder;
  /** The codes of every packet, `[frame][stage][group]`. */
  codes(): Generator<Uint16Array>;
  free(): void;
}

/** Decodes a file from any place. */
export class SiskinDecoder {
  /** The next packet's samples; null at the end. */
  next(): Float32Array | null;
  /** The place of the next sample in the file, in samples. */
  position(): number;
  seek(seconds: number): void;
  damage(): Damage;
  free(): void;
}

/** Decodes the video of a file, a frame after another. */
export class SiskinVideoDecoder {
  /**
   * The next frame, of which a packet holds one or several; null at the end. Those that are not shown lie before the time that was
   * sought, or are damaged: such a packet comes once, whatever it holds.
   */
  next(): { start: number; end: number; isShown: boolean; isDamaged: boolean } | null;
  /** The frame that was decoded last: red, green, blue and opacity, row by row. */
  picture(): { width: number; height: number; pixels: Uint8Array };
  seek(seconds: number): void;
  damage(): VideoDamage;
  free(): void;
}

/** Encodes a recording. The bundle is to be opened with the files that `filesOfEncoder` names. */
export class SiskinEncoder {
  constructor(siskin: Siskin, stages?: number);
  readonly sampleRate: number;
  /** Takes samples; the bytes that the file has so far. */
  push(samples: Float32Array): number;
  /** Ends the recording: its file. */
  finish(): Uint8Array;
  free(): void;
}

/** The files of a bundle that an encoder needs. */
export function filesOfEncoder(manifest: Uint8Array): string[];

/** The files of a bundle that a decoder needs. */
export function filesOfDecoder(manifest: Uint8Array): string[];

/** Decodes a whole file that is in memory. */
export function decodeAll(siskin: Siskin, bytes: Uint8Array): { about: About; samples: Float32Array; damage: Damage };
