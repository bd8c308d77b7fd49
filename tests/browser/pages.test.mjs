// Every kind and outcome in a real browser: where it lands, what it shows, and what it never does.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { SCREENSHOTS, WINDOWS, inaccessible, launch } from "./browser.mjs";
import { start } from "./waypost.mjs";

const OUTCOMES = ["success", "failure", "cancel", "pending", "expired"];
const LANGUAGES = {
  "en-US": { success: "Payment complete", failure: "Payment not completed", cancel: "Payment cancelled", pending: "Payment pending", expired: "Time is up", button: "Return to site" },
  "es-ES": { success: "Pago completado", failure: "Pago no completado", cancel: "Pago cancelado", pending: "Pago pendiente", expired: "Se acabó el tiempo", button: "Volver al sitio" },
  "pt-BR": { success: "Pagamento concluído", failure: "Pagamento não concluído", cancel: "Pagamento cancelado", pending: "Pagamento pendente", expired: "O tempo acabou", button: "Voltar ao site" },
  "fr-FR": { success: "Paiement effectué", failure: "Paiement non abouti", cancel: "Paiement annulé", pending: "Paiement en attente", expired: "Le délai est écoulé", button: "Retour au site" },
};

let waypost;
let browser;

before(async () => {
  [waypost, browser] = await Promise.all([start(), launch()]);
  await waypost.merchant({ merchant_id: "plain", name: "Casa Luna" });
  // For what takes longer to look at than the usual countdown, on a busy machine.
  await waypost.merchant({ merchant_id: "slow", name: "Casa Luna", auto_return_delay: { seconds: 40 } });
  await waypost.merchant({ merchant_id: "quick", name: "Casa Luna", auto_return_delay: { seconds: 1 } });
});

after(async () => {
  await browser?.close();
  await waypost?.stop();
});

/** A create request with a return URL for every outcome. */
function withUrls(kind, prefix = "") {
  const url = (slot) => `https://shop.example.com${prefix}/${slot}?own=a%20b`;
  const slots = Object.fromEntries(OUTCOMES.map((outcome) => [outcome, url(outcome)]));
  return { checkout: { redirect_urls: slots }, order: { checkout_pro: { back_urls: slots } }, payment: { redirect_url: url("{{status}}") } }[kind];
}

async function ended(kind, outcome, request = {}) {
  const session = await waypost.create(kind, request);
  await waypost.record(session.session_id, outcome, { payment_id: "98231-4471" });
  return session;
}

const heading = (page) => page.locator("h1").textContent();

describe("where the buyer lands", { concurrency: 2 }, () => {
  for (const kind of ["checkout", "payment"]) {
    for (const outcome of OUTCOMES) {
      test(`${kind} ${outcome}: at once, at the URL that ResolveRedirect answers`, async () => {
        const session = await ended(kind, outcome, withUrls(kind));
        const { url } = await waypost.resolve(session.session_id);
        const page = await browser.open(session.page_url);
        assert.equal(page.url(), url);
        assert.equal(new URL(url).searchParams.get("own"), "a b");
        assert.deepEqual(page.faults, []);
        await page.context().close();
      });
    }
  }

  const params = { success: "approved", failure: "rejected", pending: "pending", cancel: "null", expired: "null" };
  for (const outcome of OUTCOMES) {
    for (const scripts of ["on", "off"]) {
      test(`order ${outcome}, scripts ${scripts}: by the button, with the provider's parameters`, async () => {
        const session = await ended("order", outcome, { ...withUrls("order"), merchant_id: "slow" });
        const page = await browser.open(session.page_url, { javaScriptEnabled: scripts === "on" });
        await page.getByRole("link", { name: "Return to site" }).click();
        await page.waitForURL("https://shop.example.com/**");
        const landed = new URL(page.url());
        assert.equal(landed.pathname, `/${outcome}`);
        assert.deepEqual(Object.fromEntries(landed.searchParams), {
          own: "a b", payment_id: "98231-4471", status: params[outcome], external_reference: "A-17", order_id: session.session_id,
        });
        assert.deepEqual(page.faults, []);
        await page.context().close();
      });

      test(`order ${outcome} with auto_return all, scripts ${scripts}: by itself`, async () => {
        const request = withUrls("order");
        request.checkout_pro.auto_return = "all";
        const session = await ended("order", outcome, { ...request, merchant_id: "quick" });
        const page = await browser.open(session.page_url, { javaScriptEnabled: scripts === "on" });
        await page.waitForURL("https://shop.example.com/**", { timeout: 5_000 });
        assert.equal(new URL(page.url()).pathname, `/${outcome}`);
        await page.context().close();
      });
    }
  }
});

