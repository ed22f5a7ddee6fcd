// What the tests in Chromium have in common: the browser, and a page with a player.
//
//   SISKIN_FIXTURES=FOLDER NODE_MODULES=FOLDER [CHROMIUM=chromium] [TIMEOUT=60000]

import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach } from "node:test";

import { folders } from "./files.mjs";
import { serve } from "./server.mjs";

const { CHROMIUM = "chromium" } = process.env;
/** Milliseconds that something may take before it counts as not happening; a busy machine needs more. */
export const TIMEOUT = Number(process.env.TIMEOUT ?? 60_000);
const { chromium } = createRequire(join(process.env.NODE_MODULES ?? import.meta.dirname, "/"))("playwright-core");

/** Chromium with a profile. */
export function launch(profile, args = [], options = {}) {
  return chromium.launchPersistentContext(profile, {
    executablePath: CHROMIUM.includes("/") ? CHROMIUM : `/usr/bin/${CHROMIUM}`,
    headless: true,
    timeout: Math.max(TIMEOUT, 30_000),
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync", ...args],
    ...options,
  });
}

/**
 * A server with a page, a browser, and a new tab for each test: of `element`, the player in the page, `call` asks it something,
 * `until` waits for what it answers, `open` gives it a file, and `pressPlay` does what a person does.
 */
export function withPlayer(element, html) {
  const its = {};
  before(async () => {
    its.server = await serve(folders, { "/": html });
    its.profile = mkdtempSync(join(tmpdir(), "siskin-chromium-"));
    its.browser = await launch(its.profile);
  });
  after(async () => {
    await its.browser?.close();
    its.server?.close();
    rmSync(its.profile, { recursive: true, force: true });
  });
  beforeEach(async () => {
    await its.page?.close();
    its.page = await its.browser.newPage();
    its.page.setDefaultTimeout(TIMEOUT);
  });
  // Functions go into the page as text.
  const inPage = ([name, text, given]) =>
    new Function("player", "given", `return (${text})(player, given)`)(document.querySelector(name), given);
  its.call = (ask, given) => its.page.evaluate(inPage, [element, ask.toString(), given]);
  its.until = (ask, given) => its.page.waitForFunction(inPage, [element, ask.toString(), given], { polling: 20 });
  its.open = async (source, script) => {
    await its.page.goto(`${its.server.url}/`);
    if (script) await its.page.evaluate(script);
    await its.call((player, src) => { player.src = src; }, source);
  };
  its.pressPlay = () => its.page.locator(`${element} button.play`).click();
  return its;
}
