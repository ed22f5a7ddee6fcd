// The audio thread's part of a recording: it hands samples on to the worker.

/** Samples of one message: 21 ms at 48 kHz. */
const SIZE = 1024;

class SiskinInput extends AudioWorkletProcessor {
  constructor() {
    super();
    this.samples = new Float32Array(SIZE);
    this.filled = 0;
    this.isOver = false;
    this.port.onmessage = ({ data }) => {
      if (data.port) this.worker = data.port;
      if (data.type === "end") this.end();
    };
  }

  /** Sends what is there; nothing comes behind it. */
  end() {
    if (this.isOver) return;
    this.isOver = true;
    this.send();
    this.worker?.postMessage({ end: true });
  }

  send() {
    if (this.filled === 0) return;
    const samples = this.samples.subarray(0, this.filled);
    // Handed over and not copied: nothing is to be cleared away on this thread but the few bytes of the message.
    this.worker?.postMessage({ samples }, [samples.buffer]);
    this.samples = new Float32Array(SIZE);
    this.filled = 0;
  }

  process([channels]) {
    if (this.isOver) return false;
    const count = channels[0]?.length ?? 0;
    for (let i = 0; i < count; i++) {
      let sum = 0;
      for (const channel of channels) sum += channel[i];
      this.samples[this.filled++] = sum / channels.length;
      if (this.filled === SIZE) this.send();
    }
    return true;
  }
}

registerProcessor("siskin-input", SiskinInput);
