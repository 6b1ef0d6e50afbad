"""A real Alertmanager of the tests' own, started from the machine's binary and gone when they end."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

PROGRAMS = ("prometheus-alertmanager", "alertmanager")  # as Debian calls it, as everybody else does
STARTS_WITHIN_SECONDS = 20
TELLS_NOBODY = "route:\n  receiver: nobody\nreceivers:\n  - name: nobody\n"
TELLS_OF_GROUPS = """
route:
  receiver: people
  group_by: [alertname, cluster, service]
  group_wait: 2s
  group_interval: 5m
receivers:
  - name: people
    webhook_configs:
      - url: {}
        max_alerts: 5
"""
"""As it comes from Debian, but for how long it waits, and who is told."""


@contextmanager
def running_alertmanager(tells: str | None = None) -> Iterator[str]:
    """The URL of a new Alertmanager on a free port of 127.0.0.1. tells: the address of a webhook; by default nobody."""
    program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    if program is None:
        raise RuntimeError("Alertmanager is missing. Run `make test`, which installs it.")
    with tempfile.TemporaryDirectory(prefix="heed-alertmanager-") as directory:
        configuration = Path(directory) / "alertmanager.yml"
        configuration.write_text(TELLS_OF_GROUPS.format(tells) if tells else TELLS_NOBODY)
        url = f"http://127.0.0.1:{_free_port()}"
        options = [
            f"--config.file={configuration}",
            f"--storage.path={directory}",
            f"--web.listen-address={url.removeprefix('http://')}",
            "--cluster.listen-address=",
        ]
        with subprocess.Popen([program, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                _wait_until_ready(url)
                yield url
            finally:
                process.kill()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + STARTS_WITHIN_SECONDS
    while True:
        try:
            if httpx.get(f"{url}/-/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        if time.monotonic() > deadline:
            raise RuntimeError("Alertmanager did not start")
        time.sleep(0.1)
