"""A `heed.yaml`: read with the line of every part, so that whatever is wrong is told with its place.

YAML 1.2 words: `on`, `no` and `12:30` are text. Times stay text as well. `${NAME}` stands for a variable of the
environment, `$$` for a dollar sign.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from app.errors import HeedError

Place = tuple[str | int, ...]
Node = Any
"""A node of PyYAML, which has no types."""

MOST_BYTES = 2_000_000
_VARIABLE = re.compile(r"\$(?:(\$)|\{([A-Za-z_][A-Za-z0-9_]*)\})")


class FileError(HeedError):
    """What is wrong with a file, line by line."""

    status, title = 422, "Not valid"


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Knows the plain words of YAML 1.2 only."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012 - PyYAML's own name for it


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+0123456789.")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


@dataclass
class HeedFile:
    """What a file says, and on which line each part of it stands."""

    path: Path
    document: dict[str, Any] = field(default_factory=dict)
    lines: dict[Place, int] = field(default_factory=dict)
    faults: list[tuple[Place, str]] = field(default_factory=list)

    def refuse(self, faults: list[tuple[Place, str]]) -> None:
        """Raises FileError where there are any, each with its line."""
        if faults:
            told = [f"{self.path}:{self.line_of(place, said)}: {_joined(place, said)}" for place, said in faults]
            raise FileError("Nothing was applied.\n" + "\n".join(dict.fromkeys(told)))

    def line_of(self, place: Place, said: str) -> int:
        """Of the part itself, of the one within it that the fault speaks of, or of what it should be in."""
        named = (*place, *said.partition(":")[0].split("."))
        if named in self.lines:
            return self.lines[named]
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


def read_file(path: Path, environment: Mapping[str, str]) -> HeedFile:
    """What the file says, with variables in their place and calendars taken in. Raises FileError."""
    text = path.read_bytes()
    if len(text) > MOST_BYTES:
        raise FileError(f"{path}: it is larger than {MOST_BYTES} bytes. Is it the right file?")
    file = HeedFile(path)
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise FileError(_not_yaml(path, error)) from None
    document = None if node is None else _Reading(file, environment).value(node, ())
    if not isinstance(document, dict | None):
        raise FileError(f"{path}:1: it holds no sections. Start with a line such as `policies:`.")
    file.document = document or {}
    _take_in_calendars(file)
    file.refuse(file.faults)
    return file


@dataclass
class _Reading:
    file: HeedFile
    environment: Mapping[str, str]
    within: set[int] = field(default_factory=set)

    def value(self, node: Node, place: Place) -> Any:
        self.file.lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, place)
        if id(node) in self.within:
            self.file.faults.append((place, "this stands within itself. Write out what it should be"))
            return None
        self.within.add(id(node))
        value = self._mapping(node, place) if isinstance(node, yaml.MappingNode) else self._list(node, place)
        self.within.discard(id(node))
        return value

    def _list(self, node: Node, place: Place) -> list[Any]:
        return [self.value(each, (*place, index)) for index, each in enumerate(node.value)]

    def _mapping(self, node: Node, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
            here = (*place, name)
            self.file.lines[here] = key.start_mark.line + 1
            if name in found:
                self.file.faults.append((here, "this stands here twice. Leave one of them out"))
            found[name] = self.value(value, here)
        return found

    def _scalar(self, node: Node, place: Place) -> Any:
        kind = node.tag.rpartition(":")[2]
        if kind == "null":
            return None
        if kind == "bool":
            return node.value.lower() == "true"
        if kind in ("int", "float"):
            return int(node.value) if kind == "int" else float(node.value)
        return self._with_variables(node.value, place)

    def _with_variables(self, text: str, place: Place) -> str:
        def put(match: re.Match[str]) -> str:
            if match[1]:
                return "$"
            value = self.environment.get(match[2])
            if not value:
                self.file.faults.append((place, f"the variable {match[2]} is not set. Set it, and apply again"))
            return value or ""

        return _VARIABLE.sub(put, text)


def _take_in_calendars(file: HeedFile) -> None:
    """The `file` of a calendar, beside the heed.yaml, becomes what it holds."""
    calendars = file.document.get("calendars")
    for index, calendar in enumerate(calendars if isinstance(calendars, list) else ()):
        if not isinstance(calendar, dict) or not isinstance(calendar.get("file"), str):
            continue
        name, place = calendar.pop("file"), ("calendars", index, "file")
        try:
            calendar["ics"] = (file.path.parent / name).read_text()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            file.faults.append((place, f"this file can't be read ({why}). Give its place, seen from {file.path.name}"))
        file.lines["calendars", index, "ics"] = file.lines[place]


def _joined(place: Place, said: str) -> str:
    shown = ["file" if part == "ics" else str(part) for part in place]
    return f"{'.'.join(shown)}: {said}" if shown else said


def _not_yaml(path: Path, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark else 1
    said = getattr(error, "problem", None) or "it can't be read"
    return f"Nothing was applied.\n{path}:{line}: this is not YAML: {said}"
