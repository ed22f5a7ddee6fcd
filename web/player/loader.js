// Brings a file to the decoder: by ranges where the server knows them, else as it streams in.

/** Bytes of one request: five minutes at 6 kb/s. A multiple of the pages in which the module keeps a file. */
const CHUNK = 1 << 18;
const PAGE = 1 << 16;
/** Bytes fetched beyond where somebody was last found waiting: half a minute of video at 300 kb/s, 23 minutes of speech at 6. */
const AHEAD = 1 << 20;

/** Fetches a file: from the place that was wanted last on, and no further than is soon needed. */
export class Loader {
  /**
   * @param {import("./siskin.js").SiskinFile} file
   * @param {string} url
   * @param {() => void} onArrival called after each piece
   */
  constructor(file, url, onArrival) {
    this.file = file;
    this.url = url;
    this.onArrival = onArrival;
    /** What has arrived: `[from, to)`, in order, apart from each other. Each begins on a page. */
    this.spans = [];
    this.total = Infinity;
    this.hasRanges = true;
    /** Bytes behind `base` beyond which nothing is fetched before it is wanted: a page with ten players does not load ten files. */
    this.ahead = CHUNK;
    this.wanted = undefined;
    /** Where fetching goes on when nothing is wanted: what lies before was passed over. */
    this.base = 0;
    this.isClosed = false;
  }

  /** Fetches until everything up to the limit is there; is called again when that has grown. Throws what goes wrong. */
  async run() {
    if (this.isRunning) return;
    this.isRunning = true;
    try {
      for (let from = this.next(); from !== undefined && !this.isClosed; from = this.next()) {
        await this.fetchFrom(from);
      }
    } finally {
      this.isRunning = false;
    }
  }

  /** The decoder needs what lies at a place. */
  want(offset) {
    if (this.isCovered(offset)) return;
    this.wanted = offset;
    this.base = offset - (offset % PAGE);
    const [from, to] = this.current ?? [0, 0];
    // What is on its way is waited for; without ranges everything is.
    if (this.hasRanges && this.current && (offset < from || offset >= to)) this.abort?.abort("another place");
  }

  /** Somebody listens and will want what follows. */
  readAhead() {
    this.ahead = Math.max(this.ahead, AHEAD);
  }

  /** Fetches all from here on. */
  loadAll() {
    this.ahead = Infinity;
  }

  close() {
    this.isClosed = true;
    this.abort?.abort("closed");
  }

  isCovered(offset) {
    return this.spans.some(([from, to]) => offset >= from && offset < to);
  }

  /** The first place from `offset` on that is not there. */
  firstMissing(offset) {
    for (const [from, to] of this.spans) if (offset >= from && offset < to) offset = to;
    return offset;
  }

  /** Where to go on; undefined if there is nothing to do. */
  next() {
    if (this.wanted !== undefined && this.isCovered(this.wanted)) this.wanted = undefined;
    // From the beginning of its page, or behind what of the page is there.
    let first = this.wanted === undefined ? this.firstMissing(this.base)
      : this.firstMissing(this.wanted - (this.wanted % PAGE));
    // All of it is wanted, and what was passed over too.
    if (first >= this.total && this.ahead === Infinity) first = this.firstMissing(0);
    if (first >= this.total) return undefined;
    // Counted from the place that was wanted last, and not from the furthest: that is the index, at the end of the file.
    return this.wanted !== undefined || first < this.base + this.ahead ? first : undefined;
  }

  async fetchFrom(from) {
    const until = Math.min(from + CHUNK, this.total, ...this.spans.map(([start]) => start).filter((start) => start > from));
    this.abort = new AbortController();
    this.current = [from, until];
    try {
      const headers = this.hasRanges ? { Range: `bytes=${from}-${until - 1}` } : {};
      const response = await fetch(this.url, { headers, signal: this.abort.signal });
      if (response.status === 206) {
        const range = /^bytes (\d+)-\d+\/(\d+)$/.exec(response.headers.get("Content-Range") ?? "");
        if (range) this.setTotal(Number(range[2]));
        const end = await this.take(response, range ? Number(range[1]) : from);
        // Or it would be asked for the same again without an end.
        if (end === from && !this.isClosed) throw new Error(`${this.url}: the server sent nothing for the bytes from ${from}`);
      } else if (response.ok) {
        // All of it, whatever was asked for.
        this.hasRanges = false;
        this.current = [0, Infinity];
        const end = await this.take(response, 0);
        this.setTotal(end);
      } else {
        throw new Error(`${this.url}: the server says ${response.status} ${response.statusText}`.trim());
      }
    } catch (error) {
      if (!this.abort.signal.aborted) throw error;
    } finally {
      this.current = undefined;
    }
  }

  async take(response, from) {
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || this.isClosed) return from;
      this.file.write(from, value);
      this.cover(from, from + value.length);
      from += value.length;
      this.onArrival();
    }
  }

  cover(from, to) {
    const spans = [...this.spans, [from, to]].sort(([a], [b]) => a - b);
    this.spans = [];
    for (const span of spans) {
      const last = this.spans.at(-1);
      if (last && span[0] <= last[1]) last[1] = Math.max(last[1], span[1]);
      else this.spans.push(span);
    }
  }

  setTotal(total) {
    if (this.total === total) return;
    this.total = total;
    this.file.finish(total);
    this.onArrival();
  }
}
