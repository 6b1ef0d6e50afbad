"""`heed assess`: what to expect of files, in the terminal, as JSON and as pages that stand alone."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from app.cli import main

MONDAY = 1_767_571_200


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With six weeks of orders and of noise."""
    monkeypatch.setenv("HEED_DATA_DIR", str(tmp_path / "data"))
    noise = random.Random(1)
    orders = ["timestamp,value"]
    nothing = ["timestamp,value"]
    for hour in range(6 * 168):
        usual = 500 + 300 * math.sin(2 * math.pi * hour / 24)
        orders.append(f"{MONDAY + 3600 * hour},{usual * noise.gauss(1, 0.03):.1f}")
        nothing.append(f"{MONDAY + 3600 * hour},{noise.gauss(100, 5):.2f}")
    (tmp_path / "orders.csv").write_text("\n".join(orders))
    (tmp_path / "noise.csv").write_text("\n".join(nothing))
    return tmp_path


def heed(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["heed", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_each_file_gets_a_recommendation(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert heed(monkeypatch, "assess", str(folder / "orders.csv"), str(folder / "noise.csv")) == 0
    printed = capsys.readouterr().out
    assert "orders: Worth watching" in printed
    assert "noise: Not worth a model" in printed
    assert "Smallest drop seen within 3 points" in printed


def test_a_machine_reads_what_the_api_would_answer(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert heed(monkeypatch, "assess", str(folder / "noise.csv"), "--json", "--alerts-per-week", "2") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["alerts_per_week"], answer["more_match"]) == (2.0, False)
    (one,) = answer["assessments"]
    assert one["advice"] == "fixed_limit"
    assert one["season"] == "none"


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_stands_alone_and_fits_a_phone(folder: Path, monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    pages = folder / "pages"
    assert heed(monkeypatch, "assess", str(folder / "orders.csv"), "--output", str(pages)) == 0
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 360, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
        page.on("console", lambda message: complaints.append(message.text))
        page.on("requestfailed", lambda request: complaints.append(request.url))
        page.goto((pages / "orders.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(20, 23, 26)") == (scheme == "dark"), "the style is inside and allowed"
        assert page.locator("svg[role=img]").count() == 4
        browser.close()
    assert complaints == []


def test_files_of_one_name_get_a_page_each(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "other").mkdir()
    (folder / "other" / "noise.csv").write_text("timestamp,value\n60,1\n")
    files = (str(folder / "noise.csv"), str(folder / "other" / "noise.csv"))
    assert heed(monkeypatch, "assess", *files, "--output", str(folder / "pages")) == 0
    assert sorted(page.name for page in (folder / "pages").iterdir()) == ["noise-2.html", "noise.html"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(("--alerts-per-week", "0"), "above 0"), (("--timezone", "Shire"), "IANA")],
)
def test_what_cannot_be_assessed_is_said_with_its_cure(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    told: str,
) -> None:
    assert heed(monkeypatch, "assess", str(folder / "orders.csv"), *arguments) == 1
    assert told in capsys.readouterr().err


def test_each_series_of_a_file_gets_a_report_and_a_page(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of two countries is ten times the other; together they were noise."""
    rows = ["metric,country,timestamp,value"]
    for line in (folder / "orders.csv").read_text().splitlines()[1:]:
        time, value = line.split(",")
        rows += [f"../orders,DE,{time},{value}", f"../orders,FR,{time},{10 * float(value):.1f}"]
    (folder / "shop.csv").write_text("\n".join(rows))
    pages = folder / "pages"
    assert heed(monkeypatch, "assess", str(folder / "shop.csv"), "--output", str(pages)) == 0
    printed = capsys.readouterr().out
    for country in ("DE", "FR"):
        assert f"../orders (country {country}): Worth watching" in printed
    assert sorted(page.name for page in pages.iterdir()) == ["-orders-country-DE.html", "-orders-country-FR.html"]


def test_a_file_that_cannot_be_read_keeps_nothing_of_the_others_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bad.csv").write_text("timestamp,value\n1,one\n")
    assert heed(monkeypatch, "assess", str(folder / "bad.csv"), str(folder / "noise.csv")) == 1
    told = capsys.readouterr()
    assert "noise: Not worth a model" in told.out
    assert "bad.csv, line 2: value must be a number" in told.err


def test_days_and_times_without_a_zone_are_of_the_one_that_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "local.csv").write_text("timestamp,value\n2026-01-05 01:00,1\n2026-01-05T00:00:00Z,2\n")
    assert heed(monkeypatch, "assess", str(folder / "local.csv"), "--timezone", "Europe/Berlin") == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "1 point came twice for one time" in printed
    assert "time zone Europe/Berlin" in printed


def test_of_a_file_without_values_nothing_else_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "header.csv").write_text("timestamp,value\n")
    assert heed(monkeypatch, "assess", str(folder / "header.csv")) == 0
    printed = capsys.readouterr().out
    assert "There is no value in this history." in printed
    assert "points over" not in printed


def test_what_only_fewer_points_could_tell_is_an_upper_bound(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of 45 days no start has 24 judged days behind it."""
    noise = random.Random(2)
    rows = [f"{MONDAY + 86_400 * day},{1000 + 100 * (day % 7) + noise.gauss(0, 30):.0f}" for day in range(45)]
    (folder / "daily.csv").write_text("\n".join(["timestamp,value", *rows]))
    assert heed(monkeypatch, "assess", str(folder / "daily.csv")) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "seen within 24 points at most" in printed
    assert "seen within 3 points at most" not in printed
