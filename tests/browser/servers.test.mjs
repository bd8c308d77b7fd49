// Several servers of one deployment: one PostgreSQL, one key for the links.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { after, before, test } from "node:test";
import { launch, turn } from "./browser.mjs";
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

test("a pending page turns within a second of RecordOutcome sent to another server", async (t) => {
  const [one, other] = servers;
  const turned = [];
  for (let round = 0; round < 5; round += 1) {
    const session = await one.create("order");
    await one.record(session.session_id, "pending");
    const page = await browser.open(t, session.page_url);
    assert.equal(await page.locator("h1").textContent(), "Payment pending");
    turned.push(await turn(page, "Payment complete", () => other.record(session.session_id, "success")));
  }
  t.diagnostic(`with two servers on PostgreSQL the page turned after ${turned.join(", ")} ms`);
  assert.ok(Math.max(...turned) < 1_000, `${turned} ms`);
});

test("any of them opens a link", async (t) => {
  const [one, other] = servers;
  const session = await one.create("payment");
  await one.record(session.session_id, "success");
  const page = await browser.open(t, session.page_url.replace(one.pages, other.pages));
  assert.equal(await page.locator("h1").textContent(), "Payment complete");
});
