// The three calls that the benchmark makes, as a team would write them on grpc-js: sessions in a Map, a regular
// expression, and the WHATWG URL. The argument is the folder of the protos.

import { randomUUID } from "node:crypto";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const definition = loader.loadSync("waypost/v1/redirect_service.proto", {
  includeDirs: [process.argv[2]],
  keepCase: true,
  enums: String,
});
const { RedirectService } = grpc.loadPackageDefinition(definition).waypost.v1;

const PLACEHOLDER = /\{\{\s*(.+?)\s*\}\}/g;
const STEP = /\[([^\]]+)\]|([^.[\]]+)/g;

const sessions = new Map();

/** A google.protobuf.Value as a value of JavaScript. */
function plain(value) {
  if (value.structValue) return plainFields(value.structValue);
  if (value.listValue) return value.listValue.values.map(plain);
  return value.stringValue ?? value.numberValue ?? value.boolValue ?? null;
}

function plainFields(struct) {
  return Object.fromEntries(Object.entries(struct?.fields ?? {}).map(([name, value]) => [name, plain(value)]));
}

/** The value at a path such as `items[0].type`; undefined when there is none. */
function lookUp(root, path) {
  let value = root;
  for (const [, bracketed, name] of path.matchAll(STEP)) {
    if (value === null || typeof value !== "object" || !Object.hasOwn(value, bracketed ?? name)) return undefined;
    value = value[bracketed ?? name];
  }
  return typeof value === "object" ? undefined : value;
}

/** The URL with its placeholders filled, and those that name nothing. */
function fill(template, root) {
  const unresolved = [];
  const url = template.replace(PLACEHOLDER, (placeholder, path) => {
    const value = lookUp(root, path);
    if (value === undefined) {
      unresolved.push(placeholder);
      return placeholder;
    }
    return encodeURIComponent(value);
  });
  return { url, unresolved };
}

function find(call, callback) {
  const session = sessions.get(call.request.session_id);
  if (!session) callback({ code: grpc.status.NOT_FOUND, details: "no such session" });
  return session;
}

function createPayment(call, callback) {
  const session_id = `invoice_${randomUUID()}`;
  const root = { ...call.request, metadata: plainFields(call.request.metadata), id: session_id, kind: "payment" };
  sessions.set(session_id, { root, redirect_url: call.request.redirect_url, outcome: null });
  callback(null, { session: { session_id, merchant_id: call.request.merchant_id } });
}

function recordOutcome(call, callback) {
  const session = find(call, callback);
  if (!session) return;
  session.outcome = call.request.outcome;
  Object.assign(session.root, { payment_id: call.request.payment_id, status: call.request.status });
  callback(null, { applied: true });
}

function resolveRedirect(call, callback) {
  const session = find(call, callback);
  if (!session) return;
  const outcome = call.request.outcome || session.outcome || "OUTCOME_CANCEL";
  const { url, unresolved } = fill(session.redirect_url, session.root);
  const parsed = new URL(url);
  if (parsed.protocol !== "https:" || !parsed.hostname || parsed.username) {
    callback({ code: grpc.status.FAILED_PRECONDITION, details: "the return URL may not be used" });
    return;
  }
  callback(null, {
    redirect: {
      outcome,
      action: "ACTION_REDIRECT",
      url: parsed.href,
      source: "SOURCE_REQUEST",
      unresolved_placeholders: unresolved,
    },
  });
}

const server = new grpc.Server();
server.addService(RedirectService.service, {
  CreatePayment: createPayment,
  RecordOutcome: recordOutcome,
  ResolveRedirect: resolveRedirect,
});
server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  console.log(`gRPC 127.0.0.1:${port}`);
});
