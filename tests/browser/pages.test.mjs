// Every kind and outcome in a real browser: where it lands, what it shows, and what it never does.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { WINDOWS, checkAccessibility, launch, show, turn } from "./browser.mjs";
import { HOSTILE, repeated } from "./hostile.mjs";
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

describe("where the buyer lands", { concurrency: 4 }, () => {
  for (const kind of ["checkout", "payment"]) {
    for (const outcome of OUTCOMES) {
      test(`${kind} ${outcome}: at once, at the URL that ResolveRedirect answers`, async (t) => {
        const session = await ended(kind, outcome, withUrls(kind));
        const { url } = await waypost.resolve(session.session_id);
        const page = await browser.open(t, session.page_url);
        assert.equal(page.url(), url);
        assert.equal(new URL(url).searchParams.get("own"), "a b");
      });
    }
  }

  const params = { success: "approved", failure: "rejected", pending: "pending", cancel: "null", expired: "null" };
  for (const outcome of OUTCOMES) {
    for (const scripts of ["on", "off"]) {
      test(`order ${outcome}, scripts ${scripts}: by the button, with the provider's parameters`, async (t) => {
        const session = await ended("order", outcome, { ...withUrls("order"), merchant_id: "slow" });
        const page = await browser.open(t, session.page_url, { scripts });
        await page.getByRole("link", { name: "Return to site" }).click();
        await page.waitForURL("https://shop.example.com/**");
        const landed = new URL(page.url());
        assert.equal(landed.pathname, `/${outcome}`);
        assert.deepEqual(Object.fromEntries(landed.searchParams), {
          own: "a b", payment_id: "98231-4471", status: params[outcome], external_reference: "A-17", order_id: session.session_id,
        });
      });

      test(`order ${outcome} with auto_return all, scripts ${scripts}: by itself`, async (t) => {
        const request = withUrls("order");
        request.checkout_pro.auto_return = "all";
        const session = await ended("order", outcome, { ...request, merchant_id: "quick" });
        const page = await browser.open(t, session.page_url, { scripts });
        await page.waitForURL("https://shop.example.com/**");
        assert.equal(new URL(page.url()).pathname, `/${outcome}`);
      });
    }
  }
});

// Most of these wait, which they do together.
describe("the countdown", { concurrency: true }, () => {
  for (const scripts of ["on", "off"]) {
    test(`shows every second that is left, scripts ${scripts}`, async (t) => {
      const session = await ended("order", "success", { ...withUrls("order"), merchant_id: "slow" });
      const page = await browser.open(t, session.page_url, { scripts });
      assert.ok(await page.locator(".count").isVisible());
      const left = () => page.locator(".count").evaluate((count) => Number(getComputedStyle(count, "::before").getPropertyValue("--left")));
      // It runs by itself.
      const first = await left();
      while ((await left()) >= first) await setTimeout(50);
      // What it shows is asked on its own clock, which does not care how busy the machine is.
      const shown = await page.evaluate(() => {
        const count = document.querySelector(".count");
        const animation = document.getAnimations().find(({ animationName }) => animationName === "count");
        animation.pause();
        return Array.from({ length: 41 }, (_, second) => {
          animation.currentTime = second * 1_000;
          return Number(getComputedStyle(count, "::before").getPropertyValue("--left"));
        });
      });
      assert.deepEqual(shown, Array.from({ length: 41 }, (_, second) => 40 - second));
    });

    test(`ends at the shop after its time and not before, scripts ${scripts}`, async (t) => {
      const session = await ended("order", "success", withUrls("order"));
      const began = Date.now();
      const page = await browser.open(t, session.page_url, { scripts });
      await page.waitForURL("https://shop.example.com/success**");
      const took = Date.now() - began;
      assert.ok(took >= 5_000, `${took} ms`);
    });
  }

  test("stops for a buyer who stays", async (t) => {
    const slow = await ended("order", "success", { ...withUrls("order"), merchant_id: "slow" });
    const page = await browser.open(t, slow.page_url);
    await page.getByRole("link", { name: "Stay on this page" }).click();
    await page.waitForURL("**/r/*?stay");
    assert.equal(await page.locator(".countdown").count(), 0);
    assert.ok(await page.getByRole("link", { name: "Return to site" }).isVisible());

    const quick = await ended("order", "success", { ...withUrls("order"), merchant_id: "quick" });
    const staying = await browser.open(t, `${quick.page_url}?stay`);
    // Twice the time after which it would have gone.
    await staying.waitForTimeout(2_000);
    assert.equal(await heading(staying), "Payment complete");
  });
});

