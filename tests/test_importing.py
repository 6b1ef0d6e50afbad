"""`heed import` brings history in through a server, whether one runs or not, and leaves no token behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.cli import main
from app.importing import ImportReport
from app.local_server import LocalServer, client_of

HOURS = 24 * 21
START = 1_780_000_000 // 3600 * 3600
TOKEN = "an-admin-token-of-the-operator"


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Three weeks of hourly orders of two countries, and one known to be missing."""
    rows = [
        f"orders,{START + 3600 * hour},{100 + 5 * (hour % 24) + hour * 7 % 5 if hour != 99 else ''},{country}"
        for hour in range(HOURS)
        for country in ("DE", "FR")
    ]
    file = tmp_path / "orders.csv"
    file.write_text("\n".join(["metric,timestamp,value,country", *rows]))
    return file


def test_history_is_brought_in_and_learned_with_no_server_running_and_again_with_one(
    history: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = {"HEED_DATA_DIR": str(tmp_path / "data"), "HEED_ADMIN_TOKEN": TOKEN}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HEED_PORT", "1")  # nobody listens there
    assert imported(history, monkeypatch, capsys) == ImportReport(2 * HOURS, 0, 0, (), 2)
    with LocalServer(environment, log=tmp_path / "serve.log") as server, client_of(server.url, TOKEN) as client:
        monkeypatch.setenv("HEED_PORT", str(server.port))
        assert imported(history, monkeypatch, capsys) == ImportReport(0, 2 * HOURS, 0, (), 2)
        assert {series["dimensions"]["country"] for series in client.get("/v1/series").json()["series"]} == {"DE", "FR"}
        newest = client.get("/v1/retrains").json()["retrains"][0]
        assert (newest["status"], newest["series_done"], newest["counts"]["promoted"]) == ("done", 2, 2)
        passing = [token for token in client.get("/v1/tokens").json()["tokens"] if token["name"] == "heed import"]
        assert len(passing) == 2
        assert all(token["revoked_at"] for token in passing)


def imported(history: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> ImportReport:
    monkeypatch.setattr("sys.argv", ["heed", "import", str(history), "--json"])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    report = json.loads(capsys.readouterr().out)
    return ImportReport(**{**report, "reasons": tuple(report["reasons"])})


CALENDAR = """BEGIN:VCALENDAR
BEGIN:VEVENT
UID:a
SUMMARY:Sale
DTSTART;VALUE=DATE:20260202
RRULE:FREQ=MONTHLY;BYDAY=1MO
END:VEVENT
BEGIN:VEVENT
UID:b
SUMMARY:Call the bank
DTSTART:20260202T080000Z
END:VEVENT
END:VCALENDAR
"""


def test_a_calendar_is_imported_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEED_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("HEED_PORT", "1")  # nobody listens there
    (tmp_path / "shop.ics").write_text(CALENDAR)
    arguments = ["heed", "events", "import", str(tmp_path / "shop.ics"), "--metric", "orders"]
    monkeypatch.setattr("sys.argv", [*arguments, "--dimension", "country=DE"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    shown = capsys.readouterr()
    assert "1 new events, 0 as before, 0 taken back." in shown.out
    assert "“Call the bank” (event 2) was left out. It takes up no time" in shown.err
