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
    (one,) = json.loads(capsys.readouterr().out)["assessments"]
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
