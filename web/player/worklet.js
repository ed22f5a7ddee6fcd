// The audio thread's part: it copies samples to the output and tells where it is. It decodes nothing, since a network on this
// thread would miss its deadline of a few milliseconds.

/** Samples between two reports of the place: 43 ms at 24 kHz. */
const REPORT = 1024;

class SiskinOutput extends AudioWorkletProcessor {
  constructor() {
    super();
    /** Chunks that wait: `{ samples, position, step }`, where step is the file's samples per sample of output. */
    this.queue = [];
    this.at = 0;
    this.ended = false;
    this.generation = 0;
    /** Samples that were output since the last seek. */
    this.consumed = 0;
    this.sinceReport = 0;
    // Samples from the worker's own port, and not through the page, whose thread may be busy.
    this.port.onmessage = ({ data }) => {
      this.worker = data.port;
      this.worker.onmessage = (event) => this.take(event.data);
    };
  }

  take(message) {
    if (message.generation !== undefined) {
      // Everything that waits is of before a seek.
      this.queue = [];
      this.at = 0;
      this.ended = false;
      this.consumed = 0;
      this.last = undefined;
      this.generation = message.generation;
      // The worker sends nothing before it knows that this thread runs.
      this.worker.postMessage({ generation: this.generation, consumed: 0 });
    } else if (message.end) {
      this.ended = true;
    } else {
      this.queue.push(message);
    }
  }

  process(_inputs, [output]) {
    const channel = output[0];
    let filled = 0;
    while (filled < channel.length && this.queue.length > 0) {
      const { samples } = this.queue[0];
      const count = Math.min(samples.length - this.at, channel.length - filled);
      channel.set(samples.subarray(this.at, this.at + count), filled);
      filled += count;
      this.at += count;
      this.consumed += count;
      if (this.at === samples.length) {
        this.last = this.queue.shift();
        this.at = 0;
      }
    }
    this.sinceReport += channel.length;
    const isStarved = filled < channel.length;
    if (this.sinceReport >= REPORT || isStarved !== this.wasStarved) this.report(isStarved);
    this.wasStarved = isStarved;
    return true;
  }

  report(isStarved) {
    this.sinceReport = 0;
    const next = this.queue[0];
    const { last } = this;
    const position = next ? next.position + this.at * next.step
      : last ? last.position + last.samples.length * last.step : undefined;
    const { generation, consumed } = this;
    // The time of the sample behind those of this call, by the context's clock.
    const at = (globalThis.currentFrame + 128) / globalThis.sampleRate;
    const state = { generation, consumed, position, at, isStarved, ended: this.ended && this.queue.length === 0 };
    this.port.postMessage(state);
    this.worker?.postMessage(state);
  }
}

registerProcessor("siskin-output", SiskinOutput);
