"""The examples for merchants verify what Waypost signs, and refuse every classic forgery; `VerifyReturn` agrees."""

import base64
import dataclasses
import hashlib
import hmac
import json
import subprocess
import sys
import time
import urllib.request

import grpc
import jwt
import pytest
from clients import MERCHANT, REDIRECT, StubClient
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from running_server import BINARY, REPOSITORY, RunningServer

EXAMPLES = REPOSITORY / "examples" / "verify-return"
PROGRAMS = {
    "python": [sys.executable, "-B", EXAMPLES / "python" / "verify_return.py"],
    "node": ["node", EXAMPLES / "node" / "verify-return.mjs"],
    "shell": [EXAMPLES / "shell" / "verify-return"],
}
ISSUER = "https://pay.example.com"

# Long enough for a busy machine to start an interpreter.
EXAMPLE_SECONDS = 60


@dataclasses.dataclass
class Signing:
    """A server that signs returns, its key, and a signed return URL of a session that was paid."""

    client: StubClient
    jwks_url: str
    key: Ed25519PrivateKey
    session_id: str
    url: str

    @property
    def token(self):
        return self.url.partition("return_token=")[2]

    def with_token(self, token):
        return self.url.replace(self.token, token)

    def verdict(self, url, merchant_id="shop"):
        """What Waypost itself says."""
        return self.client.call(f"{REDIRECT}/VerifyReturn", {"merchant_id": merchant_id, "url": url})["verdict"]


@pytest.fixture(scope="module")
def signing(tmp_path_factory, stubs):
    folder = tmp_path_factory.mktemp("signing")
    # One key by OpenSSL's library, which signs, and one of Waypost's own that is published beside it.
    key = Ed25519PrivateKey.generate()
    key_file = folder / "key.pem"
    own = subprocess.run([BINARY, "keygen", "signing"], capture_output=True, check=True).stdout
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + own)
    key_file.chmod(0o600)
    options = ["--signing-key-file", key_file, "--issuer", ISSUER]
    with RunningServer(folder / "log", *options, page_addr="127.0.0.1:0") as server:
        with grpc.insecure_channel(server.address) as channel:
            client = StubClient(channel, stubs)
            session_id, url = paid_order(client)
            yield Signing(client, f"{server.pages}/.well-known/jwks.json", key, session_id, url)


def paid_order(client):
    client.call(f"{MERCHANT}/UpdateMerchant", {"merchant": {"merchant_id": "shop", "sign_returns": True}})
    order = {
        "merchant_id": "shop",
        "type": "online",
        "total_amount": "10.00",
        "external_reference": "Ñandú & \"co\"",
        "checkout_pro": {"back_urls": {"success": "https://shop.example.com/paid?x=1"}},
    }
    session_id = client.call(f"{REDIRECT}/CreateOrder", order)["session"]["session_id"]
    report = {"session_id": session_id, "outcome": "OUTCOME_SUCCESS", "payment_id": "123456789"}
    client.call(f"{REDIRECT}/RecordOutcome", report)
    redirect = client.call(f"{REDIRECT}/ResolveRedirect", {"session_id": session_id})["redirect"]
    return session_id, redirect["url"]


