// Headless Chromium, and a shop for it to return to: every name below example.com leads to the shop's stub, and no
// other name leads anywhere.

import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { createServer } from "node:https";
import AxeBuilder from "@axe-core/playwright";
import { chromium } from "playwright-core";

const TARGET = new URL("../../target/", import.meta.url).pathname;
export const SCREENSHOTS = `${TARGET}screenshots`;
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
  constructor(browser, shop) {
    this.browser = browser;
    this.shop = shop;
  }

  /** Opens a page in a window of its own. What it does wrong is kept in `page.faults`. */
  async open(url, { window = "phone", ...options } = {}) {
    const context = await this.browser.newContext({
      ignoreHTTPSErrors: true, locale: "en-US", ...WINDOWS[window], ...options,
    });
    const page = await context.newPage();
    page.faults = [];
    page.on("pageerror", (error) => page.faults.push(`script: ${error}`));
    // Violations of the content security policy are errors on the console.
    page.on("console", (message) => message.type() === "error" && page.faults.push(`console: ${message.text()}`));
    context.on("request", (request) => {
      const { hostname } = new URL(request.url());
      if (hostname !== "127.0.0.1" && !hostname.endsWith(".example.com")) page.faults.push(`request: ${request.url()}`);
    });
    await page.goto(url);
    return page;
  }

  async close() {
    await this.browser.close();
    this.shop.close();
  }
}

/** What an accessibility checker finds. */
export async function inaccessible(page) {
  // The pages have no frames, for which the other mode opens a further page each time.
  const { violations } = await new AxeBuilder({ page }).setLegacyMode(true).analyze();
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
}
