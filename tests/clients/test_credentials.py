"""TLS and credentials, as clients of other languages have them."""

import json
import os
import pathlib
import subprocess
import sysconfig

import grpc
import pytest
from certificates import Authority
from clients import CALL_SECONDS, MERCHANT, CallFailed, StubClient
from running_server import REPOSITORY, RunningServer

GET = f"{MERCHANT}/GetMerchant"
UPDATE = f"{MERCHANT}/UpdateMerchant"
REQUEST = {"merchant_id": "m1"}


def keygen(*options):
    """A new secret, and its entry for the credentials file."""
    binary = os.environ.get("WAYPOST_BIN", REPOSITORY / "target" / "debug" / "waypost")
    made = subprocess.run([binary, "keygen", "credential", *options], check=True, capture_output=True, text=True)
    secret, _, entry = made.stdout.partition("\n")
    return secret, entry


@pytest.fixture(scope="module")
def authority():
    """Vouches for the server and for its clients."""
    return Authority()


@pytest.fixture(scope="module")
def shop():
    """The secret of a credential that may read, and its entry."""
    return keygen("--name", "shop", "--merchant", "m1", "--scope", "read")


@pytest.fixture(scope="module")
def files(authority, shop, tmp_path_factory):
    """A folder with the PEM files and the credentials."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "ca.crt").write_bytes(authority.pem)
    for name, (certificate, key) in {
        "server": authority.server(),
        "client": authority.client("spiffe://example.org/shop"),
    }.items():
        (folder / f"{name}.crt").write_bytes(certificate)
        (folder / f"{name}.key").write_bytes(key)
    identity = '[[credential]]\nname = "mesh"\nidentity = "spiffe://example.org/shop"\n'
    identity += 'merchants = "all"\nscopes = ["read"]\n'
    (folder / "credentials.toml").write_text(shop[1] + identity)
    return folder


def options(files):
    return [
        *("--tls-cert", files / "server.crt", "--tls-key", files / "server.key"),
        *("--credentials-file", files / "credentials.toml"),
    ]


@pytest.fixture(scope="module")
def encrypted(files, tmp_path_factory):
    """A server with TLS that asks for no certificate."""
    with RunningServer(tmp_path_factory.mktemp("encrypted") / "log", *options(files)) as server:
        yield server


@pytest.fixture(scope="module")
def mutual(files, tmp_path_factory):
    """A server that asks for certificates."""
    log = tmp_path_factory.mktemp("mutual") / "log"
    with RunningServer(log, *options(files), "--tls-client-ca", files / "ca.crt") as server:
        yield server


def test_grpcio_shows_a_secret_over_tls(authority, encrypted, shop, stubs):
    tls = grpc.ssl_channel_credentials(authority.pem)
    bearer = grpc.access_token_call_credentials(shop[0])
    with grpc.secure_channel(encrypted.address, grpc.composite_channel_credentials(tls, bearer)) as channel:
        client = StubClient(channel, stubs)
        assert client.call(GET, REQUEST)["merchant"]["merchant_id"] == "m1"
        with pytest.raises(CallFailed) as failed:
            client.call(UPDATE, {"merchant": {"merchant_id": "m1", "name": "N"}})
        assert (failed.value.code, failed.value.reason) == ("permission_denied", "PERMISSION_DENIED")
    with grpc.secure_channel(encrypted.address, tls) as channel, pytest.raises(CallFailed) as failed:
        StubClient(channel, stubs).call(GET, REQUEST)
    assert (failed.value.code, failed.value.reason) == ("unauthenticated", "UNAUTHENTICATED")


def test_grpcio_shows_a_certificate(authority, mutual, files, stubs):
    certificate, key = ((files / name).read_bytes() for name in ("client.crt", "client.key"))
    with grpc.secure_channel(mutual.address, grpc.ssl_channel_credentials(authority.pem, key, certificate)) as channel:
        assert StubClient(channel, stubs).call(GET, REQUEST)["merchant"]["merchant_id"] == "m1"
    with (
        grpc.secure_channel(mutual.address, grpc.ssl_channel_credentials(authority.pem)) as channel,
        pytest.raises(grpc.FutureTimeoutError),
    ):
        grpc.channel_ready_future(channel).result(timeout=2)


def test_buf_curl_shows_a_secret_and_a_certificate(encrypted, mutual, files, shop):
    buf = pathlib.Path(sysconfig.get_path("scripts")) / "buf"
    header = f"authorization: Bearer {shop[0]}"

    def curl(server, *more):
        command = [buf, "curl", "--protocol", "grpc", "--cacert", files / "ca.crt", *more, "--data", json.dumps(REQUEST)]
        url = f"https://{server.address}/{GET}"
        return subprocess.run([*command, url], capture_output=True, text=True, timeout=CALL_SECONDS)

    secret = curl(encrypted, "--header", header, "--reflect-header", header)
    assert json.loads(secret.stdout)["merchant"]["merchantId"] == "m1", secret.stderr
    certificate = curl(mutual, "--cert", files / "client.crt", "--key", files / "client.key")
    assert json.loads(certificate.stdout)["merchant"]["merchantId"] == "m1", certificate.stderr
    assert curl(encrypted).returncode != 0, "without a secret it is not even told the methods"
