// Several servers of one deployment: one PostgreSQL, one key for the links.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { after, before, test } from "node:test";
import { launch } from "./browser.mjs";
import { startPostgres } from "./postgres.mjs";
import { start } from "./waypost.mjs";

let postgres;
let servers;
let browser;
const directory = mkdtempSync(`${tmpdir()}/waypost-browser-`);

before(async () => {
  const key = `${directory}/key`;
  writeFileSync(key, randomBytes(32).toString("base64"));
  postgres = await startPostgres();
  const deployment = ["--store", postgres.url, "--page-key-file", key];
  // One after the other, as the first one lays out the database.
  servers = [await start(...deployment, "--migrate"), await start(...deployment)];
  browser = await launch();
});

after(async () => {
  await browser?.close();
  for (const server of servers ?? []) await server.stop();
  await postgres?.stop();
  rmSync(directory, { recursive: true });
});

test("a pending page turns within a second of RecordOutcome sent to another server", async () => {
  const [one, other] = servers;
  const turns = [];
  for (let round = 0; round < 5; round += 1) {
    const session = await one.create("order");
    await one.record(session.session_id, "pending");
    const page = await browser.open(session.page_url);
    assert.equal(await page.locator("h1").textContent(), "Payment pending");
    // The page listens before the outcome comes, as one that has been open for a while does.
    await page.waitForFunction(() => events.readyState === EventSource.OPEN);
    const began = Date.now();
    await other.record(session.session_id, "success");
    await page.locator("h1", { hasText: "Payment complete" }).waitFor({ timeout: 10_000 });
    turns.push(Date.now() - began);
    assert.deepEqual(page.faults, []);
    await page.context().close();
  }
  console.log(`with two servers on PostgreSQL the page turned after ${turns.join(", ")} ms`);
  assert.ok(Math.max(...turns) < 1_000, `${turns} ms`);
});

test("any of them opens a link", async () => {
  const [one, other] = servers;
  const session = await one.create("payment");
  await one.record(session.session_id, "success");
  const page = await browser.open(session.page_url.replace(one.pages, other.pages));
  assert.equal(await page.locator("h1").textContent(), "Payment complete");
  await page.context().close();
});
