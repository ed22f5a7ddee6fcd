// What goes to the audio thread: the sound of a file from a place on, silence where a film has none, at the speed that is wanted.

import { Stretch } from "./stretch.js";

/** Seconds of a piece of silence. */
const PIECE = 0.2;
/** Seconds between a film's frames and its sound that are more than the rounding of time stamps. */
const GAP = 0.02;

/**
 * @typedef {object} Piece
 * @property {Float32Array} samples
 * @property {number} position where the first lies in the file, in samples
 * @property {number} step the file's samples per sample
 */

/** The sound of what is played. */
export class Sound {
  /**
   * @param {number} rate samples per second
   * @param {import("./siskin.js").SiskinDecoder} [decoder] none of a film without sound
   * @param {object} [options]
   * @param {() => {until: number, isEnd: boolean}} [options.film] seconds of the film that are known, and whether it ends there;
   *   none for a file of sound
   * @param {(samples: Float32Array, position: number) => void} [options.heard] told of what the decoder gave
   */
  constructor(rate, decoder, { film, heard } = {}) {
    this.rate = rate;
    this.decoder = decoder;
    this.film = film;
    this.heard = heard;
    this.seek(0, 1);
    // It begins where it is.
    this.target = undefined;
  }

  /** Goes on at a time and speed. */
  seek(seconds, speed) {
    this.target = seconds;
    this.speed = speed;
    /** Where the sound so far ends, in samples of the file. */
    this.expected = Math.round(seconds * this.rate);
    /** Sound that comes behind a gap. */
    this.kept = undefined;
    /** Whether there is no sound any more, or never was. */
    this.isSilent = !this.decoder;
    this.stretch = this.place = undefined;
    this.isOver = false;
  }

  /**
   * The next piece; null at the end, undefined where frames have to be decoded first. Throws `NeedsData`, and is called again then.
   * @returns {Piece | null | undefined}
   */
  next() {
    const piece = this.isOver ? null : this.#decode();
    if (piece === undefined) return undefined;
    if (this.speed === 1) return piece && { ...piece, step: 1 };
    if (piece) {
      this.stretch ??= new Stretch(this.rate, this.speed);
      this.place ??= piece.position;
    }
    this.isOver = !piece;
    const samples = piece ? this.stretch.push(piece.samples) : this.stretch?.finish();
    if (!piece) this.stretch = undefined;
    if (!samples) return null;
    const position = this.place;
    this.place += samples.length * this.speed;
    return { samples, position, step: this.speed };
  }

  /** The next piece at the file's own speed. */
  #decode() {
    if (this.target !== undefined) {
      this.decoder?.seek(this.target);
      this.target = undefined;
    }
    let piece = this.kept;
    this.kept = undefined;
    if (!piece && !this.isSilent) {
      const samples = this.decoder.next();
      if (samples) {
        piece = { samples, position: this.decoder.position() - samples.length };
        this.heard?.(samples, piece.position);
      } else if (!this.film) {
        return null;
      } else {
        // The sound is over, and the frames may not be.
        this.isSilent = true;
      }
    }
    if (this.film && !(piece && piece.position - this.expected <= GAP * this.rate)) {
      this.kept = piece;
      const { until, isEnd } = piece ? { until: piece.position / this.rate, isEnd: false } : this.film();
      const count = Math.min(Math.round(until * this.rate) - this.expected, Math.round(PIECE * this.rate));
      if (count <= 0) return isEnd ? null : undefined;
      piece = { samples: new Float32Array(count), position: this.expected };
    }
    this.expected = piece.position + piece.samples.length;
    return piece;
  }

  /** What was damaged or missing since the last seek. */
  damage() {
    return this.decoder?.damage() ?? { badPackets: 0, concealedSamples: 0, endsEarly: false, damage: null };
  }
}
