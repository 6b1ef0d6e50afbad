from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("kills", [30, pytest.param(200, marks=[pytest.mark.soak, pytest.mark.timeout(600)])])
def test_a_writer_killed_at_any_moment_loses_nothing_it_acknowledged(database_url: str, kills: int) -> None:
    """Guarantee 2, the store's part: a batch is there whole or not at all, be it in the log or folded."""
    command = [sys.executable, "-m", "tests.store.killed_writer", database_url, str(kills)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert int(finished.stdout) > kills
