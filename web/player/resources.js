// The module and bundles, fetched once and kept in the browser's cache.

/** Where files stay between visits. Those of a bundle are found by their hash, so a newer bundle is never mixed with an older. */
const CACHE = "siskin-player";

async function bytesOf(response, url) {
  if (!response.ok) throw new Error(`${url}: the server says ${response.status} ${response.statusText}`.trim());
  return new Uint8Array(await response.arrayBuffer());
}

/** Bytes that never change under their key. */
async function fetchKept(url, key) {
  // Only where the page is a secure context; elsewhere the browser's own cache has to do.
  const cache = await globalThis.caches?.open(CACHE).catch(() => undefined);
  const keyed = new URL(url, globalThis.location?.href);
  keyed.searchParams.set("sha256", key);
  const kept = await cache?.match(keyed.href);
  if (kept) return new Uint8Array(await kept.arrayBuffer());
  const bytes = await bytesOf(await fetch(url), url);
  // A full disk is no reason not to play.
  await cache?.put(keyed.href, new Response(bytes)).catch(() => undefined);
  return bytes;
}

/**
 * The module, compiled.
 * @param {string | Uint8Array} wasm its address or its bytes
 */
export async function loadModule(wasm) {
  if (typeof wasm !== "string") return WebAssembly.compile(wasm);
  const response = await fetch(wasm);
  // Servers that do not know the type of .wasm are many.
  if (response.headers.get("Content-Type")?.startsWith("application/wasm")) return WebAssembly.compileStreaming(response);
  return WebAssembly.compile(await bytesOf(response, wasm));
}

/**
 * A bundle's manifest and the files that the decoder needs.
 * @param {string | Record<string, {manifest: Uint8Array, files: Record<string, Uint8Array>}>} bundles the folder of all, or they
 * @param {string} name
 * @param {(manifest: Uint8Array) => string[]} namesOf
 */
export async function loadBundle(bundles, name, namesOf) {
  if (typeof bundles !== "string") {
    const found = bundles[name];
    if (!found) throw new Error(`the bundle ${name} is not here`);
    return { manifest: found.manifest, files: new Map(Object.entries(found.files)) };
  }
  const folder = new URL(`${encodeURIComponent(name)}/`, new URL(bundles, globalThis.location?.href));
  const url = new URL("manifest.json", folder).href;
  const manifest = await bytesOf(await fetch(url, { cache: "no-cache" }), url);
  const { files: hashes = {} } = JSON.parse(new TextDecoder().decode(manifest));
  const fetched = namesOf(manifest).map(async (file) => {
    const bytes = await fetchKept(new URL(encodeURIComponent(file), folder).href, String(hashes[file]));
    return [file, bytes];
  });
  return { manifest, files: new Map(await Promise.all(fetched)) };
}