describe("the countdown", () => {
  for (const scripts of ["on", "off"]) {
    test(`is visible and counts with scripts ${scripts}`, async () => {
      const session = await ended("order", "success", { ...withUrls("order"), merchant_id: "slow" });
      const page = await browser.open(session.page_url, { javaScriptEnabled: scripts === "on" });
      assert.ok(await page.locator(".count").isVisible());
      const left = async () => Number(await page.locator(".count").evaluate((count) => getComputedStyle(count, "::before").getPropertyValue("--left")));
      const first = await left();
      assert.ok(first > 20 && first <= 40, `${first}`);
      await page.waitForTimeout(2_000);
      assert.ok((await left()) < first);
      await page.context().close();
    });

    test(`ends at the shop after its time and not before with scripts ${scripts}`, async () => {
      const session = await ended("order", "success", withUrls("order"));
      const began = Date.now();
      const page = await browser.open(session.page_url, { javaScriptEnabled: scripts === "on" });
      await page.waitForURL("https://shop.example.com/success**", { timeout: 15_000 });
      const took = Date.now() - began;
      assert.ok(took >= 5_000, `${took} ms`);
      await page.context().close();
    });
  }

  test("stops for a buyer who stays", async () => {
    const session = await ended("order", "success", { ...withUrls("order"), merchant_id: "quick" });
    const page = await browser.open(session.page_url);
    await page.getByRole("link", { name: "Stay on this page" }).click();
    await page.waitForTimeout(2_000);
    assert.equal(await heading(page), "Payment complete");
    assert.equal(await page.locator(".countdown").count(), 0);
    await page.context().close();
  });
});

describe("the page", { concurrency: 2 }, () => {
  for (const outcome of OUTCOMES) {
    for (const [locale, words] of Object.entries(LANGUAGES)) {
      for (const window of Object.keys(WINDOWS)) {
        for (const colorScheme of ["light", "dark"]) {
          test(`${outcome} ${locale} ${window} ${colorScheme}`, async () => {
            const session = await ended("order", outcome, { ...withUrls("order"), merchant_id: "slow" });
            const page = await browser.open(session.page_url, { window, colorScheme, locale });
            assert.equal(await heading(page), words[outcome]);
            assert.equal(await page.title(), words[outcome]);
            assert.ok(await page.getByRole("link", { name: words.button }).isVisible());
            const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
            assert.ok(overflow <= 0, `${overflow} px wider than its window`);
            await page.screenshot({ path: `${SCREENSHOTS}/${outcome}-${locale}-${window}-${colorScheme}.png`, fullPage: true });
            // The checker takes seconds; what it looks at differs by window and colours in one language, and by
            // language in one window.
            if (locale === "en-US" || (window === "phone" && colorScheme === "light")) {
              assert.deepEqual(await inaccessible(page), []);
            }
            assert.deepEqual(page.faults, []);
            await page.context().close();
          });
        }
      }
    }
  }

  for (const kind of ["checkout", "order", "payment"]) {
    for (const outcome of OUTCOMES) {
      test(`${kind} ${outcome} without a URL has no button`, async () => {
        const session = await ended(kind, outcome);
        const page = await browser.open(session.page_url);
        assert.equal(await heading(page), LANGUAGES["en-US"][outcome]);
        assert.equal(await page.locator("a").count(), 0);
        assert.deepEqual(await inaccessible(page), []);
        assert.deepEqual(page.faults, []);
        await page.context().close();
      });
    }
  }

  test("can be used with the keyboard alone", async () => {
    const session = await ended("order", "success", { ...withUrls("order"), merchant_id: "slow" });
    const page = await browser.open(`${session.page_url}?stay`);
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Return to site");
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.equal(outline, "solid");
    await page.keyboard.press("Enter");
    await page.waitForURL("https://shop.example.com/success**");
    await page.context().close();
  });

  test("moves nothing for those who asked for less motion", async () => {
    const session = await ended("order", "success", withUrls("order"));
    const page = await browser.open(session.page_url, { reducedMotion: "reduce" });
    assert.ok(await page.locator(".bar").isHidden());
    assert.ok(await page.locator(".count").isVisible());
    await page.context().close();
    const pending = await browser.open((await ended("payment", "pending")).page_url, { reducedMotion: "reduce" });
    assert.equal(await pending.locator(".dots").evaluate((dots) => getComputedStyle(dots).animationName), "none");
    await pending.context().close();
  });

  test("shows a deep link as a button and does not follow it by itself", async () => {
    await waypost.merchant({ merchant_id: "app", name: "App", app_schemes: ["com.example.shop"] });
    const request = { merchant_id: "app", checkout_pro: { back_urls: { success: "com.example.shop://paid" } } };
    const page = await browser.open((await ended("order", "success", request)).page_url);
    assert.match(await page.getByRole("link", { name: "Return to site" }).getAttribute("href"), /^com\.example\.shop:\/\/paid\?/);
    assert.equal(await page.locator(".countdown").count(), 0);
    await page.context().close();
  });

  test("of a link that opens nothing is plain", async () => {
    const page = await browser.open(`${waypost.pages}/r/nothing`);
    assert.equal(await heading(page), "Page not found");
    await page.screenshot({ path: `${SCREENSHOTS}/not-found-en-US-phone-light.png`, fullPage: true });
    assert.deepEqual(await inaccessible(page), []);
    await page.context().close();
  });
});

