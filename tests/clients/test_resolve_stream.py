"""`ResolveRedirects` as a gateway in Python uses it: many buyers over one stream."""

import queue

import pytest
from clients import REDIRECT, CallFailed

STREAM = f"{REDIRECT}/ResolveRedirects"


def question(correlation_id, session_id, **more):
    return {"correlation_id": correlation_id, "resolve": {"session_id": session_id, **more}}


@pytest.fixture
def create(stub_client, seed):
    """Creates another session each time, and says its id."""

    def another(name="bitgpt_payment"):
        body = {**seed(name), "idempotency_key": ""}
        return stub_client.call(f"{REDIRECT}/CreatePayment", body)["session"]["session_id"]

    return another


def test_every_buyer_of_a_thousand_gets_the_answer_of_the_unary_call(stub_client, create):
    sessions = [create() for _ in range(10)]
    expected = [
        stub_client.call(f"{REDIRECT}/ResolveRedirect", {"session_id": session_id})["redirect"]
        for session_id in sessions
    ]
    answers = list(stub_client.converse(STREAM, (question(n, sessions[n % 10]) for n in range(1000))))
    assert sorted(int(answer.get("correlation_id", 0)) for answer in answers) == list(range(1000))
    for answer in answers:
        assert answer["redirect"] == expected[int(answer.get("correlation_id", 0)) % 10]


def test_an_error_is_that_of_its_request_and_its_details_are_readable(stub_client, create):
    bad, good = question(1, "nonsense"), question(2, create())
    answers = {answer["correlation_id"]: answer for answer in stub_client.converse(STREAM, [bad, good])}
    assert "redirect" in answers["2"]
    error = answers["1"]["error"]
    with pytest.raises(CallFailed) as unary:
        stub_client.call(f"{REDIRECT}/ResolveRedirect", bad["resolve"])
    assert error["code"] == 3
    assert error["message"] == unary.value.message
    details = {detail["@type"].rpartition(".")[2]: detail for detail in error["details"]}
    assert details["ErrorInfo"]["reason"] == unary.value.reason == "INVALID_FIELD"
    assert [violation["field"] for violation in details["BadRequest"]["field_violations"]] == ["session_id"]


def test_one_that_waits_is_answered_when_its_outcome_comes_and_others_before_it(stub_client, create):
    late, other = create(), create()
    asked = queue.Queue()
    answers = stub_client.converse(STREAM, iter(asked.get, None))
    asked.put(question(1, late, wait="30s"))
    for number in range(2, 12):
        asked.put(question(number, other))
        assert next(answers)["correlation_id"] == str(number)
    stub_client.call(f"{REDIRECT}/RecordOutcome", {"session_id": late, "outcome": "OUTCOME_SUCCESS"})
    answer = next(answers)
    assert (answer["correlation_id"], answer["redirect"]["outcome"]) == ("1", "OUTCOME_SUCCESS")
    asked.put(None)
    assert list(answers) == []
