"""The clients of other teams, behind one method each: `call(method, request)`, JSON in, JSON out.

JSON objects have the field names of the protos (`session_id`); requests may use the camel case of proto3 JSON too. A
call that fails raises `CallFailed`, whichever client made it.
"""

import base64
import json
import subprocess

import grpc
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, json_format, message_factory
from google.rpc import error_details_pb2  # noqa: F401: registers the types of error details
from grpc_reflection.v1alpha import reflection_pb2
from grpc_status import rpc_status

REDIRECT = "waypost.v1.RedirectService"
MERCHANT = "waypost.v1.MerchantService"
SERVICES = [REDIRECT, MERCHANT]

# Long enough for a busy machine. A call that takes this long has failed.
CALL_SECONDS = 60


class CallFailed(Exception):
    """A call's error: `code` in the spelling of buf (`not_found`), `details` by the short name of their type."""

    def __init__(self, code, message, details):
        super().__init__(f"{code}: {message} {details}")
        self.code = code
        self.message = message
        self.details = details

    @property
    def reason(self):
        """What the `google.rpc.ErrorInfo` says, which every error has."""
        assert self.details["ErrorInfo"]["domain"] == "waypost.v1"
        return self.details["ErrorInfo"]["reason"]

    @property
    def violations(self):
        """Field to description."""
        return {
            violation.get("field", ""): violation["description"]
            for violation in self.details["BadRequest"]["field_violations"]
        }


class PythonClient:
    """grpcio with the descriptors of a pool: those of generated stubs, or those that reflection answered."""

    def __init__(self, channel, pool):
        self.channel = channel
        self.pool = pool

    def methods(self):
        """Every method of Waypost's own services, as `service/method`."""
        return sorted(
            f"{service}/{method.name}"
            for service in SERVICES
            for method in self.pool.FindServiceByName(service).methods
        )

    def call(self, method, request, timeout=CALL_SECONDS):
        """Makes a call. The answer of a streaming method is its first message; one that takes many gets this one."""
        descriptor = self._descriptor(method)
        message = self._message(descriptor, request)
        try:
            return self._as_json(self._send(descriptor, message, timeout))
        except grpc.RpcError as error:
            raise self.failed(error) from error

    def converse(self, method, requests, timeout=CALL_SECONDS):
        """Makes a call of a method that takes many requests, which are read as the call goes on. Yields its answers."""
        descriptor = self._descriptor(method)
        messages = (self._message(descriptor, request) for request in requests)
        try:
            for answer in self._method(descriptor)(messages, timeout=timeout):
                yield self._as_json(answer)
        except grpc.RpcError as error:
            raise self.failed(error) from error

    def _descriptor(self, method):
        service, name = method.split("/")
        return self.pool.FindServiceByName(service).FindMethodByName(name)

    def _message(self, descriptor, request):
        message = message_factory.GetMessageClass(descriptor.input_type)()
        return json_format.ParseDict(request, message, descriptor_pool=self.pool)

    def _send(self, descriptor, message, timeout):
        asked = iter([message]) if descriptor.client_streaming else message
        answer = self._method(descriptor)(asked, timeout=timeout)
        return first(answer) if descriptor.server_streaming else answer

    def _method(self, descriptor):
        asks = "stream" if descriptor.client_streaming else "unary"
        answers = "stream" if descriptor.server_streaming else "unary"
        return getattr(self.channel, f"{asks}_{answers}")(
            f"/{descriptor.containing_service.full_name}/{descriptor.name}",
            request_serializer=message_factory.GetMessageClass(descriptor.input_type).SerializeToString,
            response_deserializer=message_factory.GetMessageClass(descriptor.output_type).FromString,
            _registered_method=False,
        )

    def _as_json(self, message):
        return json_format.MessageToDict(message, preserving_proto_field_name=True, descriptor_pool=self.pool)

    def failed(self, error):
        """What an error of grpcio says, with its details read."""
        status = rpc_status.from_call(error)
        details = [] if status is None else status.details
        return CallFailed(error.code().name.lower(), error.details(), self._read(details))

    def _read(self, details):
        read = {}
        for detail in details:
            name = detail.type_url.rpartition("/")[2]
            message = message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))()
            assert detail.Unpack(message), name
            read[name.rpartition(".")[2]] = self._as_json(message)
        return read


