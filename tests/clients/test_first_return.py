"""The examples of a first return, as their users run them."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig

import pytest
from grpc_tools import protoc
from running_server import REPOSITORY

EXAMPLES = REPOSITORY / "examples" / "first-return"

SAID = re.compile(
    r"created (invoice_[0-9a-f-]{36})\n"
    r"the buyer goes to https://shop\.example\.com/paid\?id=\1\n"
    r"there is no such session: SESSION_NOT_FOUND\n"
)


@pytest.fixture(scope="module")
def python_stubs(tmp_path_factory):
    """What the first lines of the Python example have its reader generate."""
    folder = tmp_path_factory.mktemp("first-return")
    proto = REPOSITORY / "proto"
    sources = sorted(str(file.relative_to(proto)) for file in proto.rglob("*.proto"))
    well_known = os.path.join(os.path.dirname(protoc.__file__), "_proto")
    options = [f"-I{proto}", f"-I{well_known}", f"--python_out={folder}", f"--grpc_python_out={folder}"]
    assert protoc.main(["protoc", *options, *sources]) == 0
    return folder


@pytest.mark.parametrize("language", ["rust", "python", "node", "shell"])
def test_every_example_says_where_the_buyer_goes_and_handles_an_error(server, python_stubs, language):
    binary = os.environ.get("WAYPOST_BIN", REPOSITORY / "target" / "debug" / "waypost")
    command = {
        "rust": [os.path.join(os.path.dirname(binary), "examples", "first-return")],
        "python": [sys.executable, EXAMPLES / "python" / "first_return.py"],
        "node": [shutil.which("node"), EXAMPLES / "node" / "first-return.mjs"],
        "shell": [EXAMPLES / "shell" / "first-return"],
    }[language]
    path = f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(python_stubs)}
    ran = subprocess.run([*command, server.address], capture_output=True, text=True, timeout=60, env=environment)
    assert ran.returncode == 0, ran.stderr
    assert SAID.fullmatch(ran.stdout), ran.stdout
