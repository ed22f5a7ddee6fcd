// Other speeds at the same pitch: WSOLA (W. Verhelst and M. Roelands, 1993). Windows of the sound are laid over each other
// at a fixed distance; each is taken from near its place, from where it is most like what the one before would go on with.

/** Stretches a stream of samples. */
export class Stretch {
  /**
   * @param {number} sampleRate
   * @param {number} speed the file's seconds per second of output
   */
  constructor(sampleRate, speed) {
    this.speed = speed;
    // 20 ms from window to window: long enough for two periods of a low voice within a window, short enough for consonants.
    this.hop = Math.round(sampleRate * 0.02);
    this.reach = Math.round(sampleRate * 0.008);
    this.window = Float32Array.from({ length: 2 * this.hop }, (_, i) => 0.5 - 0.5 * Math.cos((Math.PI * (i + 0.5)) / this.hop));
    this.reset();
  }

  reset() {
    this.input = new Float32Array(0);
    /** The file's place of the input's first sample, counted from the reset. */
    this.start = 0;
    this.next = 0;
    this.tail = new Float32Array(this.hop);
    /** Where the window before would have gone on. */
    this.expected = 0;
    this.isFirst = true;
  }

  /**
   * Gives samples and takes those that are ready.
   * @param {Float32Array} samples
   * @returns {Float32Array}
   */
  push(samples) {
    const joined = new Float32Array(this.input.length + samples.length);
    joined.set(this.input);
    joined.set(samples, this.input.length);
    this.input = joined;
    const blocks = [];
    for (;;) {
      const ideal = Math.round(this.next) - this.start;
      if (ideal + this.reach + 2 * this.hop > this.input.length) break;
      const from = this.isFirst ? ideal : this.bestNear(ideal);
      blocks.push(this.overlap(from));
      this.expected = this.start + from + this.hop;
      this.next += this.hop * this.speed;
      this.isFirst = false;
      this.drop();
    }
    return join(blocks);
  }

  /** The end of the stream: what is left, as it is. */
  finish() {
    const from = Math.max(0, Math.min(Math.round(this.expected) - this.start, this.input.length));
    const rest = this.isFirst ? this.input : this.input.slice(from);
    for (let i = 0; i < Math.min(rest.length, this.hop) && !this.isFirst; i++) {
      rest[i] = this.tail[i] + rest[i] * this.window[i];
    }
    this.reset();
    return rest;
  }

  /** The place near `ideal` whose sound is most like that after the window before, by normalized correlation. */
  bestNear(ideal) {
    const wanted = this.expected - this.start;
    let best = ideal;
    let most = -Infinity;
    for (let from = Math.max(0, ideal - this.reach); from <= ideal + this.reach; from++) {
      let product = 0;
      let energy = 1e-9;
      // Every second sample of half a window tells candidates apart as well as all do.
      for (let i = 0; i < this.hop; i += 2) {
        const x = this.input[from + i];
        product += x * this.input[wanted + i];
        energy += x * x;
      }
      const likeness = product / Math.sqrt(energy);
      if (likeness > most) {
        most = likeness;
        best = from;
      }
    }
    return best;
  }

  overlap(from) {
    const block = new Float32Array(this.hop);
    for (let i = 0; i < this.hop; i++) {
      // The very first block has nothing before it to fade from.
      const rising = this.isFirst ? this.input[from + i] : this.input[from + i] * this.window[i];
      block[i] = this.tail[i] + rising;
      this.tail[i] = this.input[from + this.hop + i] * this.window[this.hop + i];
    }
    return block;
  }

  /** Forgets input that no later window reaches. */
  drop() {
    const oldest = Math.min(Math.round(this.next) - this.reach, this.expected) - this.start;
    if (oldest > 4096) {
      this.input = this.input.slice(oldest);
      this.start += oldest;
    }
  }
}

function join(blocks) {
  const all = new Float32Array(blocks.reduce((sum, block) => sum + block.length, 0));
  let at = 0;
  for (const block of blocks) {
    all.set(block, at);
    at += block.length;
  }
  return all;
}
