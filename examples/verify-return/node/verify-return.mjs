// Verifies the signed return URL that a buyer came back with: Node.js, jose.
//
//     npm install
//     node verify-return.mjs JWKS_URL ISSUER MERCHANT_ID SESSION_ID RETURN_URL
//
// Prints the claims and ends with 0, or says what is wrong and ends with 1.

import { createRemoteJWKSet, jwtVerify } from 'jose';

/** Returns the claims of a return URL, or throws. */
export async function verifyReturn(keys, issuer, merchantId, sessionId, returnUrl) {
  const tokens = new URL(returnUrl).searchParams.getAll('return_token');
  if (tokens.length !== 1) {
    throw new Error(`${tokens.length} return tokens, expected 1`);
  }
  const { payload } = await jwtVerify(tokens[0], keys, {
    algorithms: ['EdDSA'], // never what the token itself says
    issuer,
    audience: merchantId,
    requiredClaims: ['sub', 'iat', 'exp', 'jti'],
  });
  // The session that you created for the order that this buyer is paying, from your own records: without this, a buyer
  // could come back with the valid token of another purchase of theirs.
  if (payload.sub !== sessionId) {
    throw new Error('the token is for another session');
  }
  return payload;
}

const [jwksUrl, ...expected] = process.argv.slice(2);
// Keep this object: it remembers the keys, and asks again when a token names one that it does not know.
const keys = createRemoteJWKSet(new URL(jwksUrl), { cacheMaxAge: 300_000 });
try {
  console.log(JSON.stringify(await verifyReturn(keys, ...expected)));
} catch (problem) {
  console.error(`refused: ${problem.message}`);
  process.exitCode = 1;
}
