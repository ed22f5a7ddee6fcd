// The decoder: siskin.wasm (web/module) as an object. It runs wherever WebAssembly does: a page, a worker, Node.

/** A call needs a part of the file that has not arrived; `offset` says which. */
export class NeedsData extends Error {
  /** @param {number} offset */
  constructor(offset) {
    super(`the file has not arrived at byte ${offset}`);
    this.offset = offset;
  }
}

const FAILED = -1;
const NEEDS_DATA = -2;

/** The module's functions, with text and bytes carried over. One instance holds one bundle and any number of files. */
export class Siskin {
  /** @param {WebAssembly.Exports & Record<string, any>} exports */
  constructor(exports) {
    this.wasm = exports;
    this.wasm.siskin_start();
  }

  /**
   * @param {BufferSource | WebAssembly.Module} module bytes of siskin.wasm, or the module compiled
   */
  static async instantiate(module) {
    const compiled = module instanceof WebAssembly.Module ? module : await WebAssembly.compile(module);
    return new Siskin((await WebAssembly.instantiate(compiled, {})).exports);
  }

  /**
   * Opens the bundle whose networks decode.
   * @param {Uint8Array} manifest
   * @param {Map<string, Uint8Array>} files those that `filesOfDecoder` names
   */
  openBundle(manifest, files) {
    for (const [name, data] of files) {
      const text = new TextEncoder().encode(name);
      const whole = new Uint8Array(text.length + data.length);
      whole.set(text);
      whole.set(data, text.length);
      this.input(whole);
      this.check(() => this.wasm.siskin_bundle_file(text.length));
    }
    this.input(manifest);
    this.check(() => this.wasm.siskin_bundle_open());
  }

  /** A file of which nothing has arrived. */
  newFile() {
    return new SiskinFile(this, this.wasm.siskin_file_new());
  }

  /**
   * Puts bytes where the next call takes them from.
   * @param {Uint8Array} bytes
   */
  input(bytes) {
    const address = this.wasm.siskin_input(bytes.length);
    // Anew each time: the memory's buffer is another one after it has grown.
    new Uint8Array(this.wasm.memory.buffer, address, bytes.length).set(bytes);
  }

  text() {
    const bytes = new Uint8Array(this.wasm.memory.buffer, this.wasm.siskin_text(), this.wasm.siskin_text_length());
    return new TextDecoder().decode(bytes.slice());
  }

  /**
   * Calls a function of the module and turns what it returns below 0 into an error.
   * @param {() => number} call
   * @param {number} [file] whose missing part a `NeedsData` names
   */
  check(call, file = 0) {
    let result;
    try {
      result = call();
    } catch (trap) {
      throw new Error(`the decoder failed: ${this.text() || trap}`);
    }
    if (result === NEEDS_DATA) throw new NeedsData(this.wasm.siskin_file_wanted(file));
    if (result === FAILED) throw new Error(this.text());
    return result;
  }
}

/** A file that may still be arriving. */
export class SiskinFile {
  constructor(siskin, number) {
    this.siskin = siskin;
    this.number = number;
  }

  /**
   * Takes bytes that lie at `offset`: they go on with what is there, or begin at a multiple of 65536.
   * @param {number} offset
   * @param {Uint8Array} bytes
   */
  write(offset, bytes) {
    this.siskin.input(bytes);
    this.siskin.check(() => this.siskin.wasm.siskin_file_write(this.number, offset));
  }

  /** @param {number} length the file's bytes */
  finish(length) {
    this.siskin.check(() => this.siskin.wasm.siskin_file_finish(this.number, length));
  }

  /** What the file says of itself; throws `NeedsData` where its beginning has not arrived. */
  describe() {
    this.siskin.check(() => this.siskin.wasm.siskin_file_describe(this.number), this.number);
    return JSON.parse(this.siskin.text());
  }

  newDecoder() {
    const number = this.siskin.check(() => this.siskin.wasm.siskin_decoder_new(this.number), this.number);
    return new SiskinDecoder(this, number);
  }

  /** A decoder of the file's video; fails where there is none, or one that needs a network. */
  newVideo() {
    const number = this.siskin.check(() => this.siskin.wasm.siskin_video_new(this.number), this.number);
    return new SiskinVideoDecoder(this, number);
  }

  /**
   * The codes of every packet, `[frame][stage][group]`.
   * @returns {Generator<Uint16Array>}
   */
  *codes() {
    const { wasm } = this.siskin;
    const reader = this.siskin.check(() => wasm.siskin_codes_new(this.number), this.number);
    try {
      for (;;) {
        const count = this.siskin.check(() => wasm.siskin_codes_next(reader), this.number);
        if (count === 0) return;
        yield new Uint16Array(wasm.memory.buffer, wasm.siskin_codes(), count).slice();
      }
    } finally {
      wasm.siskin_codes_free(reader);
    }
  }

  free() {
    this.siskin.wasm.siskin_file_free(this.number);
  }
}

/** Decodes a file from any place. */
export class SiskinDecoder {
  constructor(file, number) {
    this.file = file;
    this.number = number;
  }

  /** The next packet's samples, a copy; none at the end. Throws `NeedsData` where the file has not arrived. */
  next() {
    const { siskin } = this.file;
    const count = siskin.check(() => siskin.wasm.siskin_decoder_next(this.number), this.file.number);
    if (count === 0) return null;
    return new Float32Array(siskin.wasm.memory.buffer, siskin.wasm.siskin_samples(), count).slice();
  }

