// Creates a payment, records that it was paid, asks where the buyer goes, and handles an error by its reason.
//
//     node first-return.mjs 127.0.0.1:50051
//
// The folder `proto` and the service config are those of Waypost's repository.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { randomUUID } from 'node:crypto';
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';
import protobuf from 'protobufjs';

const repository = fileURLToPath(new URL('../../..', import.meta.url));
const [address] = process.argv.slice(2);

// Deadlines and retries: what is safe to repeat is repeated by gRPC itself.
const options = {
  'grpc.service_config': readFileSync(`${repository}/clients/service-config.json`, 'utf8'),
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 5_000,
};
const definitions = protoLoader.loadSync('waypost/v1/redirect_service.proto', {
  includeDirs: [`${repository}/proto`],
  keepCase: true,
  enums: String,
  defaults: true,
});
const { RedirectService } = grpc.loadPackageDefinition(definitions).waypost.v1;
const redirects = new RedirectService(address, grpc.credentials.createInsecure(), options);

const call = (method, request) =>
  new Promise((resolve, reject) => {
    redirects[method](request, (error, answer) => (error ? reject(error) : resolve(answer)));
  });

// The reason stands in the details of the status, as a google.rpc.ErrorInfo.
const { root } = protobuf.parse(`
  syntax = "proto3";
  message Any { string type_url = 1; bytes value = 2; }
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message ErrorInfo { string reason = 1; string domain = 2; }
`);
function reasonOf(error) {
  const [bytes] = error.metadata?.get('grpc-status-details-bin') ?? [];
  const details = bytes ? root.lookupType('Status').decode(bytes).details : [];
  const info = details.find((detail) => detail.typeUrl.endsWith('google.rpc.ErrorInfo'));
  return info && root.lookupType('ErrorInfo').decode(info.value).reason;
}

const { session } = await call('CreatePayment', {
  merchant_id: 'demo',
  // Makes it safe to repeat: the same key never makes a second session.
  idempotency_key: randomUUID(),
  customer_email: 'ana@example.com',
  items: [{ type: 'PAYMENT_INTENT', price: '50', currency: 'USD' }],
  redirect_url: 'https://shop.example.com/paid?id={{id}}',
});
console.log(`created ${session.session_id}`);

await call('RecordOutcome', { session_id: session.session_id, outcome: 'OUTCOME_SUCCESS', payment_id: '123456789' });

const { redirect } = await call('ResolveRedirect', { session_id: session.session_id });
console.log(`the buyer goes to ${redirect.url}`);

try {
  await call('ResolveRedirect', { session_id: 'invoice_01986132-e354-7676-9b4a-fc8dd5c5253e' });
} catch (error) {
  if (reasonOf(error) !== 'SESSION_NOT_FOUND') throw error;
  console.log('there is no such session: SESSION_NOT_FOUND');
}
redirects.close();
