// A running Waypost server, and a gRPC client of it in another language than its own.

import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

const ROOT = new URL("../../", import.meta.url).pathname;
const BINARY = process.env.WAYPOST_BIN ?? `${ROOT}target/debug/waypost`;

const definition = loader.loadSync(
  ["waypost/v1/redirect_service.proto", "waypost/v1/merchant_service.proto"],
  { includeDirs: [`${ROOT}proto`], keepCase: true, enums: String, longs: Number, defaults: true },
);
const { waypost } = grpc.loadPackageDefinition(definition);

/** Starts a server on free ports. */
export async function start(...options) {
  const args = ["serve", "--grpc-addr", "127.0.0.1:0", "--page-addr", "127.0.0.1:0", "--ops-addr", "off", "--log", "error"];
  if (!options.includes("--store")) args.push("--store", "memory:");
  const child = spawn(BINARY, [...args, ...options], { stdio: ["ignore", "pipe", "inherit"] });
  let grpcAddr;
  let pages;
  for await (const line of createInterface({ input: child.stdout })) {
    grpcAddr ??= line.match(/^ {2}gRPC +(\S+)/)?.[1];
    pages ??= line.match(/^ {2}pages +(\S+)/)?.[1];
    if (grpcAddr && pages) break;
  }
  if (!pages) throw new Error(`waypost serve ended before it said where it listens; it is ${BINARY}`);
  child.stdout.resume();
  return new Waypost(child, grpcAddr, pages);
}

export class Waypost {
  constructor(child, grpcAddr, pages) {
    this.child = child;
    this.pages = pages;
    const insecure = grpc.credentials.createInsecure();
    this.redirects = new waypost.v1.RedirectService(grpcAddr, insecure);
    this.merchants = new waypost.v1.MerchantService(grpcAddr, insecure);
  }

  call(service, method, request) {
    return new Promise((resolve, reject) => {
      service[method](request, (error, answer) => (error ? reject(error) : resolve(answer)));
    });
  }

  /** Creates a session, and gives it as the answer has it. */
  async create(kind, request = {}) {
    const bodies = {
      checkout: { customer: { first_name: "Ana" }, shopping_cart: { line_items: [{ name: "Tea", price: 1250, unit_qty: 2 }] } },
      order: { type: "online", total_amount: "1000.00", external_reference: "A-17" },
      payment: { customer_email: "ana@example.com", items: [{ type: "PAYMENT_INTENT", price: "1234.5", currency: "USD" }] },
    };
    const method = { checkout: "CreateCheckout", order: "CreateOrder", payment: "CreatePayment" }[kind];
    return (await this.call(this.redirects, method, { merchant_id: "plain", ...bodies[kind], ...request })).session;
  }

  record(session_id, outcome, details = {}) {
    return this.call(this.redirects, "RecordOutcome", { session_id, outcome: `OUTCOME_${outcome.toUpperCase()}`, ...details });
  }

  async resolve(session_id, request = {}) {
    return (await this.call(this.redirects, "ResolveRedirect", { session_id, ...request })).redirect;
  }

  merchant(merchant) {
    return this.call(this.merchants, "UpdateMerchant", { merchant });
  }

  async stop() {
    this.redirects.close();
    this.merchants.close();
    this.child.kill("SIGTERM");
    await once(this.child, "exit");
  }
}
