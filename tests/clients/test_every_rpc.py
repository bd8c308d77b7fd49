"""Every method answers every client: stubs, reflection v1 and v1alpha, and buf curl."""

import pytest
from clients import MERCHANT, REDIRECT, CallFailed, ReflectionClient

SEED_OF = {"CreateCheckout": "clover_checkout", "CreateOrder": "mercado_pago_order", "CreatePayment": "bitgpt_payment"}
KIND_OF = {"CreateCheckout": "KIND_CHECKOUT", "CreateOrder": "KIND_ORDER", "CreatePayment": "KIND_PAYMENT"}


def create(method):
    def check(client, seed, merchant_id):
        answer = client.call(f"{REDIRECT}/{method}", seed(SEED_OF[method]))
        assert answer["session"]["kind"] == KIND_OF[method]
        assert answer["session"]["merchant_id"] == merchant_id
        assert "outcome" not in answer["session"]
        assert "replayed" not in answer

    return check


def get_session(client, seed, merchant_id):
    session = client.call(f"{REDIRECT}/CreatePayment", seed("bitgpt_payment"))["session"]
    assert client.call(f"{REDIRECT}/GetSession", {"session_id": session["session_id"]}) == {"session": session}


def record_outcome(client, seed, merchant_id):
    session = client.call(f"{REDIRECT}/CreatePayment", seed("bitgpt_payment"))["session"]
    report = {"session_id": session["session_id"], "outcome": "OUTCOME_FAILURE", "error_code": "card_declined"}
    answer = client.call(f"{REDIRECT}/RecordOutcome", report)
    assert answer["applied"] is True
    assert answer["session"]["outcome"] == "OUTCOME_FAILURE"
    assert answer["session"]["error_code"] == "card_declined"


def resolve_redirect(client, seed, merchant_id):
    session = client.call(f"{REDIRECT}/CreateCheckout", seed("clover_checkout"))["session"]
    question = {"session_id": session["session_id"], "outcome": "OUTCOME_SUCCESS", "explain": True}
    redirect = client.call(f"{REDIRECT}/ResolveRedirect", question)["redirect"]
    assert redirect["url"] == "https://www.checkout-example.com/"
    assert redirect["action"] == "ACTION_REDIRECT"
    fates = [(candidate["source"], candidate["fate"]) for candidate in redirect["candidates"]]
    assert fates == [("SOURCE_MERCHANT_SETTINGS", "FATE_EMPTY"), ("SOURCE_REQUEST", "FATE_CHOSEN")]


def resolve_redirects(client, seed, merchant_id):
    session = client.call(f"{REDIRECT}/CreateCheckout", seed("clover_checkout"))["session"]
    question = {"session_id": session["session_id"], "outcome": "OUTCOME_SUCCESS"}
    answer = client.call(f"{REDIRECT}/ResolveRedirects", {"correlation_id": 5, "resolve": question})
    assert answer["correlation_id"] == "5", "JSON has 64 bits as text"
    assert answer["redirect"]["url"] == "https://www.checkout-example.com/"


def preview_redirects(client, seed, merchant_id):
    answer = client.call(f"{REDIRECT}/PreviewRedirects", {"create_order": seed("mercado_pago_order")})
    outcomes = [redirect["outcome"] for redirect in answer["redirects"]]
    assert outcomes == [f"OUTCOME_{name}" for name in ("SUCCESS", "FAILURE", "CANCEL", "PENDING", "EXPIRED")]
    assert answer["max_url_length"] > len("https://www.your-site.com/success")


def watch_session(client, seed, merchant_id):
    session = client.call(f"{REDIRECT}/CreatePayment", seed("bitgpt_payment"))["session"]
    client.call(f"{REDIRECT}/RecordOutcome", {"session_id": session["session_id"], "outcome": "OUTCOME_SUCCESS"})
    # Success is final, so the stream ends after this.
    watched = client.call(f"{REDIRECT}/WatchSession", {"session_id": session["session_id"]})
    assert watched["session"]["outcome"] == "OUTCOME_SUCCESS"


def verify_return(client, seed, merchant_id):
    answer = client.call(f"{REDIRECT}/VerifyReturn", {"merchant_id": merchant_id, "url": "https://shop.example.com/paid"})
    assert answer == {"verdict": "VERDICT_MISSING"}


def get_merchant(client, seed, merchant_id):
    merchant = client.call(f"{MERCHANT}/GetMerchant", {"merchant_id": merchant_id})["merchant"]
    assert merchant["merchant_id"] == merchant_id
    assert merchant["precedence"] == "PRECEDENCE_SETTINGS_FIRST"
    assert merchant["auto_return_delay"] == "5s"


def update_merchant(client, seed, merchant_id):
    merchant = {"merchant_id": merchant_id, "name": "Tienda Ñandú", "auto_return_delay": "1.500s"}
    answer = client.call(f"{MERCHANT}/UpdateMerchant", {"merchant": merchant, "update_mask": "name"})
    assert answer["merchant"]["name"] == "Tienda Ñandú"
    assert answer["merchant"]["auto_return_delay"] == "5s", "the mask names only the name"


# A method that is new in the protos needs a line here: the first test below says so.
EVERY_RPC = {
    f"{REDIRECT}/CreateCheckout": create("CreateCheckout"),
    f"{REDIRECT}/CreateOrder": create("CreateOrder"),
    f"{REDIRECT}/CreatePayment": create("CreatePayment"),
    f"{REDIRECT}/GetSession": get_session,
    f"{REDIRECT}/RecordOutcome": record_outcome,
    f"{REDIRECT}/ResolveRedirect": resolve_redirect,
    f"{REDIRECT}/ResolveRedirects": resolve_redirects,
    f"{REDIRECT}/PreviewRedirects": preview_redirects,
    f"{REDIRECT}/WatchSession": watch_session,
    f"{REDIRECT}/VerifyReturn": verify_return,
    f"{MERCHANT}/GetMerchant": get_merchant,
    f"{MERCHANT}/UpdateMerchant": update_merchant,
}


def test_no_method_is_left_out(client):
    assert client.methods() == sorted(EVERY_RPC)


@pytest.mark.parametrize("method", EVERY_RPC)
def test_every_method_answers_every_client(client, method, seed, merchant_id):
    EVERY_RPC[method](client, seed, merchant_id)


def test_every_client_reads_the_details_of_an_error(client, merchant_id):
    with pytest.raises(CallFailed) as failed:
        client.call(f"{REDIRECT}/CreateOrder", {"merchant_id": merchant_id, "total_amount": "1.005"})
    assert failed.value.code == "invalid_argument"
    assert failed.value.reason == "INVALID_FIELD"
    assert set(failed.value.violations) == {"type", "total_amount"}


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_lists_the_services(channel, version):
    services = ReflectionClient(channel, version).services()
    assert {REDIRECT, MERCHANT, "grpc.health.v1.Health"} <= set(services)
