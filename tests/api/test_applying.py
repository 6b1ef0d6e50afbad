"""`heed apply` over real HTTP: in words, idempotent, and every fault with its file and line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.cli import main
from tests.running import Shop
from tests.serving import ADMIN, Served

EXAMPLE = Path(__file__).parents[2] / "docs" / "heed.yaml"
Apply = Callable[..., tuple[int, str]]


@pytest.fixture
def apply(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Apply:
    """Runs `heed apply -f FILE …` against a served Heed; the exit code and all that was printed."""

    def run(served: Served, file: Path, *options: str) -> tuple[int, str]:
        monkeypatch.setenv("HEED_URL", served.url)
        monkeypatch.setenv("HEED_TOKEN", os.environ.get("HEED_TOKEN", ADMIN))
        monkeypatch.setattr("sys.argv", ["heed", "apply", "-f", str(file), *options])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out + printed.err

    return run


def written(folder: Path, text: str) -> Path:
    file = folder / "heed.yaml"
    file.write_text(text)
    return file


def test_the_example_of_the_documentation_is_applied_and_again_there_is_nothing_to_do(
    served: Served, apply: Apply, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SALES_SLACK_URL", "https://hooks.slack.example/services/T0/B0/XYZ")
    monkeypatch.setenv("WAREHOUSE_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    Shop(served.heed).send(1)  # from when on its silence is to come
    code, said = apply(served, EXAMPLE, "--dry-run")
    assert code == 0, said
    assert said.endswith("Would be: 7 made, 0 as they are.\n")
    assert "XYZ" not in said
    assert "LaLaSw" not in said
    assert served.client.get("/v1/policies").json()["policies"] == []
    assert apply(served, EXAMPLE)[1].endswith("Done: 7 made, 0 as they are.\n")
    assert apply(served, EXAMPLE) == (0, "Nothing to do: 7 as they are.\n")
    changes: list[dict[str, Any]] = json.loads(apply(served, EXAMPLE, "--json")[1])["changes"]
    assert {each["action"] for each in changes} == {"leave"}
    assert {each["name"] for each in served.client.get("/v1/events").json()["events"]} == {
        "first Monday of the month",
        "Spring campaign",
    }


def test_a_change_is_told_in_words(served: Served, apply: Apply, tmp_path: Path) -> None:
    served.client.post("/v1/policies", json={"name": "by hand"})
    apply(served, written(tmp_path, "policies:\n  - name: shop\n    settings:\n      alerts_per_week: 0.5\n"))
    _, said = apply(
        served, written(tmp_path, "policies:\n  - name: shop\n    settings:\n      alerts_per_week: 0.25\n")
    )
    assert said.splitlines()[-5:] == [
        "change  policy shop",
        "          alerts_per_week: 0.5 → 0.25",
        "keep    policy by hand",
        "          made by hand",
        "Done: 1 changed, 1 as they are.",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("policies:\n  - name: a\n   - name: b\n", ":3: this is not YAML"),
        ("policies:\n  - nme: a\n", ":2: policies.0.nme: there is no such name here; there are name, matcher"),
        ("polices: []\n", ":1: polices: there is no such name here; there are policies, channels"),
        ("policies:\n  - matcher:\n      metric: a\n", ":2: policies.0.name: it is missing here"),
        (
            "policies:\n  - name: a\n    settings:\n      direction: up\n      alerts_per_week: 0\n",
            ":5: policies.0.settings: alerts_per_week: input should be greater than 0",
        ),
        ("policies:\n  - name: a\n\n  - name: a\n", ":4: policies.1.name: this name is taken already"),
        (
            "channels:\n  - name: a\n    kind: slack\n    settings:\n      url: ${NO_SUCH}\n",
            ":5: channels.0.settings.url: the variable NO_SUCH is not set",
        ),
        ("flags:\n  detector:\n    state: on\n    reason: x\n", ":3: flags.detector.state: it is `chosen` or `basic`"),
        ("flags:\n  sound: {}\n", ":2: flags.sound: input should be 'detector'"),
        ("calendars:\n  - name: a\n    file: no.ics\n", ":3: calendars.0.file: this file can't be read"),
        ("events:\n  - name: a\n    start: 2026-01-01\n    end: 2026-01-02\n", ":3: events.0.start: "),
        ("policies: []\npolicies: []\n", ":2: policies: this stands here twice"),
        ("policies: &a\n  - *a\n", ":1: policies"),
    ],
)
def test_a_fault_is_told_with_its_line_and_the_cure(
    shared: Served, apply: Apply, tmp_path: Path, text: str, said: str
) -> None:
    code, told = apply(shared, written(tmp_path, text))
    assert code == 1
    assert f"heed.yaml{said}" in told
    assert shared.client.get("/v1/policies").json()["policies"] == []


def test_a_token_that_is_not_valid_is_told_so(
    shared: Served, apply: Apply, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEED_TOKEN", "nobody-s-token-at-all")
    code, told = apply(shared, written(tmp_path, "policies: []\n"))
    assert code == 1
    assert "This token is not valid" in told
