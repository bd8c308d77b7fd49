"""The three calls that the benchmark makes, as a team would write them on grpcio: sessions in a dict, `re`, `urllib`.

`scripts/compare` generates the modules that this imports.
"""

import re
import threading
import uuid
from concurrent import futures
from urllib.parse import quote, urlsplit

import grpc
from google.protobuf.json_format import MessageToDict
from waypost.v1 import redirect_pb2, redirect_service_pb2, redirect_service_pb2_grpc, session_pb2

PLACEHOLDER = re.compile(r"\{\{\s*(.+?)\s*\}\}")
STEP = re.compile(r"\[([^\]]+)\]|([^.\[\]]+)")


def look_up(root, path):
    """The value at a path such as `items[0].type`; `None` when there is none."""
    value = root
    for bracketed, plain in STEP.findall(path):
        name = bracketed or plain
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value if isinstance(value, (str, int, float)) else None


def fill(template, root):
    """The URL with its placeholders filled, and those that name nothing."""
    unresolved = []

    def replacement(match):
        value = look_up(root, match.group(1))
        if value is None:
            unresolved.append(match.group(0))
            return match.group(0)
        return quote(str(value), safe="-._~")

    return PLACEHOLDER.sub(replacement, template), unresolved


class Redirects(redirect_service_pb2_grpc.RedirectServiceServicer):
    def __init__(self):
        self._sessions = {}
        self._lock = threading.Lock()

    def CreatePayment(self, request, context):
        session_id = f"invoice_{uuid.uuid4()}"
        root = MessageToDict(request, preserving_proto_field_name=True)
        root.update(id=session_id, kind="payment")
        with self._lock:
            self._sessions[session_id] = {"root": root, "redirect_url": request.redirect_url, "outcome": None}
        session = session_pb2.Session(session_id=session_id, merchant_id=request.merchant_id)
        return redirect_service_pb2.CreatePaymentResponse(session=session)

    def RecordOutcome(self, request, context):
        session = self._find(request.session_id, context)
        with self._lock:
            session["outcome"] = request.outcome
            session["root"].update(payment_id=request.payment_id, status=request.status)
        return redirect_service_pb2.RecordOutcomeResponse(applied=True)

    def ResolveRedirect(self, request, context):
        session = self._find(request.session_id, context)
        outcome = request.outcome or session["outcome"] or session_pb2.OUTCOME_CANCEL
        url, unresolved = fill(session["redirect_url"], session["root"])
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname or parts.username is not None:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "the return URL may not be used")
        return redirect_service_pb2.ResolveRedirectResponse(
            redirect=redirect_pb2.Redirect(
                outcome=outcome,
                action=redirect_pb2.ACTION_REDIRECT,
                url=url,
                source=redirect_pb2.SOURCE_REQUEST,
                unresolved_placeholders=unresolved,
            )
        )

    def _find(self, session_id, context):
        session = self._sessions.get(session_id)
        if session is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such session")
        return session


def main():
    server = grpc.server(futures.ThreadPoolExecutor())
    redirect_service_pb2_grpc.add_RedirectServiceServicer_to_server(Redirects(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"gRPC 127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
