"""Verifies the signed return URL that a buyer came back with: Python, PyJWT.

    pip install -r requirements.txt
    python verify_return.py JWKS_URL ISSUER MERCHANT_ID SESSION_ID RETURN_URL

Prints the claims and ends with 0, or says what is wrong and ends with 1.
"""

import json
import sys
from urllib.parse import parse_qs, urlsplit

import jwt


def verify_return(keys, issuer, merchant_id, session_id, return_url):
    """Returns the claims of a return URL, or raises ValueError or jwt.PyJWTError."""
    tokens = parse_qs(urlsplit(return_url).query, keep_blank_values=True).get("return_token", [])
    if len(tokens) != 1:
        raise ValueError(f"{len(tokens)} return tokens, expected 1")
    claims = jwt.decode(
        tokens[0],
        keys.get_signing_key_from_jwt(tokens[0]),
        algorithms=["EdDSA"],  # never what the token itself says
        issuer=issuer,
        audience=merchant_id,
        options={"require": ["iss", "aud", "sub", "iat", "exp", "jti"]},
    )
    # The session that you created for the order that this buyer is paying, from your own records: without this, a buyer
    # could come back with the valid token of another purchase of theirs.
    if claims["sub"] != session_id:
        raise ValueError("the token is for another session")
    return claims


if __name__ == "__main__":
    jwks_url, *expected = sys.argv[1:]
    # Keep this object: it remembers the keys, and asks again when a token names one that it does not know.
    keys = jwt.PyJWKClient(jwks_url, lifespan=300)
    try:
        print(json.dumps(verify_return(keys, *expected)))
    except (ValueError, jwt.PyJWTError) as problem:
        sys.exit(f"refused: {problem}")
