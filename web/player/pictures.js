// Decodes the video of a file ahead of its sound.

/** Seconds of frames that wait in the page: a frame of 320x180 takes 230 kB there. */
const AHEAD = 0.5;
/** A frame that is this late is decoded and not sent, unless none was for as long: the page would only throw it away. */
const LATE = 0.1;

/** The frames of a session. */
export class Pictures {
  /**
   * @param {import("./siskin.js").SiskinVideoDecoder} decoder
   * @param {(frame: object, transfer: Transferable[]) => void} send
   */
  constructor(decoder, send) {
    this.decoder = decoder;
    this.send = send;
    this.seek(0);
    // It begins where it is.
    this.target = undefined;
  }

  /** Goes on at a time. */
  seek(seconds) {
    this.target = seconds;
    /** When the last frame begins that was looked at, and when it ends. */
    this.sentUntil = -1;
    this.until = 0;
    this.lastSent = -1;
    /** Late frames since one was sent. */
    this.skipped = 0;
    /** The last frame, where all end before the time that was sought. */
    this.before = undefined;
    this.hasEnded = false;
  }

  /** Whether there is something to decode when the sound is at `position`. */
  isDue(position) {
    return !this.hasEnded && this.sentUntil < position + AHEAD;
  }

  /** Decodes a frame; of a damaged packet all are left out at once. Throws `NeedsData`, and is called again then. */
  step(position) {
    if (this.target !== undefined) {
      this.decoder.seek(this.target);
      this.target = undefined;
    }
    const frame = this.decoder.next();
    if (frame === null) {
      this.hasEnded = true;
      // Behind its end a film shows its last frame.
      if (this.before && this.lastSent < 0) this.#give(this.before);
      return;
    }
    this.until = frame.end;
    if (frame.isDamaged) return;
    if (!frame.isShown) {
      this.before = frame;
      return;
    }
    this.sentUntil = frame.start;
    const isLate = frame.end < position - LATE && this.lastSent >= 0 && frame.start - this.lastSent < 2 * LATE;
    if (isLate) this.skipped += 1;
    else this.#give(frame);
  }

  #give({ start, end }) {
    const { pixels, width, height } = this.decoder.picture();
    const { skipped } = this;
    this.lastSent = start;
    this.skipped = 0;
    this.send({ start, end, width, height, pixels: pixels.buffer, skipped }, [pixels.buffer]);
  }
}
