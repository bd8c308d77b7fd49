"""Creates a payment, records that it was paid, asks where the buyer goes, and handles an error by its reason.

    python -m grpc_tools.protoc -I ../../../proto --python_out=. --grpc_python_out=. ../../../proto/waypost/v1/*.proto
    python first_return.py 127.0.0.1:50051
"""

import pathlib
import sys
import uuid

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from waypost.v1 import redirect_service_pb2 as waypost
from waypost.v1 import redirect_service_pb2_grpc, session_pb2

SERVICE_CONFIG = pathlib.Path(__file__).resolve().parents[3] / "clients" / "service-config.json"

# Deadlines and retries: what is safe to repeat is repeated by gRPC itself.
OPTIONS = [
    ("grpc.service_config", SERVICE_CONFIG.read_text()),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
]


def reason_of(error):
    """The reason stands in the details of the status, as a google.rpc.ErrorInfo."""
    status = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status else []:
        if detail.Unpack(info):
            return info.reason
    return None


def main(address):
    with grpc.insecure_channel(address, OPTIONS) as channel:
        redirects = redirect_service_pb2_grpc.RedirectServiceStub(channel)

        request = waypost.CreatePaymentRequest(
            merchant_id="demo",
            # Makes it safe to repeat: the same key never makes a second session.
            idempotency_key=str(uuid.uuid4()),
            customer_email="ana@example.com",
            items=[waypost.PaymentItem(type="PAYMENT_INTENT", price="50", currency="USD")],
            redirect_url="https://shop.example.com/paid?id={{id}}",
        )
        session_id = redirects.CreatePayment(request).session.session_id
        print(f"created {session_id}")

        redirects.RecordOutcome(
            waypost.RecordOutcomeRequest(
                session_id=session_id, outcome=session_pb2.OUTCOME_SUCCESS, payment_id="123456789"
            )
        )

        answer = redirects.ResolveRedirect(waypost.ResolveRedirectRequest(session_id=session_id))
        print(f"the buyer goes to {answer.redirect.url}")

        nobody = "invoice_01986132-e354-7676-9b4a-fc8dd5c5253e"
        try:
            redirects.ResolveRedirect(waypost.ResolveRedirectRequest(session_id=nobody))
        except grpc.RpcError as error:
            if reason_of(error) != "SESSION_NOT_FOUND":
                raise
            print("there is no such session: SESSION_NOT_FOUND")


if __name__ == "__main__":
    main(sys.argv[1])
