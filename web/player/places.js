// Where the player's parts are: beside these scripts, or where `configure` says. Addresses that a page gives are relative to it.

/** What was configured. */
let given = {};

// Asked for one by one: a module in a blob, whose page gives them all, has no folder.
const at = (name) => new URL(name, import.meta.url).href;
const own = {
  worker: () => at("./worker.js"),
  worklet: () => at("./worklet.js"),
  recorderWorker: () => at("./recorder-worker.js"),
  capture: () => at("./capture.js"),
  wasm: () => at("./siskin.wasm"),
  bundles: () => at("./bundles/"),
};

const resolve = (place) => (typeof place === "string" ? new URL(place, document.baseURI).href : place);

/**
 * Says where the player's parts are, before the first element loads: for pages that carry them in themselves, and for bundlers.
 * @param {Partial<import("./siskin-player").Places>} places
 */
export function configure(places) {
  const { workerType, ...parts } = places;
  for (const [name, place] of Object.entries(parts)) given[name] = resolve(place);
  if (workerType) given.workerType = workerType;
}

/** The address of a part, or what stands for it. */
export function findPart(name) {
  return given[name] ?? own[name]();
}

/** How the players' worker is started. */
export const workerType = () => given.workerType ?? "module";

/** The bundles of an element: the folder that its attribute `bundles` names, or what holds for the page. */
export function bundlesOf(element) {
  const folder = element.getAttribute("bundles");
  const bundles = folder === null ? findPart("bundles") : resolve(folder);
  return typeof bundles === "string" && !bundles.endsWith("/") ? `${bundles}/` : bundles;
}
