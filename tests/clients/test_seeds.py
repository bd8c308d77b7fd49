"""The providers' own JSON bodies, verbatim but for a merchant and an idempotency key, go where their documents say."""

import re

import pytest
from clients import MERCHANT, REDIRECT, CallFailed

UUID_7 = "[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
EVERY_OUTCOME = [f"OUTCOME_{name}" for name in ("SUCCESS", "FAILURE", "CANCEL", "PENDING", "EXPIRED")]


def create(client, method, body):
    """The id of a new session."""
    return client.call(f"{REDIRECT}/{method}", body)["session"]["session_id"]


def record(client, session_id, outcome, **more):
    """Records how a session ended."""
    client.call(f"{REDIRECT}/RecordOutcome", {"session_id": session_id, "outcome": outcome, **more})


def resolve(client, session_id, **more):
    """Where the buyer of a session goes."""
    return client.call(f"{REDIRECT}/ResolveRedirect", {"session_id": session_id, **more})["redirect"]


def update_merchant(client, merchant_id, **settings):
    """Changes a merchant's settings."""
    client.call(f"{MERCHANT}/UpdateMerchant", {"merchant": {"merchant_id": merchant_id, **settings}})


# BitGPT


def test_bitgpts_full_example_gives_exactly_the_url_of_its_document(client, seed):
    invoice = create(client, "CreatePayment", seed("bitgpt_payment"))
    assert re.fullmatch(f"invoice_{UUID_7}", invoice)
    record(client, invoice, "OUTCOME_SUCCESS")
    redirect = resolve(client, invoice)
    assert redirect == {
        "outcome": "OUTCOME_SUCCESS",
        "action": "ACTION_REDIRECT",
        "url": (
            f"https://example.com/redirect?id={invoice}&metadata-value-spaced=custom-value-2"
            "&metadata-value-normal=custom-value-1&item=PAYMENT_INTENT"
        ),
        "source": "SOURCE_REQUEST",
    }


@pytest.mark.parametrize("outcome", EVERY_OUTCOME)
def test_bitgpts_one_url_serves_every_outcome(stub_client, seed, outcome):
    invoice = create(stub_client, "CreatePayment", seed("bitgpt_payment"))
    redirect = resolve(stub_client, invoice, outcome=outcome)
    assert redirect["url"].startswith(f"https://example.com/redirect?id={invoice}&")
    assert redirect["action"] == "ACTION_REDIRECT"


def test_bitgpts_unknown_field_stays_as_it_is_written(stub_client, seed):
    url = "https://example.com/r?a={{unknown_field}}&b={{id}}"
    invoice = create(stub_client, "CreatePayment", seed("bitgpt_payment") | {"redirect_url": url})
    redirect = resolve(stub_client, invoice, outcome="OUTCOME_SUCCESS")
    assert redirect["url"] == f"https://example.com/r?a={{{{unknown_field}}}}&b={invoice}"
    assert redirect["unresolved_placeholders"] == ["{{unknown_field}}"]


# Mercado Pago


def order_url(slot, payment_id, status, order):
    return (
        f"https://www.your-site.com/{slot}?payment_id={payment_id}&status={status}"
        f"&external_reference=order_pro_123&order_id={order}"
    )


def test_mercado_pagos_approved_order_returns_by_itself_with_its_four_parameters(client, seed):
    order = create(client, "CreateOrder", seed("mercado_pago_order"))
    assert re.fullmatch(f"order_{UUID_7}", order)
    record(client, order, "OUTCOME_SUCCESS", payment_id="123456789")
    assert resolve(client, order) == {
        "outcome": "OUTCOME_SUCCESS",
        "action": "ACTION_DELAYED_REDIRECT",
        "url": order_url("success", "123456789", "approved", order),
        "delay": "5s",
        "source": "SOURCE_REQUEST",
    }


@pytest.mark.parametrize(
    "outcome, slot, status",
    [
        ("OUTCOME_FAILURE", "failure", "rejected"),
        ("OUTCOME_PENDING", "pending", "pending"),
        # Mercado Pago sends leavers to the failure URL, and writes what there is not as `null`.
        ("OUTCOME_CANCEL", "failure", "null"),
        ("OUTCOME_EXPIRED", "failure", "null"),
    ],
)
def test_mercado_pagos_other_outcomes_wait_for_the_buyer_to_press_the_button(stub_client, seed, outcome, slot, status):
    order = create(stub_client, "CreateOrder", seed("mercado_pago_order"))
    record(stub_client, order, outcome)
    assert resolve(stub_client, order) == {
        "outcome": outcome,
        "action": "ACTION_SHOW_PAGE",
        "url": order_url(slot, "null", status, order),
        "source": "SOURCE_REQUEST",
    }


def test_mercado_pagos_voucher_is_pending_and_paid_later(stub_client, seed):
    order = create(stub_client, "CreateOrder", seed("mercado_pago_order"))
    record(stub_client, order, "OUTCOME_PENDING", payment_id="123456789", status="pending")
    assert resolve(stub_client, order)["url"] == order_url("pending", "123456789", "pending", order)
    record(stub_client, order, "OUTCOME_SUCCESS")
    assert resolve(stub_client, order)["url"] == order_url("success", "123456789", "approved", order)