describe("the page", { concurrency: 4 }, () => {
  test("turns without scripts by a plain refresh", async (t) => {
    const session = await ended("order", "pending");
    const page = await browser.open(t, session.page_url, { scripts: "off" });
    assert.equal(await heading(page), "Payment pending");
    await waypost.record(session.session_id, "success");
    await page.locator("h1", { hasText: "Payment complete" }).waitFor();
  });

  for (const [locale, words] of Object.entries(LANGUAGES)) {
    for (const outcome of OUTCOMES) {
      for (const window of Object.keys(WINDOWS)) {
        test(`${outcome} ${locale} ${window}, light and dark`, async (t) => {
          const session = await ended("order", outcome, { ...withUrls("order"), merchant_id: "slow" });
          const page = await browser.open(t, session.page_url, { window, locale });
          assert.equal(await heading(page), words[outcome]);
          assert.equal(await page.title(), words[outcome]);
          assert.equal(await page.locator("html").getAttribute("lang"), locale.slice(0, 2));
          assert.ok(await page.getByRole("link", { name: words.button }).isVisible());
          for (const colours of ["light", "dark"]) {
            await page.emulateMedia({ colorScheme: colours });
            await show(page, `${outcome}-${locale}-${window}-${colours}`);
            await checkAccessibility(page);
          }
        });
      }
    }
  }

  for (const outcome of OUTCOMES) {
    test(`${outcome} of every kind without a URL has no button`, async (t) => {
      for (const kind of ["checkout", "order", "payment"]) {
        const session = await ended(kind, outcome);
        const page = await browser.open(t, session.page_url);
        assert.equal(await heading(page), LANGUAGES["en-US"][outcome]);
        assert.equal(await page.locator("a").count(), 0);
        await show(page, `${outcome}-${kind}-without-a-url`);
        await checkAccessibility(page);
      }
    });
  }

  test("can be used with the keyboard alone", async (t) => {
    const session = await ended("order", "success", { ...withUrls("order"), merchant_id: "slow" });
    const page = await browser.open(t, `${session.page_url}?stay`);
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Return to site");
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.equal(outline, "solid");
    await page.keyboard.press("Enter");
    await page.waitForURL("https://shop.example.com/success**");
  });

  test("moves nothing for those who asked for less motion", async (t) => {
    const session = await ended("order", "success", { ...withUrls("order"), merchant_id: "slow" });
    const page = await browser.open(t, session.page_url);
    await page.emulateMedia({ reducedMotion: "reduce" });
    assert.ok(await page.locator(".bar").isHidden());
    assert.ok(await page.locator(".count").isVisible());
    const pending = await browser.open(t, (await ended("payment", "pending")).page_url);
    const animation = () => pending.locator(".dots").evaluate((dots) => getComputedStyle(dots).animationName);
    assert.equal(await animation(), "breathe");
    await pending.emulateMedia({ reducedMotion: "reduce" });
    assert.equal(await animation(), "none");
  });

  test("shows a deep link as a button and does not follow it by itself", async (t) => {
    await waypost.merchant({ merchant_id: "app", name: "App", app_schemes: ["com.example.shop"] });
    const request = { merchant_id: "app", checkout_pro: { back_urls: { success: "com.example.shop://paid" } } };
    const page = await browser.open(t, (await ended("order", "success", request)).page_url);
    assert.match(await page.getByRole("link", { name: "Return to site" }).getAttribute("href"), /^com\.example\.shop:\/\/paid\?/);
    assert.equal(await page.locator(".countdown").count(), 0);
  });

  test("of a link that opens nothing is plain", async (t) => {
    const page = await browser.open(t, `${waypost.pages}/r/nothing`);
    assert.equal(await heading(page), "Page not found");
    await show(page, "not-found-en-US-phone-light");
    await checkAccessibility(page);
    // Chromium's own word about the status.
    assert.match(page.faults.shift(), /^console: .* 404 /);
  });

  test("can be opened again from the same link", async (t) => {
    const session = await ended("payment", "pending");
    for (const window of Object.keys(WINDOWS)) {
      const page = await browser.open(t, session.page_url, { window });
      assert.equal(await heading(page), "Payment pending");
    }
  });

  test("of nobody who was heard of claims nothing", async (t) => {
    const session = await waypost.create("payment");
    const page = await browser.open(t, session.page_url);
    assert.equal(await heading(page), "No payment yet");
    await show(page, "open-en-US-phone-light");
    await checkAccessibility(page);
    await waypost.record(session.session_id, "pending");
    await page.locator("h1", { hasText: "Payment pending" }).waitFor();
  });

  test("goes on to the shop when it has a URL, in every browser that waits", async (t) => {
    // No URL for pending, so that the page shows; one for success.
    const session = await ended("checkout", "pending", { redirect_urls: { success: "https://shop.example.com/success" } });
    const pages = await Promise.all(Object.keys(LANGUAGES).map((locale) => browser.open(t, session.page_url, { locale })));
    await waypost.record(session.session_id, "success");
    await Promise.all(pages.map((page) => page.waitForURL("https://shop.example.com/success")));
  });
});

