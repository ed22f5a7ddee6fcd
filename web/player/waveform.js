// The waveform: the peaks of what was decoded, by their place in the file.

/** Peaks per second. */
const PER_SECOND = 20;
/** Peaks that are told at once: 2 s. */
const TOLD = 40;

/** Collects peaks. */
export class Waveform {
  /**
   * @param {number} rate samples per second
   * @param {(peaks: {from: number, values: Float32Array, perSecond: number}) => void} tell
   */
  constructor(rate, tell) {
    this.size = rate / PER_SECOND;
    this.tell = tell;
    this.peaks = new Float32Array(1024);
    /** Peaks that were not told. */
    this.from = this.to = 0;
  }

  /** Adds samples of which the first lies at `first` in the file. */
  add(samples, first) {
    const [from, to] = [Math.floor(first / this.size), Math.floor((first + samples.length - 1) / this.size) + 1];
    if (to > this.peaks.length) {
      const more = new Float32Array(Math.max(2 * this.peaks.length, to));
      more.set(this.peaks);
      this.peaks = more;
    }
    // From another place: peaks between were not looked at.
    if (from > this.to || to < this.from) this.flush();
    if (this.from === this.to) this.from = this.to = from;
    for (let i = 0; i < samples.length; i++) {
      const at = Math.floor((first + i) / this.size);
      this.peaks[at] = Math.max(this.peaks[at], Math.abs(samples[i]));
    }
    this.from = Math.min(this.from, from);
    this.to = Math.max(this.to, to);
    if (this.to - this.from >= TOLD) this.flush();
  }

  /** Tells what was not told. */
  flush() {
    if (this.to > this.from) this.tell({ from: this.from, values: this.peaks.slice(this.from, this.to), perSecond: PER_SECOND });
    this.from = this.to;
  }
}