class StubClient(PythonClient):
    """Calls through the stub classes that grpcio-tools generated from proto/."""

    def __init__(self, channel, stubs):
        super().__init__(channel, descriptor_pool.Default())
        self.stubs = {service: stub(channel) for service, stub in stubs.items()}

    def _method(self, descriptor):
        return getattr(self.stubs[descriptor.containing_service.full_name], descriptor.name)


class ReflectionClient(PythonClient):
    """Knows nothing beforehand: every message is built from what the reflection service `version` answers."""

    def __init__(self, channel, version):
        # v1 and v1alpha differ in the name of the service only; Python has the messages of v1alpha.
        self._ask = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
            _registered_method=False,
        )
        super().__init__(channel, descriptor_pool.DescriptorPool())
        self._loaded = set()
        # With the types of error details, or generic clients could not show them.
        details = [f"google.rpc.{name}" for name in ("ErrorInfo", "BadRequest", "RetryInfo")]
        for symbol in [*SERVICES, *details]:
            self._load(file_containing_symbol=symbol)

    def services(self):
        """Every service that the server lists."""
        return [service.name for service in self._answer(list_services="").list_services_response.service]

    def _load(self, **question):
        for serialized in self._answer(**question).file_descriptor_response.file_descriptor_proto:
            file = descriptor_pb2.FileDescriptorProto.FromString(serialized)
            if file.name in self._loaded:
                continue
            self._loaded.add(file.name)
            for dependency in file.dependency:
                if dependency not in self._loaded:
                    self._load(file_by_filename=dependency)
            self.pool.Add(file)

    def _answer(self, **question):
        request = reflection_pb2.ServerReflectionRequest(**question)
        answer = next(self._ask(iter([request]), timeout=CALL_SECONDS))
        assert not answer.HasField("error_response"), (question, answer.error_response)
        return answer


class BufCurl:
    """`buf curl`, which learns the messages by the reflection service `version`."""

    def __init__(self, program, address, version):
        self.command = [
            program, "curl", "--protocol", "grpc", "--http2-prior-knowledge", "--reflect-protocol", f"grpc-{version}"
        ]  # fmt: skip
        self.url = f"http://{address}"
        # Its answers are in camel case; the generated types read them into the fields' own names.
        self.pool = descriptor_pool.Default()

    def methods(self):
        """Every method of Waypost's own services, as `service/method`."""
        listed = self._run("--list-methods", self.url).stdout.split()
        return sorted(method for method in listed if method.split("/")[0] in SERVICES)

    def call(self, method, request):
        """Makes a call. The answer of a streaming method is its first message."""
        done = self._run("--data", json.dumps(request), f"{self.url}/{method}")
        if done.returncode != 0:
            raise self._failed(done)
        answer, _ = json.JSONDecoder().raw_decode(done.stdout)
        service, name = method.split("/")
        output_type = self.pool.FindServiceByName(service).FindMethodByName(name).output_type
        return self._as_json(json_format.ParseDict(answer, message_factory.GetMessageClass(output_type)()))

    def _run(self, *arguments):
        return subprocess.run([*self.command, *arguments], capture_output=True, text=True, timeout=CALL_SECONDS)

    def _as_json(self, message):
        return json_format.MessageToDict(message, preserving_proto_field_name=True)

    def _failed(self, done):
        try:
            error = json.loads(done.stderr)
        except json.JSONDecodeError:
            raise RuntimeError(f"buf curl ended with {done.returncode}: {done.stderr}") from None
        read = {}
        for detail in error.get("details", []):
            value = base64.b64decode(detail["value"] + "==")
            packed = any_pb2.Any(type_url=f"type.googleapis.com/{detail['type']}", value=value)
            message = message_factory.GetMessageClass(self.pool.FindMessageTypeByName(detail["type"]))()
            assert packed.Unpack(message), detail
            read[detail["type"].rpartition(".")[2]] = self._as_json(message)
        return CallFailed(error["code"], error["message"], read)


def first(stream):
    """The first message of a stream, which is then given up."""
    message = next(stream)
    stream.cancel()
    return message
