"""The static program serves where there is nothing else: in an empty chroot, as in an image made from scratch."""

import os
import shutil
import subprocess
import sys

import grpc
import pytest
from clients import REDIRECT, StubClient
from running_server import REPOSITORY, RunningServer

PAYMENT = {
    "merchant_id": "demo",
    "customer_email": "ana@example.com",
    "items": [{"type": "PAYMENT_INTENT", "price": "50", "currency": "USD"}],
    "redirect_url": "https://shop.example.com/paid?id={{id}}",
}


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The command that runs the program in a chroot that holds nothing but it."""
    root = tmp_path_factory.mktemp("root")
    # Links what was built for the tests; CI has built it before.
    static = subprocess.run(
        [REPOSITORY / "scripts" / "static", "--profile", "dev"], stdout=subprocess.PIPE, text=True, check=True
    )
    shutil.copy(REPOSITORY / static.stdout.strip(), root / "waypost")
    (root / "data").mkdir()
    # Users other than root may change the root folder in a user namespace.
    become = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", *become, f"--root={root}", "/waypost"], root


@pytest.mark.parametrize("store", ["memory:", "redb:/data/waypost.redb"])
def test_it_serves_in_an_empty_chroot(program, store, tmp_path, stubs):
    command, root = program
    assert sorted(path.name for path in root.iterdir()) == ["data", "waypost"], "nothing else is there"

    def waypost(*arguments):
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    with RunningServer(tmp_path / "log", page_addr="127.0.0.1:0", store=store, program=command) as server:
        assert waypost("healthcheck", "--server", server.address) == "serving\n"
        with grpc.insecure_channel(server.address) as channel:
            created = StubClient(channel, stubs).call(f"{REDIRECT}/CreatePayment", PAYMENT)
        session_id = created["session"]["session_id"]
        resolved = waypost("resolve", session_id, "--outcome", "success", "--server", server.address)
        assert resolved.startswith(f"https://shop.example.com/paid?id={session_id}\n")
    if store != "memory:":
        assert "1 sessions" in waypost("store", "check", "--store", store)


REFUSED, UNKNOWN = "Connection refused", "failed to lookup address"


def why_not(command, host):
    """Why a database is not reached. Nobody serves port 1; the error tells whether the name was found."""
    store = f"postgres://waypost@{host}:1/waypost?connect_timeout=2"
    # A server would wait for it.
    done = subprocess.run([*command, "migrate", "--store", store], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    return done.stderr


@pytest.fixture
def etc(program):
    """The folder of the files that container engines put into every container."""
    folder = program[1] / "etc"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def test_it_knows_addresses_only_where_there_are_no_files(program):
    command, _ = program
    assert REFUSED in why_not(command, "127.0.0.1")
    assert UNKNOWN in why_not(command, "database.test")


def test_it_finds_names_in_the_hosts_file(program, etc):
    command, _ = program
    (etc / "hosts").write_text("127.0.0.1 localhost database.test\n")
    assert REFUSED in why_not(command, "localhost")
    assert REFUSED in why_not(command, "database.test")


def test_it_asks_the_dns_server_of_resolv_conf(program, etc):
    (unshare, *chroot), _ = program
    (etc / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    command = [unshare, "--net", *chroot[:-2], sys.executable, REPOSITORY / "tests" / "clients" / "dns.py"]
    command += ["unshare", *chroot[-2:]]
    assert REFUSED in why_not(command, "database.test")
    assert UNKNOWN in why_not(command, "other.test")
