"""The sentence of a message in an owner's own words: text with names in braces, filled with what the alert says. Pure.

A template is text and nothing else: what stands in braces must be one of the names below, and what is filled in is
never read as a template again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

PLACEHOLDERS = {
    "name": "orders (country DE)",
    "metric": "orders",
    "dimensions": "country DE",
    "change": "fell to 387 instead of about 1,000, that is 61 % or 613 less",
    "actual": "387",
    "expected": "1,000",
    "difference": "613",
    "percent": "61 %",
    "since": "since Tue 3 Nov, 14:00 (Berlin time)",
    "lasted": "4 hours",
    "rarity": "once in 40 weeks",
    "severity": "critical",
}
"""What may stand in braces, and an example of what takes its place."""

LONGEST = 500
_IN_BRACES = re.compile(r"\{([^{}]*)\}")


class Worded(StrEnum):
    """The messages whose sentence an owner may word."""

    FIRING = "firing"
    UPDATED = "updated"
    RESOLVED = "resolved"
    AGED = "aged"
    CLOSED = "closed"
    WITHDRAWN = "withdrawn"


def check_template(template: str) -> str:
    """The same. Raises ValueError, with what may stand in braces, where something else does."""
    if not 0 < len(template) <= LONGEST or not template.isprintable():
        raise ValueError(f"a sentence is one line of 1 to {LONGEST} characters")
    rest = _IN_BRACES.sub(lambda found: "" if found[1] in PLACEHOLDERS else found[0], template)
    if "{" in rest or "}" in rest:
        names = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        raise ValueError(f"in braces there may stand {names}, and nothing else")
    return template


def filled(template: str, values: Mapping[str, str | None]) -> str | None:
    """The sentence; None where it asks for something that is not known of this alert."""
    asked = _IN_BRACES.findall(template)
    if any(values.get(name) is None for name in asked):
        return None
    return _IN_BRACES.sub(lambda found: values[found[1]] or "", template)
