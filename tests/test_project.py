"""What is written about Heed is complete and true: routes, detectors, channels, commands, promises, packaging."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest
import typer.main
from fastapi.routing import APIRoute

from app.api import ROUTERS
from app.api.access import access_of
from app.channels import CHANNELS
from app.cli import app as command_line
from app.formats import FORMATS
from detectors.registry import DETECTORS

ROOT = Path(__file__).parents[1]
REFERENCE = (ROOT / "docs" / "reference.md").read_text()
GUARANTEES = (ROOT / "docs" / "guarantees.md").read_text()
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


def test_every_route_is_documented_with_the_scope_it_asks_for() -> None:
    rows = [
        f"| `{method} {route.path}` | {access.value if (access := access_of(route)) else 'none'} |"
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in (route.methods or set()) - {"HEAD"}
    ]
    assert [row for row in rows if row not in REFERENCE] == []


@pytest.mark.parametrize("detector", DETECTORS)
def test_every_detector_is_documented(detector: str) -> None:
    assert f"| `{detector}` |" in REFERENCE


@pytest.mark.parametrize("channel", CHANNELS)
def test_every_channel_is_documented(channel: str) -> None:
    assert f"| `{channel}` |" in REFERENCE


@pytest.mark.parametrize("content_type", FORMATS)
def test_every_format_is_documented(content_type: str) -> None:
    assert f"`{content_type}`" in REFERENCE


def test_every_command_is_documented() -> None:
    commands = typer.main.get_command(command_line).commands  # type: ignore[attr-defined]
    assert [name for name in commands if f"`heed {name}" not in REFERENCE] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?://)([^)#]+)", document.read_text())
    assert [target for target in targets if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_a_document_names_are_there(document: Path) -> None:
    named = re.findall(
        r"`((?:app|detectors|feedback|migrations|requirements|tests|docs)/[\w./-]+)", document.read_text()
    )
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_test_that_a_promise_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", GUARANTEES)
    assert len(named) > 5
    assert [f"{file}::{name}" for file, name in named if name not in functions_of(ROOT / file)] == []


def test_every_promise_that_a_test_mentions_is_on_the_page() -> None:
    on_the_page = set(re.findall(r"^\| (\d+) \|", GUARANTEES, re.MULTILINE))
    mentioned = {number for file in ROOT.glob("tests/**/test_*.py") for number in guarantees_in(file)}
    assert mentioned <= on_the_page


def test_nothing_in_the_requirements_names_a_package_index() -> None:
    for file in (ROOT / "requirements").glob("*.txt"):
        text = file.read_text()
        assert "://" not in text
        assert "--index" not in text
        assert "--find-links" not in text


def test_every_pinned_requirement_has_its_hashes() -> None:
    for file in (ROOT / "requirements").glob("*.txt"):
        pins = re.findall(r"^[\w.\[\]-]+==.*(?:\n    --hash=.*)*", file.read_text(), re.MULTILINE)
        assert pins
        assert [pin for pin in pins if "--hash=sha256:" not in pin] == []


def test_the_image_takes_the_same_steps_as_a_bare_machine() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE)
    assert "RUN make install" in dockerfile
    for source in " ".join(copied).split():
        assert (ROOT / source).exists(), f"the image copies {source}, which is not there"
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert [source for source in " ".join(copied).split() if f"!{source}" not in ignored] == []


def test_the_image_holds_every_package_that_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = [name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]]
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert [name for name in packages if f"COPY {name} {name}" not in dockerfile] == []


def test_the_image_runs_as_nobody_in_particular_and_gets_its_signals() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert "USER heed" in lines
    assert 'ENTRYPOINT ["/heed/.venv/bin/heed"]' in lines  # no shell in between, which would keep signals
    assert any(line.startswith("HEALTHCHECK") for line in lines)


@pytest.mark.parametrize("script", [*ROOT.glob("requirements/*.sh"), ROOT / ".ci" / "run"], ids=lambda path: path.name)
def test_scripts_are_plain_shell(script: Path) -> None:
    assert subprocess.run(["sh", "-n", script], check=False).returncode == 0


def test_continuous_integration_does_what_a_developer_does() -> None:
    assert "make test" in (ROOT / ".ci" / "run").read_text()


@cache
def functions_of(file: Path) -> frozenset[str]:
    tree = ast.parse(file.read_text()) if file.exists() else ast.Module([], [])
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def guarantees_in(file: Path) -> set[str]:
    tree = ast.parse(file.read_text())
    tests = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"))
    return {n for test in tests for n in re.findall(r"[Gg]uarantees? (\d+)", ast.get_docstring(test) or "")}
