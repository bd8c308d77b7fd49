"""clients/service-config.json, as grpcio takes it: against a server that fails in chosen ways it repeats what is safe."""

import collections
import concurrent.futures
import json
import threading
import time

import grpc
import pytest
from clients import CALL_SECONDS, MERCHANT, REDIRECT, PythonClient
from google.protobuf import descriptor_pool
from running_server import REPOSITORY

CONFIG = (REPOSITORY / "clients" / "service-config.json").read_text()
OPTIONS = [("grpc.service_config", CONFIG)]

# Nothing comes back.
SILENCE = (None, None)


class FailingServer(grpc.GenericRpcHandler):
    """Answers each call with the next of `faults`, and with an empty message when there is none left."""

    def __init__(self):
        self.faults = collections.deque()
        self.over = threading.Event()
        self.seen = []

    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(lambda request, context: self._answer(details.method, context))

    def _answer(self, method, context):
        self.seen.append((method, time.monotonic()))
        if self.faults:
            code, pushback = self.faults.popleft()
            if code is None:
                self.over.wait(CALL_SECONDS)
                return b""
            if pushback is not None:
                context.set_trailing_metadata([("grpc-retry-pushback-ms", str(pushback))])
            context.abort(code, "as the test wants it")
        return b""


@pytest.fixture
def failing():
    handler = FailingServer()
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers([handler])
    handler.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield handler
    handler.over.set()
    server.stop(None).wait()


@pytest.fixture
def caller(failing, stubs):
    with grpc.insecure_channel(failing.address, OPTIONS) as channel:
        yield PythonClient(channel, descriptor_pool.Default())


def call(caller, method, timeout=CALL_SECONDS):
    descriptor = caller._descriptor(method)
    return caller._send(descriptor, caller._message(descriptor, {}), timeout)


REPEATED = [
    f"{name['service']}/{name['method']}"
    for entry in json.loads(CONFIG)["methodConfig"]
    if "retryPolicy" in entry
    for name in entry["name"]
    if name["service"] in (REDIRECT, MERCHANT)
]


@pytest.mark.parametrize("method", REPEATED)
def test_what_is_safe_to_repeat_is_repeated(failing, caller, method):
    failing.faults.extend([(grpc.StatusCode.UNAVAILABLE, None), (grpc.StatusCode.RESOURCE_EXHAUSTED, 1)])
    call(caller, method)
    assert [seen for seen, _ in failing.seen] == [f"/{method}"] * 3


def test_attempts_are_bounded(failing, caller):
    failing.faults.extend([(grpc.StatusCode.UNAVAILABLE, 1)] * 10)
    with pytest.raises(grpc.RpcError) as failed:
        call(caller, f"{REDIRECT}/GetSession")
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
    assert len(failing.seen) == 4


def test_a_server_that_says_when_is_not_asked_earlier(failing, caller):
    failing.faults.append((grpc.StatusCode.RESOURCE_EXHAUSTED, 500))
    call(caller, f"{REDIRECT}/GetSession")
    (_, first), (_, second) = failing.seen
    assert second - first >= 0.45


def test_what_the_server_says_is_no_use_is_not_repeated(failing, caller):
    failing.faults.append((grpc.StatusCode.RESOURCE_EXHAUSTED, -1))
    with pytest.raises(grpc.RpcError):
        call(caller, f"{REDIRECT}/CreatePayment")
    assert len(failing.seen) == 1


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.ALREADY_EXISTS, grpc.StatusCode.NOT_FOUND]
)
def test_what_cannot_go_well_is_not_repeated(failing, caller, code):
    failing.faults.append((code, None))
    with pytest.raises(grpc.RpcError):
        call(caller, f"{REDIRECT}/CreatePayment")
    assert len(failing.seen) == 1


def test_an_update_is_not_repeated(failing, caller):
    failing.faults.append((grpc.StatusCode.UNAVAILABLE, None))
    with pytest.raises(grpc.RpcError):
        call(caller, f"{MERCHANT}/UpdateMerchant")
    assert len(failing.seen) == 1


def test_calls_without_a_deadline_get_that_of_the_file(failing, stubs):
    assert '"timeout": "10s"' in CONFIG
    shorter = [("grpc.service_config", CONFIG.replace('"timeout": "10s"', '"timeout": "0.2s"'))]
    failing.faults.append(SILENCE)
    with grpc.insecure_channel(failing.address, shorter) as channel:
        with pytest.raises(grpc.RpcError) as failed:
            call(PythonClient(channel, descriptor_pool.Default()), f"{REDIRECT}/GetSession", timeout=None)
    assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_the_server_tells_retries_what_it_tells_people(server, stubs):
    with grpc.insecure_channel(server.address, OPTIONS) as channel:
        client = PythonClient(channel, descriptor_pool.Default())
        descriptor = client._descriptor(f"{REDIRECT}/CreatePayment")
        message = client._message(descriptor, {"merchant_id": "m", "redirect_url": "x" * 300 * 1024})
        with pytest.raises(grpc.RpcError) as failed:
            client._send(descriptor, message, CALL_SECONDS)
    assert failed.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert ("grpc-retry-pushback-ms", "-1") in list(failed.value.trailing_metadata())
