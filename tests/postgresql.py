"""A real PostgreSQL of Debian's package, in a folder of its own and on a socket there."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

PASSWORD = "pass:w/rd@1"
_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


class Server:
    """A cluster that is stopped and started at will."""

    def __init__(self, folder: Path, user: str | None) -> None:
        self.folder, self._user, self._bin = folder, user, _PROGRAMS[-1].parent

    def url(self, user: str = "mome", password: str = PASSWORD, database: str = "postgres") -> str:
        return f"postgresql+psycopg://{user}:{quote(password, safe='')}@/{database}?host={self.folder}"

    def make(self) -> None:
        (self.folder / "password").write_text(PASSWORD)
        self._run(
            *("initdb", "--pgdata", "data", "--username", "mome", "--pwfile", "password", "--no-sync"),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"),
        )

    def start(self) -> None:
        options = f"-F -k {self.folder} -c listen_addresses='' -c unix_socket_permissions=0777"
        self._run("pg_ctl", "start", "--wait", "--pgdata", "data", "--log", "log", "--options", options)

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "--wait", "--pgdata", "data", "--mode", "immediate")

    def query(self, statement: str) -> list[tuple[object, ...]]:
        import psycopg

        with psycopg.connect(
            host=str(self.folder), user="mome", password=PASSWORD, dbname="postgres", autocommit=True
        ) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._bin / program, *arguments],
            cwd=self.folder,
            user=self._user,
            env={"PATH": os.environ["PATH"]},
            stdout=subprocess.PIPE if program == "initdb" else subprocess.DEVNULL,  # the server keeps it open
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout


@contextmanager
def running() -> Iterator[Server]:
    """Yield a server; a machine that has none skips the test."""
    if not _PROGRAMS:
        pytest.skip("PostgreSQL is not installed: no /usr/lib/postgresql/*/bin/initdb")
    # It refuses to run as root.
    user = "postgres" if os.getuid() == 0 else None
    # The path of a socket has 107 characters at most.
    folder = Path(tempfile.mkdtemp(prefix="mome-pg-", dir="/tmp"))
    folder.chmod(0o755)
    if user is not None:
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    server = Server(folder, user)
    try:
        server.make()
        server.start()
        yield server
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            server.stop()
        shutil.rmtree(folder)
