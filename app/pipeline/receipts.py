"""A receipt as JSON: what the API answers, pages show and the label keeps. The names are stable."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar

from feedback.missed import Replayed
from feedback.receipt import (
    HINDSIGHT_DAYS,
    Band,
    Change,
    Disagreement,
    Hindsight,
    PastAnomaly,
    Power,
    PowerOf,
    Receipt,
    SeriesName,
    Statistics,
)
from feedback.wording import sentences, warnings, weeks

T = TypeVar("T")

LISTED_SERIES = 50
"""Series a receipt names beside the first one; of more it gives the number."""

LISTED_ALERTS = 50
"""Alerts a receipt names; of more it gives the number."""


def receipt_json(receipt: Receipt) -> dict[str, Any]:
    return {
        "action": receipt.action.value,
        "label_id": receipt.label_id,
        "verdict": receipt.verdict.value,
        "author": receipt.author,
        "source": receipt.source,
        "comment": receipt.comment,
        "alert_id": receipt.alert_id,
        "series": _series_json(receipt.series),
        "beside": [_series_json(each) for each in receipt.beside[:LISTED_SERIES]],
        "series_count": 1 + len(receipt.beside),
        "beyond": [_series_json(each) for each in receipt.beyond[:LISTED_SERIES]],
        "direction": _direction_json(receipt.direction),
        "span": {"start": _time(receipt.started_at), "end": _time(receipt.ended_at)},
        "effects": {
            "alert": receipt.effects.alert.value,
            "training": receipt.effects.training.value,
            "tolerance": receipt.effects.tolerance.value,
            "creates": receipt.effects.creates.value,
        },
        "alert_status": _change_json(receipt.alert_status, str),
        "tolerance": _change_json(receipt.tolerance, _rounded) | {"unit": "decades"},
        "tolerance_of_siblings": _change_json(receipt.siblings, _rounded) | {"unit": "decades"},
        "threshold": _change_json(receipt.threshold, weeks) | {"unit": "rarity_weeks"},
        "threshold_of_repeats": _change_json(receipt.threshold_of_repeats, weeks) | {"unit": "rarity_weeks"},
        "worth": _change_json(receipt.worth, _rounded),
        "reasons": list(receipt.reasons),
        "band": _change_json(receipt.band, _band_json),
        "alerts_no_longer_sent": _hindsight_json(receipt.no_longer_sent),
        "alerts_now_sent": _hindsight_json(receipt.now_sent),
        "power": _power_of_json(receipt.own_power),
        "pinned_by": list(receipt.pinned_by),
        "disagreements": [_disagreement_json(each) for each in receipt.disagreements],
        "statistics": _statistics_json(receipt.statistics),
        "replayed": _replayed_json(receipt.replayed),
        "created": None,
        "warnings": warnings(receipt),
        "effective_from": _time(receipt.effective_from),
        "undo_url": receipt.undo_url,
        "text": sentences(receipt),
    }


def _change_json(change: Change[T] | None, form: Any) -> dict[str, Any]:
    if change is None:
        return {"before": None, "after": None}
    return {"before": form(change.before), "after": form(change.after)}


def _replayed_json(replayed: Replayed | None) -> dict[str, Any] | None:
    """What comes of playing a missed span again."""
    if replayed is None:
        return None
    hindrance = replayed.hindrance.value if replayed.hindrance else None
    return {"told": replayed.told, "hindrance": hindrance, "reason": replayed.reason, "cure": replayed.cure}


def _rounded(decades: float) -> float:
    return round(decades, 6)


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _direction_json(direction: int) -> str | None:
    return {1: "up", -1: "down"}.get(direction)


def _series_json(series: SeriesName) -> dict[str, Any]:
    return {"id": series.series_id, "metric": series.metric, "dimensions": dict(series.dimensions)}


def _band_json(band: Band | None) -> dict[str, Any] | None:
    if band is None:
        return None
    return {
        "timestamp": _time(band.timestamp),
        "expected": band.expected,
        "lower": band.lower,
        "upper": band.upper,
    }


def _power_of_json(of: PowerOf | None) -> dict[str, Any]:
    if of is None:
        return {"before": None, "after": None, "unlabelled": None}
    return {name: _power_json(getattr(of, name)) for name in ("before", "after", "unlabelled")}


def _power_json(power: Power) -> dict[str, Any]:
    since = None if power.since is None else _time(power.since)
    return {"size": power.size, "drops": round(power.drops, 4), "spikes": round(power.spikes, 4), "since": since}


def _hindsight_json(hindsight: Hindsight) -> dict[str, Any]:
    return {
        "days": HINDSIGHT_DAYS,
        "count": hindsight.count,
        "alerts": [_past_json(each) for each in hindsight.anomalies[:LISTED_ALERTS]],
    }


def _past_json(past: PastAnomaly) -> dict[str, Any]:
    return {
        "alert_id": past.alert_id,
        "series": _series_json(past.series),
        "started_at": _time(past.started_at),
        "direction": _direction_json(past.direction),
        "rarity_weeks": weeks(past.rarity),
    }


def _disagreement_json(each: Disagreement) -> dict[str, Any]:
    return {
        "label_id": each.other.label_id,
        "verdict": each.other.verdict.value,
        "author": each.other.author,
        "created_at": _time(each.other.created_at),
        "decides": each.decides,
    }


def _statistics_json(statistics: Statistics | None) -> dict[str, int] | None:
    if statistics is None:
        return None
    return {
        "days": HINDSIGHT_DAYS,
        "alerts": statistics.alerts,
        "real": statistics.real,
        "false_alarm": statistics.false_alarm,
        "unlabelled": statistics.unlabelled,
    }
