"""`grpc.health.v1`, as load balancers and orchestrators use it."""

import grpc
import pytest
from clients import MERCHANT, REDIRECT
from grpc_health.v1 import health_pb2, health_pb2_grpc
from running_server import RunningServer

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.mark.parametrize("service", ["", REDIRECT, MERCHANT])
def test_the_server_and_each_service_are_serving(channel, service):
    health = health_pb2_grpc.HealthStub(channel)
    assert health.Check(health_pb2.HealthCheckRequest(service=service), timeout=60).status == SERVING


def test_a_service_that_does_not_exist_is_not_found(channel, stub_client):
    with pytest.raises(grpc.RpcError) as failed:
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="no.such"), timeout=60)
    error = stub_client.failed(failed.value)
    assert (error.code, error.reason) == ("not_found", "NAME_NOT_FOUND")


def test_watchers_hear_of_a_stop_before_it_happens(tmp_path):
    with (
        RunningServer(tmp_path / "log", "--lame-duck", "1s") as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        health = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service=REDIRECT), timeout=60)
        assert next(watch).status == SERVING
        server.tell_to_stop()
        assert next(watch).status == NOT_SERVING
        assert list(watch) == [], "the stream ends, without an error"
