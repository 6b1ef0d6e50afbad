"""The README's tour works line by line, as a newcomer would type it, and its answers look as it shows them."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.local_server import LocalServer

ROOT = Path(__file__).parents[1]
END = "----- end of step -----"
SETTING = re.compile(r"^export (HEED|TOKEN)=.*$", re.MULTILINE)


@dataclass(frozen=True)
class Step:
    """A block of commands, and the answer that the README shows below it, if it shows one."""

    commands: str
    shown: str | None
    kind: str | None


def steps_of_the_tour() -> list[Step]:
    readme = (ROOT / "README.md").read_text()
    tour = readme[readme.index("## A tour with curl") : readme.index("## How it decides")]
    blocks = re.findall(r"```sh\n(.*?)```(?:\n```(json|text|console)\n(.*?)```)?", tour, re.DOTALL)
    return [Step(commands, shown or None, kind or None) for commands, kind, shown in blocks]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What each step of the tour printed, all of them typed into one shell beside a fresh Heed."""
    folder = tmp_path_factory.mktemp("tour")
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "heed").symlink_to(Path(sys.executable).parent / "heed")
    token = secrets.token_urlsafe(24)
    environment = {"HEED_DATA_DIR": str(folder / "data"), "HEED_ADMIN_TOKEN": token}
    with LocalServer(environment, log=folder / "serve.log") as server:
        steps = steps_of_the_tour()
        script = "\n".join(f"{SETTING.sub('', step.commands)}\necho '{END}'" for step in steps)
        shell = subprocess.run(
            [shutil.which("bash") or "sh", "-eu", "-o", "pipefail", "-c", script],
            cwd=folder,
            env={**os.environ, **environment, "HEED_PORT": str(server.port), "HEED": server.url, "TOKEN": token},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        printed = shell.stdout.split(f"{END}\n")
        assert shell.returncode == 0, f"after {printed[-1]!r}: {shell.stderr}"
        yield dict(zip((step.commands for step in steps), printed, strict=False))


def test_the_tour_has_its_steps() -> None:
    assert len(steps_of_the_tour()) >= 7


@pytest.mark.parametrize("step", [s for s in steps_of_the_tour() if s.kind == "json"], ids=lambda s: s.commands[:40])
def test_an_answer_has_the_fields_that_the_tour_shows(answers: dict[str, str], step: Step) -> None:
    assert fields(json.loads(answers[step.commands])) >= fields(json.loads(step.shown or ""))


@pytest.mark.parametrize("step", [s for s in steps_of_the_tour() if s.kind == "text"], ids=lambda s: s.commands[:40])
def test_an_answer_in_words_is_the_one_that_the_tour_shows(answers: dict[str, str], step: Step) -> None:
    assert answers[step.commands] == step.shown


@pytest.mark.parametrize("step", [s for s in steps_of_the_tour() if s.kind == "console"], ids=lambda s: s.commands[:40])
def test_the_sentences_of_an_answer_are_those_that_the_tour_shows_whatever_the_numbers(
    answers: dict[str, str], step: Step
) -> None:
    shown = (step.shown or "").removesuffix("...\n")
    assert without_numbers(answers[step.commands]).startswith(without_numbers(shown))


def without_numbers(text: str) -> str:
    text = re.sub(r"less than once in a million years|once in \S+ (weeks|years)", "ever so often", text)
    return re.sub(r"\d[\d,.]*", "#", text)


def fields(answer: Any, path: str = "") -> set[str]:
    """Every field in a JSON answer, by the path to it."""
    if isinstance(answer, dict):
        return {f"{path}.{name}" for name in answer} | {f for n, v in answer.items() for f in fields(v, f"{path}.{n}")}
    if isinstance(answer, list):
        return {f for value in answer for f in fields(value, f"{path}[]")}
    return set()
