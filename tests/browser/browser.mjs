// Headless Chromium, and a shop for it to return to: every name below example.com leads to the shop's stub, and no
// other name leads anywhere.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { createServer } from "node:https";
import axe from "axe-core";
import { chromium } from "playwright-core";

const TARGET = new URL("../../target/", import.meta.url).pathname;
const SCREENSHOTS = `${TARGET}screenshots`;
mkdirSync(SCREENSHOTS, { recursive: true });

/** Windows of a phone and of a desktop. */
export const WINDOWS = {
  phone: { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true },
  desktop: { viewport: { width: 1280, height: 800 } },
};

/** A shop that answers every path, with a certificate that is made anew. */
async function startShop() {
  const [key, cert] = ["key", "cert"].map((part) => `${TARGET}browser-test-${part}.pem`);
  execFileSync("openssl", [
    ..."req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=shop.example.com".split(" "),
    "-keyout", key, "-out", cert,
  ], { stdio: "ignore" });
  const shop = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (request, response) => {
    // A shop may send the browser on within its own site, and a policy of ours must not hinder it.
    if (request.url.startsWith("/hop")) {
      response.writeHead(302, { location: `https://www.example.com${request.url.slice(4)}` }).end();
      return;
    }
    response.setHeader("content-type", "text/html");
    response.end("<!doctype html><html lang=en><title>Shop</title><h1>Shop</h1>");
  });
  await new Promise((resolve) => shop.listen(0, "127.0.0.1", resolve));
  return shop;
}

export async function launch() {
  const shop = await startShop();
  const rules = `MAP *.example.com 127.0.0.1:${shop.address().port}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1`;
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync", `--host-resolver-rules=${rules}`,
    ],
  });
  return new Browser(browser, shop);
}

class Browser {
  /** Contexts by their options: pages share one, as the tabs of a browser do. */
  contexts = new Map();

  constructor(browser, shop) {
    this.browser = browser;
    this.shop = shop;
  }

  context(options) {
    const key = JSON.stringify(options);
    if (!this.contexts.has(key)) this.contexts.set(key, this.makeContext(options));
    return this.contexts.get(key);
  }

  async makeContext(options) {
    const context = await this.browser.newContext({ ignoreHTTPSErrors: true, ...options });
    context.on("page", watch);
    return context;
  }

  /**
   * Opens a page that closes with the test, which fails if the page did anything wrong. It is asked for in a window
   * (`phone`, `desktop`), colours (`light`, `dark`), a `locale`, and with scripts (`on`, `off`).
   */
  async open(test, url, { window = "phone", colours = "light", locale = "en-US", scripts = "on" } = {}) {
    const context = await this.context({ ...WINDOWS[window], locale, javaScriptEnabled: scripts === "on" });
    const page = await context.newPage();
    test.after(async () => {
      await page.close();
      assert.deepEqual(page.faults, []);
    });
    await page.emulateMedia({ colorScheme: colours });
    await page.goto(url);
    return page;
  }

  async close() {
    await this.browser.close();
    this.shop.close();
  }
}

/** Keeps what a page does wrong in `page.faults`. */
function watch(page) {
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(`script: ${error}`));
  // Violations of the content security policy are errors on the console.
  page.on("console", (message) => message.type() === "error" && page.faults.push(`console: ${message.text()}`));
  page.on("request", (request) => {
    const { hostname } = new URL(request.url());
    if (hostname !== "127.0.0.1" && !hostname.endsWith(".example.com")) page.faults.push(`request: ${request.url()}`);
  });
}

/** Writes a picture for people to look at, and checks that nobody has to scroll sideways to see it. */
export async function show(page, name) {
  await page.screenshot({ path: `${SCREENSHOTS}/${name}.png`, fullPage: true });
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `${name} is ${overflow} px wider than its window`);
}

/** Checks that an accessibility checker finds nothing. */
export async function checkAccessibility(page) {
  // The checker takes far longer to load than to look, so a page keeps it for its other colours.
  if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(axe.source);
  const { violations, passes } = await page.evaluate(() => globalThis.axe.run());
  assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`), []);
  // It looked at what the eye sees.
  assert.ok(passes.some(({ id }) => id === "color-contrast"), "the contrast was not checked");
}

/**
 * Records an outcome and gives the milliseconds from then until a waiting page had painted that heading: by the page's
 * own account, as it takes the test some time to notice.
 */
export async function turn(page, heading, record) {
  // It listens before the outcome comes, as a page does that has been open for a while.
  await page.waitForFunction(() => events.readyState === EventSource.OPEN);
  const began = Date.now();
  await record();
  await page.locator("h1", { hasText: heading }).waitFor();
  const painted = await page.waitForFunction(() => {
    const [paint] = performance.getEntriesByName("first-contentful-paint");
    return paint && Date.now() - performance.now() + paint.startTime;
  });
  return Math.round((await painted.jsonValue()) - began);
}
