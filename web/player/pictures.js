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
    this.sentUntil = -1;
    this.lastSent = -1;
    this.hasEnded = false;
  }

  /** Whether there is something to decode when the sound is at `position`. */
  isDue(position) {
    return !this.hasEnded && this.sentUntil < position + AHEAD;
  }

  /** Decodes a packet. Throws `NeedsData`, and is called again then. */
  step(position) {
    if (this.target !== undefined) {
      this.decoder.seek(this.target);
      this.target = undefined;
    }
    const frame = this.decoder.next();
    if (frame === null) {
      this.hasEnded = true;
      return;
    }
    if (!frame.isShown) return;
    this.sentUntil = frame.start;
    const isLate = frame.end < position - LATE && this.lastSent >= 0 && frame.start - this.lastSent < 2 * LATE;
    if (isLate) return;
    this.lastSent = frame.start;
    const { pixels, width, height } = this.decoder.picture();
    this.send({ start: frame.start, end: frame.end, width, height, pixels: pixels.buffer }, [pixels.buffer]);
  }
}

/** What a film without sound plays, or one whose sound ends before it: the audio thread's clock goes on with it. */
export class Silence {
  /**
   * @param {number} rate
   * @param {number} seconds its end
   */
  constructor(rate, seconds) {
    this.rate = rate;
    this.end = Math.round(seconds * rate);
    this.at = 0;
  }

  seek(seconds) {
    this.at = Math.round(seconds * this.rate);
  }

  position() {
    return this.at;
  }

  /** The next fifth of a second; none at the end. */
  next() {
    const count = Math.min(Math.round(this.rate / 5), this.end - this.at);
    if (count <= 0) return null;
    this.at += count;
    return new Float32Array(count);
  }

  damage() {
    return { badPackets: 0, concealedSamples: 0, endsEarly: false, damage: null };
  }
}
