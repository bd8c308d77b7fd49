"""A `waypost serve` process of a test's own: sandbox, memory store, a free port."""

import os
import pathlib
import signal
import subprocess

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]

BINARY = os.environ.get("WAYPOST_BIN", REPOSITORY / "target" / "debug" / "waypost")

# Draining is bounded by the server's own --grace, which is below this.
STOP_SECONDS = 40


class RunningServer:
    """A context manager: the server is stopped at the end, and must have ended well."""

    def __init__(self, log, *options, page_addr="off", store="memory:", program=(BINARY,)):
        """Starts a server that logs to the file `log`, and returns once it says where it listens."""
        listen = ["--grpc-addr", "127.0.0.1:0", "--page-addr", page_addr, "--ops-addr", "off"]
        command = [*program, "serve", "--sandbox", "--store", store, *listen, *options]
        # The settings of whoever runs the tests are not the server's.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("WAYPOST_")}
        with open(log, "w") as stderr:
            self._process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True)
        self._log = log
        self._told_to_stop = False
        self._read_addresses()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if not self._told_to_stop:
            self.tell_to_stop()
        try:
            self._process.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        assert self._process.returncode == 0, self._log.read_text()

    def tell_to_stop(self):
        """Sends the signal to stop, and does not wait. Once only: a second signal would end the process at once."""
        self._told_to_stop = True
        self._process.send_signal(signal.SIGTERM)

    def _read_addresses(self):
        """Sets `address`, where gRPC is, and `pages`, the URL of the pages if there are any."""
        self.pages = None
        for line in self._process.stdout:
            match line.split():
                case ["gRPC", address]:
                    self.address = address
                case ["pages", url]:
                    self.pages = url
                case ["store", *_]:
                    return
        self._process.communicate()
        raise RuntimeError(f"the server ended before it listened:\n{self._log.read_text()}")