describe("hostile values", { concurrency: 4 }, () => {
  for (const [index, value] of HOSTILE.entries()) {
    const name = JSON.stringify(value).slice(0, 40);
    const metadata = { fields: { long: { stringValue: repeated(value, 10_000) }, [value]: { stringValue: value }, note: { stringValue: value } } };

    test(`show as text: ${name}`, async (t) => {
      await waypost.merchant({ merchant_id: `hostile-${index}`, name: value });
      const session = await waypost.create("order", { merchant_id: `hostile-${index}`, external_reference: value, metadata });
      await waypost.record(session.session_id, "pending", { payment_id: value.repeat(2), error_code: value.slice(0, 30) });
      const page = await browser.open(t, session.page_url);
      assert.equal(await page.title(), "Payment pending");
      assert.equal(await page.locator(".merchant bdi").textContent(), value);
      assert.deepEqual(await page.locator("dd bdi").allTextContents(), [value, value.repeat(2)]);
      assert.equal(await page.locator("img").count(), 0);
      await show(page, `hostile-${index}-phone-light`);
    });

    test(`stay in their parameter: ${name}`, async (t) => {
      const session = await ended("payment", "success", { metadata, redirect_url: "https://shop.example.com/paid?note={{metadata.note}}" });
      const page = await browser.open(t, session.page_url);
      assert.equal(page.url().split("?")[0], "https://shop.example.com/paid");
      assert.deepEqual([...new URL(page.url()).searchParams], [["note", value]]);
    });

    test(`are no reason to strand a buyer when they are too long for a URL: ${name}`, async (t) => {
      const session = await ended("payment", "success", { metadata, redirect_url: "https://shop.example.com/paid?note={{metadata.long}}" });
      const page = await browser.open(t, session.page_url);
      assert.equal(await heading(page), "Payment complete");
    });
  }
});

// Alone: nothing else keeps the machine busy while the second runs.
test("a pending page turns within a second of RecordOutcome and shows how it ended", async (t) => {
  const session = await ended("order", "pending");
  const page = await browser.open(t, session.page_url);
  assert.equal(await heading(page), "Payment pending");
  const turned = await turn(page, "Payment not completed", () => waypost.record(session.session_id, "failure"));
  t.diagnostic(`the page turned ${turned} ms after RecordOutcome was sent`);
  assert.ok(turned < 1_000, `${turned} ms`);
});