describe("a payment that settles later", () => {
  test("turns within a second of RecordOutcome and shows how it ended", async () => {
    const session = await ended("order", "pending");
    const page = await browser.open(session.page_url);
    assert.equal(await heading(page), "Payment pending");
    const began = Date.now();
    await waypost.record(session.session_id, "failure");
    await page.locator("h1", { hasText: "Payment not completed" }).waitFor({ timeout: 5_000 });
    const took = Date.now() - began;
    console.log(`the page turned ${took} ms after RecordOutcome was sent`);
    assert.ok(took < 1_000, `${took} ms`);
    assert.deepEqual(page.faults, []);
    await page.context().close();
  });

  test("goes on to the shop when it has a URL, in every browser that waits", async () => {
    // No URL for pending, so that the page shows; one for success.
    const session = await ended("checkout", "pending", { redirect_urls: { success: "https://shop.example.com/success" } });
    const pages = await Promise.all([1, 2, 3].map(() => browser.open(session.page_url)));
    const began = Date.now();
    await waypost.record(session.session_id, "success");
    await Promise.all(pages.map((page) => page.waitForURL("https://shop.example.com/success", { timeout: 5_000 })));
    assert.ok(Date.now() - began < 2_000);
    for (const page of pages) await page.context().close();
  });

  test("turns without scripts by a plain refresh", async () => {
    const session = await ended("order", "pending");
    const page = await browser.open(session.page_url, { javaScriptEnabled: false });
    assert.equal(await heading(page), "Payment pending");
    await waypost.record(session.session_id, "success");
    await page.locator("h1", { hasText: "Payment complete" }).waitFor({ timeout: 25_000 });
    await page.context().close();
  });

  test("can be opened again from the same link", async () => {
    const session = await ended("payment", "pending");
    for (const window of ["phone", "desktop"]) {
      const page = await browser.open(session.page_url, { window });
      assert.equal(await heading(page), "Payment pending");
      await page.context().close();
    }
  });

  test("of nobody who was heard of claims nothing", async () => {
    const session = await waypost.create("payment");
    const page = await browser.open(session.page_url);
    assert.equal(await heading(page), "No payment yet");
    await page.screenshot({ path: `${SCREENSHOTS}/open-en-US-phone-light.png`, fullPage: true });
    assert.deepEqual(await inaccessible(page), []);
    await waypost.record(session.session_id, "pending");
    await page.locator("h1", { hasText: "Payment pending" }).waitFor({ timeout: 5_000 });
    await page.context().close();
  });
});

describe("hostile values", () => {
  const hostile = [
    "<script>document.title='owned'</script>",
    "\"><img src=https://evil.example.net/x onerror=\"document.title='owned'\">",
    "' onmouseover='document.title=1'",
    "</title></style><svg/onload=document.title='owned'>",
    "\u202egnp.exe\u2066 مرحبا",
  ];
  for (const value of hostile) {
    test(`show as text: ${JSON.stringify(value).slice(0, 40)}`, async () => {
      const long = value.repeat(Math.ceil(10_000 / Buffer.byteLength(JSON.stringify(value))));
      await waypost.merchant({ merchant_id: "hostile", name: value });
      const session = await waypost.create("order", {
        merchant_id: "hostile", external_reference: value,
        metadata: { fields: { long: { stringValue: long }, [value]: { stringValue: value } } },
      });
      await waypost.record(session.session_id, "pending", { payment_id: value.repeat(2), error_code: value.slice(0, 30) });
      const page = await browser.open(session.page_url);
      assert.equal(await page.title(), "Payment pending");
      assert.equal(await page.locator(".merchant bdi").textContent(), value);
      assert.equal(await page.locator("dd bdi").first().textContent(), value);
      assert.equal(await page.locator("img").count(), 0);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `${overflow} px wider than its window`);
      assert.deepEqual(page.faults, []);
      await page.context().close();
    });
  }
});