  /** The place of the next sample in the file, in samples. */
  position() {
    return this.file.siskin.wasm.siskin_decoder_position(this.number);
  }

  /** Goes on at a time: the samples are those of decoding from the start. Throws as `next` does, and is then called again. */
  seek(seconds) {
    const { siskin } = this.file;
    siskin.check(() => siskin.wasm.siskin_decoder_seek(this.number, seconds), this.file.number);
  }

  /** What was damaged or missing since the last seek. */
  damage() {
    const { siskin } = this.file;
    siskin.check(() => siskin.wasm.siskin_decoder_damage(this.number));
    return JSON.parse(siskin.text());
  }

  free() {
    this.file.siskin.wasm.siskin_decoder_free(this.number);
  }
}

/** Decodes the video of a file, a frame after another. */
export class SiskinVideoDecoder {
  constructor(file, number) {
    this.file = file;
    this.number = number;
  }

  #call(name, ...values) {
    const { siskin } = this.file;
    return siskin.check(() => siskin.wasm[name](this.number, ...values), this.file.number);
  }

  /**
   * Decodes the next frame of a packet, else the next packet: when the frame begins and ends, in seconds, whether it is to be
   * shown (it is not where it lies before the time that was sought) and whether it is damaged, which then is the whole packet; null
   * at the end. Throws `NeedsData` where the file has not arrived.
   */
  next() {
    const step = this.#call("siskin_video_next");
    if (step === 0) return null;
    const [start, end] = [this.#call("siskin_video_start"), this.#call("siskin_video_end")];
    return { start, end, isShown: step === 1, isDamaged: step === 3 };
  }

  /** The frame that was decoded last: red, green, blue and opacity of its pixels, row by row; a copy. */
  picture() {
    const { siskin } = this.file;
    const [width, height] = [this.#call("siskin_video_width"), this.#call("siskin_video_height")];
    const address = siskin.wasm.siskin_video_pixels(this.number);
    if (address === 0) throw new Error(siskin.text());
    return { width, height, pixels: new Uint8Array(siskin.wasm.memory.buffer, address, 4 * width * height).slice() };
  }

  /** Goes on at a time: the next frame to be shown is the one that is on screen then. Throws as `next` does. */
  seek(seconds) {
    this.#call("siskin_video_seek", seconds);
  }

  /** What was damaged or missing since the last seek. */
  damage() {
    this.#call("siskin_video_damage");
    return JSON.parse(this.file.siskin.text());
  }

  free() {
    this.file.siskin.wasm.siskin_video_free(this.number);
  }
}

/** Encodes a recording with the bundle, which must have been opened with the files that `filesOfEncoder` names. */
export class SiskinEncoder {
  /**
   * @param {Siskin} siskin
   * @param {number} [stages] the rate: 1 to the bundle's; without it the bundle's default
   */
  constructor(siskin, stages = 0) {
    this.siskin = siskin;
    this.number = siskin.check(() => siskin.wasm.siskin_recorder_new(stages));
    /** Samples per second that it takes. */
    this.sampleRate = siskin.check(() => siskin.wasm.siskin_recorder_rate(this.number));
  }

  /**
   * Takes samples, any number at a time; the bytes that the file has so far.
   * @param {Float32Array} samples
   */
  push(samples) {
    this.siskin.input(new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength));
    return this.siskin.check(() => this.siskin.wasm.siskin_recorder_push(this.number));
  }

  /** Ends the recording: the file, a copy. */
  finish() {
    const { wasm } = this.siskin;
    const count = this.siskin.check(() => wasm.siskin_recorder_finish(this.number));
    return new Uint8Array(wasm.memory.buffer, wasm.siskin_bytes(), count).slice();
  }

  free() {
    this.siskin.wasm.siskin_recorder_free(this.number);
  }
}

/**
 * The files of a bundle that an encoder needs.
 * @param {Uint8Array} manifest
 * @returns {string[]}
 */
export function filesOfEncoder(manifest) {
  const facts = JSON.parse(new TextDecoder().decode(manifest));
  return [facts.encoder?.file, ...filesOfDecoder(manifest)].filter((name) => typeof name === "string");
}

/**
 * The files of a bundle that a decoder needs; the encoder is not among them.
 * @param {Uint8Array} manifest
 * @returns {string[]}
 */
export function filesOfDecoder(manifest) {
  const facts = JSON.parse(new TextDecoder().decode(manifest));
  const names = [facts.decoder?.file, facts.quantizer?.file, facts.entropy?.file];
  return names.filter((name) => typeof name === "string");
}

/**
 * Decodes a whole file that is in memory.
 * @param {Siskin} siskin with its bundle open
 * @param {Uint8Array} bytes
 */
export function decodeAll(siskin, bytes) {
  const file = siskin.newFile();
  try {
    file.write(0, bytes);
    file.finish(bytes.length);
    const about = file.describe();
    const decoder = file.newDecoder();
    try {
      const chunks = [];
      let count = 0;
      for (let chunk = decoder.next(); chunk; chunk = decoder.next()) {
        chunks.push(chunk);
        count += chunk.length;
      }
      const samples = new Float32Array(count);
      let at = 0;
      for (const chunk of chunks) {
        samples.set(chunk, at);
        at += chunk.length;
      }
      return { about, samples, damage: decoder.damage() };
    } finally {
      decoder.free();
    }
  } finally {
    file.free();
  }
}
