"""`heed apply`: have a running Heed brought in line with a file, and say in words what becomes of what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import httpx
from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from app.api.apply import Document, FileCalendar, FileChannel, FileEvent, FilePolicy
from app.api.flags import NewState
from app.api.retrains import MatcherInput
from app.api.silences import NewSilence
from app.heed_file import HeedFile, Place
from app.own_server import checked

MODELS: dict[str, type[BaseModel]] = {
    "policies": FilePolicy,
    "channels": FileChannel,
    "events": FileEvent,
    "calendars": FileCalendar,
    "flags": NewState,
    "silences": NewSilence,
    "matcher": MatcherInput,
}
VERBS = {"create": "made", "change": "changed", "remove": "removed"}
APPLY_TIMEOUT_SECONDS = 600.0


def send(client: httpx.Client, file: HeedFile, *, dry_run: bool, prune: bool) -> dict[str, Any]:
    """The server's answer to a file. Raises FileError with the line of every fault that it or we find."""
    file.refuse(list(_faults(file)))
    asked = {"dry_run": dry_run, "prune": prune}
    answer = client.post("/v1/apply", json=file.document, params=asked, timeout=APPLY_TIMEOUT_SECONDS)
    if answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
        faults = answer.json().get("errors", [])
        file.refuse([(tuple(each["path"]), each["message"]) for each in faults])
    found: dict[str, Any] = checked(answer)
    return found


def _faults(file: HeedFile) -> Iterable[tuple[Place, str]]:
    """What is wrong by itself, found before anything is sent."""
    try:
        Document.model_validate_json(to_json(file.document))
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_input=False):
            place = tuple(part for part in fault["loc"] if part != "[key]")
            yield place, _said(place, fault["type"], str(fault["msg"]))


def _said(place: Place, kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return f"there is no such name here; there are {', '.join(_names(place[:-1]))}"
    if kind == "missing":
        return "it is missing here"
    message = message.removeprefix("Value error, ")
    return f"{message[:1].lower()}{message[1:]}"


def _names(place: Place) -> list[str]:
    words = [part for part in place if isinstance(part, str) and part in MODELS]
    model = MODELS[words[-1]] if words else Document
    names = [each.alias or name for name, each in model.model_fields.items()]
    return ["file" if name == "ics" else name for name in names]


def in_words(answer: dict[str, Any], *, dry_run: bool) -> str:
    """A line for each thing that is made, changed, removed or not the file's, and what it comes to."""
    shown = [each for each in answer["changes"] if each["action"] != "leave"]
    lines = [f"{each['action']:<7} {each['kind']} {each['name']}{_details(each)}" for each in shown]
    counts = Counter(each["action"] for each in answer["changes"])
    done = [f"{counts[action]} {verb}" for action, verb in VERBS.items() if counts[action]]
    as_before = counts["leave"] + counts["keep"]
    if not done:
        return "\n".join([*lines, f"Nothing to do: {as_before} as they are."])
    would = "Would be: " if dry_run else "Done: "
    return "\n".join([*lines, f"{would}{', '.join(done)}, {as_before} as they are."])


def _details(change: dict[str, Any]) -> str:
    details = list(change["details"])
    if change["signing_secret"]:
        details.append(f"signing secret, shown this once: {change['signing_secret']}")
    return "".join(f"\n          {each}" for each in details)