# Clover


@pytest.mark.parametrize(
    "seed_name, url",
    [
        ("clover_checkout", "https://www.checkout-example.com/"),
        ("clover_checkout_older", "https://www.merchant.com/"),
    ],
)
def test_clovers_bodies_send_the_buyer_to_the_merchant(client, seed, seed_name, url):
    checkout = create(client, "CreateCheckout", seed(seed_name))
    assert re.fullmatch(f"checkout_{UUID_7}", checkout)
    record(client, checkout, "OUTCOME_SUCCESS")
    assert resolve(client, checkout) == {
        "outcome": "OUTCOME_SUCCESS",
        "action": "ACTION_REDIRECT",
        "url": url,
        "source": "SOURCE_REQUEST",
    }


# The URLs of the table in Clover's newer document.
CLOVERS_URLS = {
    "success": "https://checkout-example.com/success?session_id={CHECKOUT_SESSION_ID}",
    "failure": "https://checkout-example.com/failure?error_code={ERROR_CODE}",
    "cancel": "https://checkout-example.com/cancel",
}


def test_clovers_placeholders_are_filled_in_its_three_slots(stub_client, seed):
    checkout = create(stub_client, "CreateCheckout", seed("clover_checkout") | {"redirectUrls": CLOVERS_URLS})
    for report, url in [
        ({"outcome": "OUTCOME_CANCEL"}, "https://checkout-example.com/cancel"),
        ({"outcome": "OUTCOME_FAILURE"}, "https://checkout-example.com/failure?error_code="),
        (
            {"outcome": "OUTCOME_FAILURE", "error_code": "card declined"},
            "https://checkout-example.com/failure?error_code=card%20declined",
        ),
        ({"outcome": "OUTCOME_SUCCESS"}, f"https://checkout-example.com/success?session_id={checkout}"),
    ]:
        record(stub_client, checkout, **report)
        assert resolve(stub_client, checkout)["url"] == url


def test_clovers_buyer_who_left_before_anything_was_recorded_goes_to_cancel(stub_client, seed):
    checkout = create(stub_client, "CreateCheckout", seed("clover_checkout") | {"redirectUrls": CLOVERS_URLS})
    redirect = resolve(stub_client, checkout)
    assert (redirect["outcome"], redirect["url"]) == ("OUTCOME_CANCEL", CLOVERS_URLS["cancel"])


def test_clovers_dashboard_comes_before_the_request_slot_by_slot(stub_client, seed, merchant_id):
    update_merchant(stub_client, merchant_id, return_urls={"success": "https://www.dashboard.example.com/thanks"})
    body = seed("clover_checkout") | {"redirectUrls": CLOVERS_URLS}
    created = stub_client.call(f"{REDIRECT}/CreateCheckout", body)
    overridden = [n["field"] for n in created["notices"] if n["code"] == "CODE_OVERRIDDEN_BY_SETTINGS"]
    assert overridden == ["redirect_urls.success"]
    checkout = created["session"]["session_id"]
    success = resolve(stub_client, checkout, outcome="OUTCOME_SUCCESS")
    assert success["url"] == "https://www.dashboard.example.com/thanks"
    assert success["source"] == "SOURCE_MERCHANT_SETTINGS"
    cancel = resolve(stub_client, checkout, outcome="OUTCOME_CANCEL")
    assert (cancel["url"], cancel["source"]) == (CLOVERS_URLS["cancel"], "SOURCE_REQUEST")


def test_request_first_turns_clovers_order_around(stub_client, seed, merchant_id):
    settings = {"success": "https://www.dashboard.example.com/thanks"}
    update_merchant(stub_client, merchant_id, return_urls=settings, precedence="PRECEDENCE_REQUEST_FIRST")
    checkout = create(stub_client, "CreateCheckout", seed("clover_checkout"))
    redirect = resolve(stub_client, checkout, outcome="OUTCOME_SUCCESS")
    assert (redirect["url"], redirect["source"]) == ("https://www.checkout-example.com/", "SOURCE_REQUEST")


def test_a_checkout_without_a_success_url_shows_the_hosted_page(client, seed):
    body = seed("clover_checkout")
    del body["redirectUrls"]
    created = client.call(f"{REDIRECT}/CreateCheckout", body)
    assert {"CODE_NO_URL"} == {notice["code"] for notice in created["notices"]}
    redirect = resolve(client, created["session"]["session_id"], outcome="OUTCOME_SUCCESS")
    assert redirect["action"] == "ACTION_SHOW_PAGE"
    assert redirect["source"] == "SOURCE_HOSTED_PAGE"
    assert "url" not in redirect


def test_clovers_http_url_is_refused(stub_client, seed):
    urls = CLOVERS_URLS | {"success": "http://www.checkout-example.com/"}
    with pytest.raises(CallFailed) as failed:
        create(stub_client, "CreateCheckout", seed("clover_checkout") | {"redirectUrls": urls})
    assert set(failed.value.violations) == {"redirect_urls.success"}
