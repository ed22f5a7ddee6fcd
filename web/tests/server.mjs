// Serves the player, the bundles and the tests' files on a port of its own; knows ranges, or not, and may be slow.

import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

const TYPES = { ".js": "text/javascript", ".html": "text/html", ".wasm": "application/wasm", ".json": "application/json" };

/**
 * @param {Record<string, string>} folders folders by the first part of the path
 * @param {Record<string, string>} pages texts by their path
 */
export async function serve(folders, pages) {
  /** Bytes sent by path. */
  const sent = new Map();
  const count = (path, bytes) => sent.set(path, (sent.get(path) ?? 0) + bytes);
  const server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, "http://localhost");
    if (pages[pathname]) {
      response.writeHead(200, { "Content-Type": "text/html" }).end(pages[pathname]);
      return;
    }
    const [, first, ...rest] = normalize(decodeURIComponent(pathname)).split("/");
    const path = folders[first] && join(folders[first], ...rest);
    let size, mtimeMs;
    try {
      ({ size, mtimeMs } = statSync(path));
    } catch {
      response.writeHead(404).end("not here");
      return;
    }
    // As servers do that nobody has set up for caching: browsers ask each time, and are told that nothing has changed.
    const tag = `"${size}-${mtimeMs}"`;
    const headers = { "Content-Type": TYPES[extname(path)] ?? "application/octet-stream", "Cache-Control": "no-cache", ETag: tag };
    if (request.headers["if-none-match"] === tag) {
      response.writeHead(304, headers).end();
      return;
    }
    const range = searchParams.get("ranges") !== "0" && /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
    const from = range ? Number(range[1]) : 0;
    const to = Math.min(range && range[2] ? Number(range[2]) : size - 1, size - 1);
    if (range) headers["Content-Range"] = `bytes ${from}-${to}/${size}`;
    headers["Content-Length"] = to - from + 1;
    response.writeHead(range ? 206 : 200, headers);
    const rate = Number(searchParams.get("rate") ?? Infinity);
    // A twentieth of a second's bytes at a time.
    const highWaterMark = Number.isFinite(rate) ? Math.ceil(rate / 20) : 65536;
    for await (const piece of createReadStream(path, { start: from, end: to, highWaterMark })) {
      if (response.destroyed) return;
      response.write(piece);
      count(pathname, piece.length);
      if (Number.isFinite(rate)) await new Promise((resolve) => setTimeout(resolve, 50));
    }
    response.end();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    sent,
    total: () => [...sent.values()].reduce((a, b) => a + b, 0),
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
