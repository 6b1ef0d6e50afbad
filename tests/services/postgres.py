"""A PostgreSQL server of the tests' own, started from the machine's binaries and gone when they end."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.services.memory import in_memory

UNPRIVILEGED_USERS = ("postgres", "nobody")  # PostgreSQL refuses to run as root
FOR_SPEED = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB", "max_connections": "200"}


@contextmanager
def running_postgresql() -> Iterator[str]:
    """The URL of a new server's superuser database, on a free port of 127.0.0.1; the server stops with the block."""
    programs = _programs()
    user = _unprivileged_user()
    directory = Path(tempfile.mkdtemp(prefix="heed-postgres-", dir=in_memory()))
    if user:
        shutil.chown(directory, user)
    cluster, port = directory / "cluster", _free_port()
    with _stopped_at_the_end(programs / "pg_ctl", cluster, user):
        _run(programs / "initdb", "-D", cluster, "-U", "heed", "-A", "trust", "-E", "UTF8", "--no-sync", user=user)
        start = ("-D", cluster, "-l", directory / "log", "-w", "-t", "60", "-o", _options(port), "start")
        _run(programs / "pg_ctl", *start, user=user)
        yield f"postgresql://heed@127.0.0.1:{port}/postgres"


@contextmanager
def _stopped_at_the_end(pg_ctl: Path, cluster: Path, user: str | None) -> Iterator[None]:
    """Stop the server and remove its directory when the block ends or this process dies, however it dies."""
    stop = 'cat; "$0" -D "$1" -m immediate -w stop; rm -rf "${1%/*}"'
    with subprocess.Popen(
        ["sh", "-c", stop, pg_ctl, cluster],
        stdin=subprocess.PIPE,  # its end is the sign that we are gone
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        user=user,
        cwd="/",
        start_new_session=True,
    ) as keeper:
        try:
            yield
        finally:
            keeper.communicate(timeout=60)


def _programs() -> Path:
    installed = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest_first = sorted(installed, key=lambda path: int(re.sub(r"\D", "", path.parts[-3]) or 0), reverse=True)
    on_path = shutil.which("initdb")
    candidates = [*newest_first, *([Path(on_path)] if on_path else [])]
    for directory in [initdb.parent for initdb in candidates]:
        if (directory / "pg_ctl").exists():
            return directory
    raise RuntimeError("PostgreSQL's server programs are missing. Run `make test`, which installs them.")


def _unprivileged_user() -> str | None:
    if os.geteuid() != 0:
        return None
    known = {line.split(":")[0] for line in Path("/etc/passwd").read_text().splitlines()}
    return next(user for user in UNPRIVILEGED_USERS if user in known)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _options(port: int) -> str:
    settings = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", **FOR_SPEED}
    return " ".join(f"-c {name}='{value}'" for name, value in settings.items())


def _run(program: Path, *arguments: str | Path, user: str | None) -> None:
    # The server inherits these streams: a pipe here would never reach its end.
    with tempfile.TemporaryFile() as output:
        finished = subprocess.run(
            [program, *arguments],
            user=user,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
        )
        output.seek(0)
        if finished.returncode:
            raise RuntimeError(f"{program.name} failed: {output.read().decode(errors='replace')}")
