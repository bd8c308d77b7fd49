"""One server for all tests, and the clients that are connected to it."""

import importlib
import json
import pathlib
import sys
import sysconfig
import uuid

import grpc
import pytest
from clients import MERCHANT, REDIRECT, BufCurl, ReflectionClient, StubClient
from grpc_tools import protoc
from running_server import REPOSITORY, RunningServer


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A server that all tests share; each has merchants of its own."""
    with RunningServer(tmp_path_factory.mktemp("server") / "log") as server:
        yield server


@pytest.fixture(scope="session")
def stubs(tmp_path_factory):
    """Stub classes by service, generated from proto/ now."""
    folder = tmp_path_factory.mktemp("stubs")
    proto = REPOSITORY / "proto"
    well_known = pathlib.Path(protoc.__file__).parent / "_proto"
    sources = [str(file.relative_to(proto)) for file in sorted(proto.rglob("*.proto"))]
    options = [f"-I{proto}", f"-I{well_known}", f"--python_out={folder}", f"--grpc_python_out={folder}"]
    assert protoc.main(["protoc", *options, *sources]) == 0
    sys.path.insert(0, str(folder))
    return {
        REDIRECT: importlib.import_module("waypost.v1.redirect_service_pb2_grpc").RedirectServiceStub,
        MERCHANT: importlib.import_module("waypost.v1.merchant_service_pb2_grpc").MerchantServiceStub,
    }


@pytest.fixture(scope="session")
def channel(server):
    """A connection to the server."""
    with grpc.insecure_channel(server.address) as channel:
        yield channel


@pytest.fixture(scope="session")
def stub_client(channel, stubs):
    """The client for tests that do not care which client it is."""
    return StubClient(channel, stubs)


CLIENTS = ["generated stubs", "reflection v1", "reflection v1alpha", "buf curl v1", "buf curl v1alpha"]


@pytest.fixture(scope="session", params=CLIENTS)
def client(request, server, channel, stub_client):
    """Every client in turn."""
    match request.param.rsplit(" ", 1):
        case ["reflection", version]:
            return ReflectionClient(channel, version)
        case ["buf curl", version]:
            return BufCurl(pathlib.Path(sysconfig.get_path("scripts")) / "buf", server.address, version)
        case _:
            return stub_client


@pytest.fixture
def merchant_id():
    """A merchant that no other test has."""
    return f"merchant-{uuid.uuid4()}"


@pytest.fixture
def idempotency_key():
    """A key that no other test has."""
    return str(uuid.uuid4())


@pytest.fixture
def seed(merchant_id, idempotency_key):
    """Reads a provider's body verbatim and adds what Waypost asks for: a merchant, and a key."""

    def read(name):
        body = json.loads((REPOSITORY / "tests" / "seeds" / f"{name}.json").read_text())
        return {"merchant_id": merchant_id, "idempotency_key": idempotency_key, **body}

    return read
