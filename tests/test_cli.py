"""The command line makes one call each and says what is wrong in one sentence."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli import main
from app.local_server import LocalServer, free_port


class CommandLine:
    """`heed …`, in a folder of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Exit status, what was printed, and what was complained."""
        self._monkeypatch.setattr("sys.argv", ["heed", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        printed = self._capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err


@pytest.fixture
def heed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> CommandLine:
    monkeypatch.setenv("HEED_DATA_DIR", str(tmp_path / "data"))
    return CommandLine(monkeypatch, capsys)


def test_a_token_is_shown_once_and_only_described_afterwards(heed: CommandLine) -> None:
    """guarantee 28"""
    heed("migrate")
    _, created, _ = heed("token", "create", "checkout", "--json")
    token = json.loads(created)
    assert token["scope"] == "ingest"
    _, listed, _ = heed("token", "list", "--json")
    assert [(row["name"], row["revoked_at"]) for row in json.loads(listed)] == [("checkout", None)]
    assert token["token"] not in listed


def test_a_revoked_token_is_listed_as_such(heed: CommandLine) -> None:
    heed("migrate")
    heed("token", "create", "checkout")
    assert heed("token", "revoke", "1")[0] == 0
    assert json.loads(heed("token", "list", "--json")[1])[0]["revoked_at"] is not None


def test_a_database_that_is_not_migrated_is_refused_with_the_cure(heed: CommandLine) -> None:
    status, _, complaint = heed("token", "list")
    assert status == 1
    assert complaint == "heed: The database is not up to date with this release: run `heed migrate`.\n"


def test_a_wrong_setting_ends_the_command_with_one_line(heed: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEED_PORT", "0")
    status, _, complaint = heed("serve")
    assert status == 1
    assert complaint.startswith("heed: HEED_PORT is wrong:")
    assert len(complaint.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("token", "revoke", "7"), "no token of this id"),
        (("import", "points.csv"), "--metric NAME"),
        (("import", "points.csv", "--metric", "a", "--dimension", "country"), "NAME=VALUE"),
        (("import", "points.csv", "--metric", "a", "--timezone", "Shire"), "IANA name"),
        (("import", "points.csv", "--metric", "a", "--url", "http://127.0.0.1:9"), "needs --token"),
    ],
)
def test_what_cannot_be_done_is_said_with_its_cure(
    heed: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "points.csv").write_text("timestamp,value\n60,1\n")
    heed("migrate")
    status, _, complaint = heed(*arguments)
    assert status == 1
    assert told in complaint


def test_a_backtest_judges_every_row_and_says_how_many_alerts_there_were(heed: CommandLine, tmp_path: Path) -> None:
    hours = range(24 * 28)
    rows = [f"{1767571200 + 3600 * hour},{100 + 5 * (hour % 24) + hour * 7 % 5},{int(hour == 600)}" for hour in hours]
    (tmp_path / "orders.csv").write_text("\n".join(["timestamp,value,label", *rows]))
    output = tmp_path / "judged"
    options = ("--output", str(output), "--train-fraction", "0.5", "--json")
    _, printed, _ = heed("backtest", str(tmp_path / "orders.csv"), *options)
    assert json.loads(printed)["tables"][0]["points"] == len(hours)
    judged = (output / "orders.csv").read_text().splitlines()
    assert judged[0] == "timestamp,value,expected,lower,upper,rarity_weeks,anomalous,alert"
    assert len(judged) == 1 + len(hours)


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--train-until", "spring", "RFC 3339"),
        ("--train-fraction", "1.5", "less than 1"),
        ("--timezone", "Shire", "IANA"),
        ("--country", "Shire", "ISO 3166"),
    ],
)
def test_a_backtest_refuses_what_it_cannot_read(
    heed: CommandLine, tmp_path: Path, option: str, value: str, told: str
) -> None:
    (tmp_path / "orders.csv").write_text("timestamp,value\n60,1\n")
    status, _, complaint = heed("backtest", str(tmp_path / "orders.csv"), option, value)
    assert status == 1
    assert told in complaint


def test_a_second_heed_on_the_same_database_is_refused_in_one_sentence(tmp_path: Path) -> None:
    environment = {"HEED_DATA_DIR": str(tmp_path / "data")}
    with LocalServer(environment, log=tmp_path / "serve.log"):
        refused = serve_in_vain({**environment, "HEED_PORT": str(free_port())})
    assert refused.startswith("heed: Another Heed runs on this database.")


def test_a_port_that_is_taken_is_said_in_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = serve_in_vain({"HEED_DATA_DIR": str(tmp_path / "data"), "HEED_PORT": port})
    assert refused.startswith("heed: Heed can't listen on HEED_HOST and HEED_PORT")


def serve_in_vain(environment: dict[str, str]) -> str:
    """The last line of a `heed serve` that can't start."""
    ended = subprocess.run(
        [sys.executable, "-m", "app.cli", "serve"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 1
    return ended.stderr.splitlines()[-1]