@pytest.fixture(params=PROGRAMS)
def example(request, signing):
    """Every example in turn: a URL goes in, the claims come out, or `None` for a refusal."""

    def run(url, issuer=ISSUER, merchant_id="shop", session_id=signing.session_id):
        command = [*PROGRAMS[request.param], signing.jwks_url, issuer, merchant_id, session_id, url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=EXAMPLE_SECONDS)
        if done.returncode == 0:
            return json.loads(done.stdout)
        assert (done.returncode, done.stdout) == (1, ""), done
        assert "refused: " in done.stderr, done.stderr
        return None

    return run


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def hand_made(header, claims, sign):
    """A token that no library would make."""
    signed = ".".join(base64url(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
    return f"{signed}.{base64url(sign(signed.encode()))}"


def mac(secret):
    return lambda signed: hmac.new(secret, signed, hashlib.sha256).digest()


def forgeries(signing):
    """Names, tokens, and the verdicts that they deserve."""
    header = jwt.get_unverified_header(signing.token)
    claims = jwt.decode(signing.token, options={"verify_signature": False})
    public = signing.key.public_key()
    stranger = Ed25519PrivateKey.generate()
    head, payload, signature = signing.token.split(".")
    better = {**claims, "payment_id": "987654321"}

    def signed_by(key, claims=claims, **more):
        return jwt.encode(claims, key, algorithm="EdDSA", headers={"kid": header["kid"], **more})

    yield "changed claims", f"{head}.{base64url(json.dumps(better).encode())}.{signature}", "ALTERED"
    yield "a signature of zeros", f"{head}.{payload}.{base64url(bytes(64))}", "ALTERED"
    yield "no signature", f"{head}.{payload}.", "ALTERED"
    for name in ("none", "None", "NONE"):
        yield f"alg {name}", hand_made({**header, "alg": name}, better, lambda _: b""), "ALTERED"
        yield f"alg {name}, signed", hand_made({**header, "alg": name}, better, signing.key.sign), "ALTERED"
    for form_name, encoding, form in [
        ("bytes", Encoding.Raw, PublicFormat.Raw),
        ("PEM", Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        ("DER", Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    ]:
        secret = public.public_bytes(encoding, form)
        for alg in ("HS256", "EdDSA"):
            name = f"a MAC under the public key as {form_name}, alg {alg}"
            yield name, hand_made({**header, "alg": alg}, better, mac(secret)), "ALTERED"
    yield "another key under our name", signed_by(stranger, better), "ALTERED"
    yield "another key under its own name", signed_by(stranger, better, kid="mine"), "UNKNOWN_KEY"
    x = base64url(stranger.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": x}
    yield "another key in the header", signed_by(stranger, better, jwk=jwk), "ALTERED"
    yield "critical extensions", hand_made({**header, "crit": ["b64"], "b64": False}, claims, signing.key.sign), "ALTERED"
    # What the right key signed, and is not good all the same.
    expired = {**claims, "iat": int(time.time()) - 1_800, "exp": int(time.time()) - 900}
    yield "expired", hand_made(header, expired, signing.key.sign), "EXPIRED"
    yield "for another merchant", hand_made(header, {**claims, "aud": "other"}, signing.key.sign), "OTHER_MERCHANT"


def test_a_signed_return_is_accepted_and_says_what_was_signed(signing, example):
    claims = example(signing.url)
    assert {name: claims[name] for name in claims.keys() - {"iat", "exp", "jti"}} == {
        "iss": ISSUER,
        "aud": "shop",
        "sub": signing.session_id,
        "outcome": "success",
        "payment_id": "123456789",
        "status": "approved",
        "external_reference": "Ñandú & \"co\"",
    }
    assert claims["exp"] - claims["iat"] == 15 * 60
    assert signing.verdict(signing.url) == "VERDICT_VALID"
    # What trackers add is not our business.
    assert example(f"{signing.url}&utm_source=mail") == claims


def test_forgeries_are_refused(signing, example):
    for name, token, verdict in forgeries(signing):
        url = signing.with_token(token)
        assert example(url) is None, name
        assert signing.verdict(url) == f"VERDICT_{verdict}", name


def test_a_return_without_one_token_is_refused(signing, example):
    bare = "https://shop.example.com/paid?status=approved"
    twice = f"{signing.url}&return_token={signing.token}"
    for url, verdict in [(bare, "MISSING"), (f"{bare}#return_token={signing.token}", "MISSING"), (twice, "ALTERED")]:
        assert example(url) is None, url
        assert signing.verdict(url) == f"VERDICT_{verdict}", url


def test_a_good_token_is_refused_where_it_is_not_for(signing, example):
    assert example(signing.url, merchant_id="other") is None
    assert example(signing.url, issuer="https://evil.example") is None
    assert example(signing.url, session_id="order_01986132-e354-7676-9b4a-fc8dd5c5253e") is None


def test_a_key_set_that_is_not_there_is_no_reason_to_believe_a_token(signing, example, monkeypatch):
    monkeypatch.setattr(signing, "jwks_url", signing.jwks_url.replace("jwks.json", "none.json"))
    assert example(signing.url) is None


def test_a_preview_is_refused(signing, example):
    preview = signing.client.call(f"{REDIRECT}/PreviewRedirects", {"session_id": signing.session_id})
    url = preview["redirects"][0]["url"]
    assert len(url) == len(signing.url)
    assert example(url) is None


def test_the_published_keys_are_all_public(signing):
    with urllib.request.urlopen(signing.jwks_url) as answer:
        assert answer.headers["Content-Type"] == "application/json"
        keys = json.load(answer)["keys"]
    assert [sorted(key) for key in keys] == [["alg", "crv", "kid", "kty", "use", "x"]] * 2
    members = json.dumps({name: keys[0][name] for name in ("crv", "kty", "x")}, separators=(",", ":"))
    assert keys[0]["kid"] == base64url(hashlib.sha256(members.encode()).digest()), "RFC 7638"
