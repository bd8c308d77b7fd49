// The sandbox by hand: from a create call to the shop, by every button.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { checkAccessibility, launch, show } from "./browser.mjs";
import { HOSTILE, repeated } from "./hostile.mjs";
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
  return {
    checkout: { redirect_urls: slots },
    order: { checkout_pro: { back_urls: slots, auto_return: "all" } },
    payment: { redirect_url: `${base}/{{status}}?kind={{kind}}` },
  }[kind];
}

describe("every button", { concurrency: 4 }, () => {
  for (const kind of ["checkout", "order", "payment"]) {
    for (const [button, outcome] of Object.entries(BUTTONS)) {
      for (const shop of ["https://shop.example.com", "https://shop.example.com/hop", "the stand-in shop"]) {
        test(`${kind}, ${button}, to ${shop}`, async (t) => {
          const base = shop === "the stand-in shop" ? `${waypost.pages}/shop` : shop;
          const session = await waypost.create(kind, withUrls(kind, base));
          const page = await browser.open(t, session.checkout_url);
          await page.getByRole("button", { name: button, exact: true }).click();
          const words = { success: "approved", failure: "rejected", pending: "pending", cancel: "" };
          const last = kind === "payment" ? words[outcome] : outcome;
          const host = shop.endsWith("/hop") ? "https://www.example.com" : base;
          await page.waitForURL((url) => url.href.startsWith(`${host}/${last}`));
        });
      }
    }
  }
});

test("pay later at a shop, and the shop reports payment: the waiting page turns", async (t) => {
  const session = await waypost.create("order");
  const page = await browser.open(t, session.checkout_url);
  await page.getByRole("button", { name: "Pay later at a shop" }).click();
  await page.locator("h1", { hasText: "Payment pending" }).waitFor();
  const [checkout] = await Promise.all([
    page.waitForEvent("popup"),
    page.getByRole("link", { name: "Open the stand-in checkout" }).click(),
  ]);
  await checkout.getByRole("button", { name: "The shop reports payment" }).click();
  await page.locator("h1", { hasText: "Payment complete" }).waitFor();
  assert.deepEqual(checkout.faults, []);
});

describe("the sandbox's pages", { concurrency: 2 }, () => {
  for (const window of ["phone", "desktop"]) {
    test(`on a ${window}`, async (t) => {
      const session = await waypost.create("checkout", {
        shopping_cart: { line_items: [{ name: "Green tea", price: 1250, unit_qty: 2 }, { name: "Cup", price: 89900, unit_qty: 1 }] },
      });
      const shop = `${waypost.pages}/shop/success?payment_id=1&status=approved&external_reference=A-17`;
      const look = async (name, url) => {
        const page = await browser.open(t, url, { window });
        for (const colours of ["light", "dark"]) {
          await page.emulateMedia({ colorScheme: colours });
          await show(page, `sandbox-${name}-${window}-${colours}`);
          await checkAccessibility(page);
        }
      };
      await look("checkout", session.checkout_url);
      await look("shop", shop);
      await waypost.record(session.session_id, "pending");
      await look("pending", session.page_url);
      await look("checkout-pending", session.checkout_url);
      await waypost.record(session.session_id, "success");
      await look("checkout-success", session.checkout_url);
    });
  }

  for (const [index, value] of HOSTILE.entries()) {
    test(`show as text: ${JSON.stringify(value).slice(0, 40)}`, async (t) => {
      const long = repeated(value, 500);
      const merchant_id = `hostile-${index}`;
      await waypost.merchant({ merchant_id, name: value });
      const session = await waypost.create("checkout", {
        merchant_id,
        shopping_cart: { line_items: [{ name: long, price: 1, unit_qty: 1 }, { name: value, price: 1, unit_qty: 2 }] },
      });
      const checkout = await browser.open(t, session.checkout_url);
      assert.equal(await checkout.title(), "Stand-in checkout");
      assert.equal(await checkout.locator(".merchant bdi").textContent(), value);
      assert.deepEqual(await checkout.locator(".lines bdi").allTextContents(), [long, value]);
      // The name does not move what stands beside it, as text of the other direction might.
      const moved = await checkout.locator(".lines li:last-child > span:first-child").evaluate((line) => {
        const quantity = document.createRange();
        quantity.selectNodeContents(line.firstChild);
        return quantity.getBoundingClientRect().left - line.getBoundingClientRect().left;
      });
      assert.ok(Math.abs(moved) < 1, `the quantity is ${moved} px from its place`);
      await show(checkout, `sandbox-hostile-${index}-phone-light`);

      const params = new URLSearchParams([["x", value], [value, "x"]]);
      const shop = await browser.open(t, `${waypost.pages}/shop/success?${params}`);
      assert.equal(await shop.title(), "Stand-in shop");
      assert.deepEqual(await shop.locator("dl bdi").allTextContents(), ["x", value, value, "x"]);
      await show(shop, `sandbox-hostile-shop-${index}-phone-light`);
    });
  }
});
