"""`ResolveRedirect` with `wait`: the buyer is back before the provider's notification."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from clients import REDIRECT, CallFailed

# The longest that a request may ask for. The tests end long before.
LONGEST_WAIT = 30


@pytest.fixture
def open_checkout(stub_client, seed):
    """The id of a session with no outcome."""
    return stub_client.call(f"{REDIRECT}/CreateCheckout", seed("clover_checkout"))["session"]["session_id"]


def resolve(client, session_id, wait, timeout=60):
    """Where the buyer goes, after waiting for an outcome."""
    question = {"session_id": session_id, "wait": f"{wait}s"}
    return client.call(f"{REDIRECT}/ResolveRedirect", question, timeout=timeout)["redirect"]


def test_waiting_calls_return_as_soon_as_the_outcome_is_recorded(stub_client, open_checkout):
    begun = time.monotonic()
    with ThreadPoolExecutor(8) as threads:
        waiting = [threads.submit(resolve, stub_client, open_checkout, LONGEST_WAIT) for _ in range(8)]
        # This goes out on the same connection, so most of those above wait by the time it is back.
        assert resolve(stub_client, open_checkout, 0.2)["outcome"] == "OUTCOME_CANCEL"
        assert not any(call.done() for call in waiting)
        report = {"session_id": open_checkout, "outcome": "OUTCOME_SUCCESS"}
        stub_client.call(f"{REDIRECT}/RecordOutcome", report)
        outcomes = {call.result()["outcome"] for call in waiting}
    assert outcomes == {"OUTCOME_SUCCESS"}
    assert time.monotonic() - begun < LONGEST_WAIT / 2


def test_a_wait_for_nothing_ends_in_cancel_after_the_time_asked_for(stub_client, open_checkout):
    begun = time.monotonic()
    assert resolve(stub_client, open_checkout, 0.3)["outcome"] == "OUTCOME_CANCEL"
    assert time.monotonic() - begun >= 0.3


def test_a_recorded_outcome_is_not_waited_for(stub_client, open_checkout):
    stub_client.call(f"{REDIRECT}/RecordOutcome", {"session_id": open_checkout, "outcome": "OUTCOME_PENDING"})
    begun = time.monotonic()
    assert resolve(stub_client, open_checkout, LONGEST_WAIT)["outcome"] == "OUTCOME_PENDING"
    assert time.monotonic() - begun < LONGEST_WAIT / 2


def test_waiting_ends_in_time_for_the_callers_deadline(stub_client, open_checkout):
    # A machine may be too busy to bring the answer through in the last moments before a deadline; not five times.
    for _ in range(5):
        try:
            assert resolve(stub_client, open_checkout, LONGEST_WAIT, timeout=2)["outcome"] == "OUTCOME_CANCEL"
            return
        except CallFailed as late:
            assert late.code == "deadline_exceeded"
    pytest.fail("every answer came after its deadline")


def test_a_longer_wait_than_the_longest_is_cut(stub_client, open_checkout):
    # Recorded first: what is asked here is whether such a wait is taken at all.
    stub_client.call(f"{REDIRECT}/RecordOutcome", {"session_id": open_checkout, "outcome": "OUTCOME_SUCCESS"})
    assert resolve(stub_client, open_checkout, LONGEST_WAIT + 1)["outcome"] == "OUTCOME_SUCCESS"
