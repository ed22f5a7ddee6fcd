// From a microphone's sample rate to the codec's: a windowed sinc at the exact ratio.

/** Zero crossings of the sinc on each side of a sample: the transition takes a thirtieth of the band. */
const CROSSINGS = 32;
/** Of the lower of both rates, what is kept of the band; the rest is for the filter's slope. */
const BAND = 0.94;
/** Of the Kaiser window: 90 dB of attenuation. */
const BETA = 9;

/** Changes the rate of a stream of samples. What comes out does not depend on how the input is cut. */
export class Resampler {
  /**
   * @param {number} from samples per second
   * @param {number} to samples per second
   */
  constructor(from, to) {
    const divisor = gcd(from, to);
    /** Output sample n lies at n * step / phases in the input. */
    this.phases = to / divisor;
    this.step = from / divisor;
    const cutoff = Math.min(1, to / from) * BAND;
    this.reach = from === to ? 0 : Math.ceil(CROSSINGS / cutoff);
    this.taps = Array.from({ length: this.phases }, (_, phase) => this.kernel(phase / this.phases, cutoff));
    /** What of the input may still be needed; it begins `reach` samples of silence before the first. */
    this.input = new Float32Array(this.reach);
    /** Place of the next output in `input`, in phases, counted from its first sample that has `reach` before it. */
    this.at = 0;
    this.taken = 0;
    this.given = 0;
  }

  /** What the input's samples are weighed with for an output that lies `fraction` of a sample behind the middle one. */
  kernel(fraction, cutoff) {
    if (this.reach === 0) return Float32Array.of(1);
    const taps = new Float32Array(2 * this.reach + 1);
    let sum = 0;
    for (let i = 0; i < taps.length; i++) {
      const x = i - this.reach - fraction;
      const inside = 1 - (x / (this.reach + 1)) ** 2;
      taps[i] = inside <= 0 ? 0 : sinc(cutoff * x) * bessel(BETA * Math.sqrt(inside));
      sum += taps[i];
    }
    // A constant stays what it is.
    return taps.map((tap) => tap / sum);
  }

  /**
   * Takes samples and gives those that are ready.
   * @param {Float32Array} samples
   * @returns {Float32Array}
   */
  push(samples) {
    this.taken += samples.length;
    return this.#run(samples);
  }

  /** The end of the stream: as many samples in all as the input lasts. */
  finish() {
    const wanted = Math.ceil((this.taken * this.phases) / this.step) - this.given;
    return this.#run(new Float32Array(this.reach + 1)).subarray(0, Math.max(wanted, 0));
  }

  #run(samples) {
    const joined = new Float32Array(this.input.length + samples.length);
    joined.set(this.input);
    joined.set(samples, this.input.length);
    const last = joined.length - 2 * this.reach;
    const output = new Float32Array(Math.max(0, Math.ceil((last * this.phases - this.at) / this.step)));
    for (let n = 0; n < output.length; n++) {
      const [first, taps] = [Math.floor(this.at / this.phases), this.taps[this.at % this.phases]];
      let sum = 0;
      for (let i = 0; i < taps.length; i++) sum += taps[i] * joined[first + i];
      output[n] = sum;
      this.at += this.step;
    }
    const done = Math.min(Math.floor(this.at / this.phases), joined.length);
    this.at -= done * this.phases;
    this.input = joined.slice(done);
    this.given += output.length;
    return output;
  }
}

function gcd(a, b) {
  return b === 0 ? a : gcd(b, a % b);
}

function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/** The modified Bessel function of the first kind and order 0, by its series. */
function bessel(x) {
  let [sum, term] = [1, 1];
  for (let k = 1; term > 1e-12 * sum; k++) sum += term *= (x / (2 * k)) ** 2;
  return sum;
}
