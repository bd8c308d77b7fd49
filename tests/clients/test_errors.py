"""Errors are `google.rpc.Status` with details that a client acts on without reading the text."""

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from clients import MERCHANT, REDIRECT, CallFailed

NOBODY = "order_01986132-e354-7676-9b4a-fc8dd5c5253e"


def fail(client, method, request):
    """The error of a call that must fail."""
    with pytest.raises(CallFailed) as failed:
        client.call(method, request)
    return failed.value


def test_all_violations_come_at_once_with_their_proto_paths(stub_client, seed):
    body = seed("clover_checkout") | {
        "merchant_id": "no spaces allowed",
        "ttl": "1s",
        "redirectUrls": {"success": "http://www.checkout-example.com/", "cancel": "https://{{id}}.example.com/"},
        "shoppingCart": {"lineItems": [{"name": "itemA", "price": -1, "unitQty": 1}, {"name": "itemB"}]},
    }
    failed = fail(stub_client, f"{REDIRECT}/CreateCheckout", body)
    assert failed.code == "invalid_argument"
    assert failed.reason == "INVALID_FIELD"
    assert set(failed.violations) == {
        "merchant_id",
        "ttl",
        "redirect_urls.success",
        "redirect_urls.cancel",
        "shopping_cart.line_items[0].price",
        "shopping_cart.line_items[1].unit_qty",
    }
    assert all(failed.violations.values()), "every violation says what is wrong"


def test_a_request_without_anything_names_what_is_required(stub_client):
    failed = fail(stub_client, f"{REDIRECT}/CreatePayment", {})
    assert set(failed.violations) == {"merchant_id", "customer_email", "items"}


def test_auto_return_without_a_success_url_has_its_own_reason(stub_client, seed):
    body = seed("mercado_pago_order")
    del body["checkout_pro"]["back_urls"]["success"]
    failed = fail(stub_client, f"{REDIRECT}/CreateOrder", body)
    assert (failed.code, failed.reason) == ("invalid_argument", "AUTO_RETURN_NEEDS_SUCCESS_URL")
    assert set(failed.violations) == {"checkout_pro.auto_return"}


def test_a_session_that_does_not_exist_is_not_found(stub_client):
    report = {"session_id": NOBODY, "outcome": "OUTCOME_SUCCESS"}
    for method, request in [
        ("GetSession", {"session_id": NOBODY}),
        ("RecordOutcome", report),
        ("ResolveRedirect", {"session_id": NOBODY}),
        ("PreviewRedirects", {"session_id": NOBODY}),
    ]:
        failed = fail(stub_client, f"{REDIRECT}/{method}", request)
        assert (failed.code, failed.reason) == ("not_found", "SESSION_NOT_FOUND"), method


def test_a_stale_etag_is_aborted(stub_client, merchant_id):
    method = f"{MERCHANT}/UpdateMerchant"
    read = stub_client.call(f"{MERCHANT}/GetMerchant", {"merchant_id": merchant_id})["merchant"]["etag"]
    first = {"merchant_id": merchant_id, "name": "first", "etag": read}
    written = stub_client.call(method, {"merchant": first})["merchant"]
    second = {"merchant_id": merchant_id, "name": "second", "etag": read}
    failed = fail(stub_client, method, {"merchant": second})
    assert (failed.code, failed.reason) == ("aborted", "ETAG_MISMATCH")
    stub_client.call(method, {"merchant": second | {"etag": written["etag"]}})


def test_an_unknown_method_is_unimplemented(channel, stub_client):
    call = channel.unary_unary("/waypost.v1.RedirectService/Guess", _registered_method=False)
    with pytest.raises(grpc.RpcError) as failed:
        call(b"", timeout=60)
    error = stub_client.failed(failed.value)
    assert (error.code, error.reason) == ("unimplemented", "METHOD_NOT_FOUND")


def test_bytes_that_are_no_message_are_an_invalid_argument(channel, stub_client):
    call = channel.unary_unary("/waypost.v1.RedirectService/GetSession", _registered_method=False)
    with pytest.raises(grpc.RpcError) as failed:
        call(b"\xff\xff\xff", timeout=60)
    error = stub_client.failed(failed.value)
    assert (error.code, error.reason) == ("invalid_argument", "MALFORMED_MESSAGE")
    assert set(error.violations) == {""}, "no field is known"


def test_a_repeated_key_replays_the_first_answer(client, seed):
    body = seed("mercado_pago_order")
    first = client.call(f"{REDIRECT}/CreateOrder", body)
    assert client.call(f"{REDIRECT}/CreateOrder", body) == first | {"replayed": True}


def test_a_key_with_other_content_already_exists_and_writes_nothing(client, seed):
    body = seed("mercado_pago_order")
    first = client.call(f"{REDIRECT}/CreateOrder", body)
    failed = fail(client, f"{REDIRECT}/CreateOrder", body | {"external_reference": "another"})
    assert (failed.code, failed.reason) == ("already_exists", "IDEMPOTENCY_KEY_REUSED")
    again = client.call(f"{REDIRECT}/CreateOrder", body)
    assert again["session"] == first["session"]


def test_a_refused_request_burns_no_key(stub_client, seed):
    body = seed("bitgpt_payment")
    fail(stub_client, f"{REDIRECT}/CreatePayment", body | {"redirect_url": "http://example.com/"})
    assert "replayed" not in stub_client.call(f"{REDIRECT}/CreatePayment", body)


def test_a_key_belongs_to_one_method(stub_client, seed):
    stub_client.call(f"{REDIRECT}/CreateOrder", seed("mercado_pago_order"))
    assert "replayed" not in stub_client.call(f"{REDIRECT}/CreatePayment", seed("bitgpt_payment"))


def test_calls_that_race_with_one_key_make_one_session(stub_client, seed):
    body = seed("clover_checkout")
    with ThreadPoolExecutor(16) as threads:
        racing = [threads.submit(stub_client.call, f"{REDIRECT}/CreateCheckout", body) for _ in range(64)]
    answers = [call.result() for call in racing]
    assert len({answer["session"]["session_id"] for answer in answers}) == 1
    assert sum("replayed" not in answer for answer in answers) == 1
