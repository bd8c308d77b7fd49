// The sandbox by hand: from a create call to the shop, by every button.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { SCREENSHOTS, inaccessible, launch } from "./browser.mjs";
import { start } from "./waypost.mjs";

let waypost;
let browser;

before(async () => {
  [waypost, browser] = await Promise.all([start("--sandbox"), launch()]);
  await waypost.merchant({ merchant_id: "plain", name: "Casa Luna", auto_return_delay: { seconds: 1 } });
});

after(async () => {
  await browser?.close();
  await waypost?.stop();
});

const BUTTONS = { Pay: "success", Decline: "failure", "Pay later at a shop": "pending", Leave: "cancel" };

function withUrls(kind, base) {
  const slots = Object.fromEntries(Object.values(BUTTONS).map((outcome) => [outcome, `${base}/${outcome}`]));
  return { checkout: { redirect_urls: slots }, order: { checkout_pro: { back_urls: slots, auto_return: "all" } }, payment: { redirect_url: `${base}/{{status}}?kind={{kind}}` } }[kind];
}

describe("every button", { concurrency: 2 }, () => {
  for (const kind of ["checkout", "order", "payment"]) {
    for (const [button, outcome] of Object.entries(BUTTONS)) {
      for (const shop of ["https://shop.example.com", "https://shop.example.com/hop", "the stand-in shop"]) {
        test(`${kind}, ${button}, to ${shop}`, async () => {
          const base = shop === "the stand-in shop" ? `${waypost.pages}/shop` : shop;
          const session = await waypost.create(kind, withUrls(kind, base));
          const page = await browser.open(session.checkout_url);
          await page.getByRole("button", { name: button, exact: true }).click();
          const words = { success: "approved", failure: "rejected", pending: "pending", cancel: "" };
          const last = kind === "payment" ? words[outcome] : outcome;
          const host = shop.endsWith("/hop") ? "https://www.example.com" : base;
          await page.waitForURL((url) => url.href.startsWith(`${host}/${last}`), { timeout: 8_000 });
          assert.deepEqual(page.faults, []);
          await page.context().close();
        });
      }
    }
  }
});

test("pay later at a shop, and the shop reports payment: the waiting page turns", async () => {
  const session = await waypost.create("order");
  const page = await browser.open(session.checkout_url);
  await page.getByRole("button", { name: "Pay later at a shop" }).click();
  await page.locator("h1", { hasText: "Payment pending" }).waitFor();
  const [checkout] = await Promise.all([
    page.waitForEvent("popup"),
    page.getByRole("link", { name: "Open the stand-in checkout" }).click(),
  ]);
  await checkout.getByRole("button", { name: "The shop reports payment" }).click();
  await page.locator("h1", { hasText: "Payment complete" }).waitFor({ timeout: 3_000 });
  assert.deepEqual(page.faults, []);
  await page.context().close();
});

for (const window of ["phone", "desktop"]) {
  for (const colorScheme of ["light", "dark"]) {
    test(`the sandbox's pages, ${window} ${colorScheme}`, async () => {
      const session = await waypost.create("checkout", {
        shopping_cart: { line_items: [{ name: "Green tea", price: 1250, unit_qty: 2 }, { name: "Cup", price: 89900, unit_qty: 1 }] },
      });
      for (const [name, url] of [
        ["checkout", session.checkout_url],
        ["shop", `${waypost.pages}/shop/success?payment_id=1&status=approved&external_reference=A-17`],
      ]) {
        const page = await browser.open(url, { window, colorScheme });
        await page.screenshot({ path: `${SCREENSHOTS}/sandbox-${name}-${window}-${colorScheme}.png`, fullPage: true });
        assert.deepEqual(await inaccessible(page), []);
        assert.deepEqual(page.faults, []);
        await page.context().close();
      }
      await waypost.record(session.session_id, "pending");
      for (const [name, url] of [["pending", session.page_url], ["checkout-pending", session.checkout_url]]) {
        const page = await browser.open(url, { window, colorScheme });
        await page.screenshot({ path: `${SCREENSHOTS}/sandbox-${name}-${window}-${colorScheme}.png`, fullPage: true });
        assert.deepEqual(await inaccessible(page), []);
        await page.context().close();
      }
    });
  }
}
