"""A throw-away PostgreSQL of a test's own. It listens on a socket in its folder, so nothing can collide."""

import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile


class Postgres:
    """A context manager. The superuser `postgres` needs no password on the socket; everybody else does."""

    def __enter__(self):
        programs = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        assert programs, "PostgreSQL is not installed: scripts/test installs it"
        self._programs = programs[-1]
        # It refuses to run as root.
        self._user = pwd.getpwnam("postgres") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="waypost-pg-"))
        os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        self.folder.chmod(0o755)
        self._run("initdb", "--no-sync", "--encoding=UTF8", "--no-locale", "--username=postgres", "--auth=trust")
        data = self.folder / "data"
        (data / "pg_hba.conf").write_text("local all postgres trust\nlocal all all scram-sha-256\n")
        with open(data / "postgresql.conf", "a") as settings:
            settings.write(f"listen_addresses = ''\nunix_socket_directories = '{self.folder}'\nfsync = off\n")
        self._run("pg_ctl", "start", "-w", "-s", "-l", self.folder / "log")
        return self

    def __exit__(self, *_):
        self._run("pg_ctl", "stop", "-s", "-m", "immediate")
        shutil.rmtree(self.folder)

    def _run(self, program, *arguments):
        other = {"user": self._user.pw_uid, "group": self._user.pw_gid} if os.geteuid() == 0 else {}
        command = [self._programs / program, "-D", self.folder / "data", *arguments]
        # Its output may be inherited by a server that goes on, so it is no pipe.
        with open(self.folder / "said", "w") as said:
            done = subprocess.run(command, stdout=said, stderr=said, cwd="/", **other)
        assert done.returncode == 0, (self.folder / "said").read_text()
