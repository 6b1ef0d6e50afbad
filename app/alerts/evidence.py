"""What a detector's kinds of evidence mean in plain words."""

from __future__ import annotations

from collections.abc import Mapping

SPOKE_WITHIN = 1.0
"""Log10 weeks: a kind spoke if it alone would have made it at least a tenth as rare as the strongest one."""
MOST_NAMED = 3

IN_WORDS = {
    "step": "it jumped from one point to the next",
    "level": "it left the level of the last hours",
    "run": "several points in a row are off to the same side",
    "profile": "it is far from what is usual at this time of the week",
    "day": "it is far from the level of the last day",
    "jump": "the value itself jumped, whatever the time of day",
    "drift": "many points, each little off, have added up to one side",
    "point": "it is far from what was expected",
    "short": "about five points in a row are off",
    "silence": "nothing has happened for too long",
    "above": "it is above its limit",
    "below": "it is below its limit",
}


def spoke(evidence: Mapping[str, float]) -> list[str]:
    """The kinds that spoke, the strongest first; `evidence` is the rarity that each alone would give, log10 weeks."""
    ordered = sorted(evidence, key=lambda kind: -evidence[kind])
    return [kind for kind in ordered if evidence[kind] >= evidence[ordered[0]] - SPOKE_WITHIN][:MOST_NAMED]


def in_words(kind: str) -> str:
    return IN_WORDS.get(kind, kind.replace("_", " "))


def evidence_sentence(evidence: Mapping[str, float]) -> str | None:
    """`It jumped from one point to the next; several points in a row are off to the same side.`"""
    said = "; ".join(in_words(kind) for kind in spoke(evidence))
    return f"{said[0].upper()}{said[1:]}." if said else None
