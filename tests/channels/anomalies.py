"""Ten typical alerts, as facts. Their messages are kept in `golden/`, to be read as a reader would."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from app.alerts.budget import Told, in_words
from app.alerts.contribution import Sibling, contributions
from app.alerts.message import (
    AlertFacts,
    AnomalyFacts,
    Answered,
    Digest,
    Digested,
    Escalation,
    LostData,
    Reason,
    SeriesFacts,
    WarmUp,
    digest_title,
    title_of,
    title_of_several,
)
from app.alerts.rules import End
from app.alerts.shape import Shape, ShapeKind
from app.alerts.wording import moment
from app.channels.contract import Notice
from app.pipeline.facts import OFFERED, OFFERED_OF_GAP
from app.pipeline.found_gaps import Words

NOW = datetime(2026, 11, 3, 13, 5, tzinfo=UTC)
HEED = "https://heed.example"
ACTIONS_WHILE_ON = {action: f"{HEED}/k/{action}.signed" for action in ("acknowledge", "snooze")}


@dataclass(frozen=True)
class Case:
    name: str
    reason: Reason
    facts: AlertFacts

    @property
    def notice(self) -> Notice:
        return Notice(id="1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b", reason=self.reason, facts=self.facts, now=NOW)


def anomaly(metric: str, timezone: str = "Europe/Berlin", **dimensions: str) -> AnomalyFacts:
    """A drop of 61 %, still going on."""
    return AnomalyFacts(
        series=SeriesFacts(id=4711, metric=metric, dimensions=dimensions, timezone=timezone),
        started_at=NOW - timedelta(minutes=65),
        ended_at=None,
        direction=-1,
        actual=387.0,
        expected=1003.2718,
        lower=861.93,
        upper=1144.61,
        rarity=math.log10(41.3),
        impact=616.2718,
        point_count=2,
    )


def alert(*anomalies: AnomalyFacts, verdicts: tuple[str, ...] = tuple(OFFERED)) -> AlertFacts:
    """With what production offers of it while it goes on, or once it is over."""
    first = anomalies[0]
    return AlertFacts(
        id=90210,
        kind="anomaly",
        severity="warning",
        title=title_of(first.series.metric, first.series.dimensions, first.direction),
        started_at=first.started_at,
        ended_at=first.ended_at,
        told_at=NOW,
        url=f"{HEED}/a/WzkwMjEwXQ.signed",
        anomalies=anomalies,
        links={verdict: f"{HEED}/f/{verdict}.signed" for verdict in verdicts},
        actions=(ACTIONS_WHILE_ON if first.ended_at is None else {}) | {"missed": f"{HEED}/m/missed.signed"},
        given_up_after=timedelta(days=1),
    )


def notice_of(title: str) -> AlertFacts:
    """An alert about no series, as Heed makes of its own accord."""
    return AlertFacts(
        id=90210,
        kind="data",
        severity="warning",
        title=title,
        started_at=NOW - timedelta(minutes=65),
        ended_at=None,
        told_at=NOW,
        url=f"{HEED}/a/WzkwMjEwXQ.signed",
        anomalies=(),
        actions={"acknowledge": f"{HEED}/k/acknowledge.signed"},
    )


def _lasting(anomaly: AnomalyFacts, hours: float) -> AnomalyFacts:
    return replace(anomaly, ended_at=anomaly.started_at + timedelta(hours=hours))


def _makes_most(*shares: tuple[str, float, float]) -> str | None:
    """What is said of these countries where nine others have changed little."""
    others = [Sibling(index, f"C{index}", 99.0, 100.0) for index in range(9)]
    siblings = [Sibling(100 + index, *share) for index, share in enumerate(shares)]
    explanation = contributions("country", siblings + others, -1)
    return explanation.sentence if explanation else None


def _countries(*shares: tuple[str, float, float]) -> tuple[AnomalyFacts, ...]:
    drop = anomaly("orders")
    return tuple(
        replace(
            drop,
            series=SeriesFacts(100 + index, "orders", {"country": country}, "Europe/Berlin"),
            actual=actual,
            expected=expected,
            rarity=2.4 - index / 10,
        )
        for index, (country, actual, expected) in enumerate(shares)
    )


DROP = anomaly("orders", country="DE")
TOKYO = replace(
    anomaly("signups", "Asia/Tokyo", city="大阪", device="phone"), actual=3120.0, expected=1432.55, direction=1
)
LATENCY = replace(
    anomaly("checkout.latency_ms", "America/New_York", endpoint="/pay"),
    direction=1,
    actual=1843.219487,
    expected=211.00412,
    rarity=5.2,
)
SILENCE = replace(
    anomaly("payments", "UTC", provider="<Acme & Söhne>"), actual=0.0, expected=0.8143, lower=0.1, upper=2
)
FLUKE = replace(anomaly("refunds"), actual=14.0, expected=0.0, direction=1, rarity=math.log10(9.6))
DRIFT = replace(
    anomaly("conversion_rate", shop="fr"),
    actual=0.030817,
    expected=0.034199,
    lower=0.0295,
    upper=0.0389,
    point_count=31,
    started_at=NOW - timedelta(hours=31),
    rarity=math.log10(18.2),
)
LARGE = replace(
    anomaly("revenue_eur", "America/Sao_Paulo"),
    actual=1_893_442.13,
    expected=1_204_118.90,
    direction=1,
    rarity=math.log10(130),
    started_at=NOW - timedelta(minutes=5),
)
TOTAL = replace(
    anomaly("orders"), series=SeriesFacts(99, "orders", {}, "Europe/Berlin"), actual=5210.0, expected=6310.4, rarity=2.1
)
WARMING = replace(anomaly("queue_seconds"), expected=None, actual=95.3318, direction=1, detector="basic")
WARMING = replace(WARMING, warm_up=WarmUp(days_seen=12, days_needed=14))

STORM = Digest("5d0f6e4a", 37, 30, tuple(
    Digested(90210 + number, status, severity, title, NOW - timedelta(minutes=6), f"{HEED}/a/{number}.signed")
    for number, (status, severity, title) in enumerate([
        ("firing", "critical", "checkout_errors and 11 more series are unusually high"),
        ("firing", "critical", "payments (provider Acme) is unusually low"),
        ("firing", "warning", "signups is unusually low"),
        ("firing", "warning", "orders (country DE, device phone) is unusually low"),
        ("firing", "warning", "queue_seconds is unusually high"),
        ("resolved", "warning", "refunds is unusually high"),
    ])
))  # fmt: skip

NIGHT = Digest("91ab7c02", 3, 1, tuple(
    Digested(90210 + number, status, "warning", title, NOW - timedelta(hours=15), f"{HEED}/a/{number}.signed", is_aged)
    for number, (status, title, is_aged) in enumerate([
        ("firing", "signups is unusually low", False),
        ("resolved", "orders (country DE) is unusually low", True),
        ("resolved", "refunds is unusually high", False),
    ])
))  # fmt: skip

THREE = (("DE", 387, 1003.27), ("FR", 512, 904.4), ("IT", 180, 260.9))
EIGHT = (
    *THREE, ("AT", 60, 133.1), ("CH", 71, 140.2), ("ES", 201, 290.2), ("PL", 33, 61.5), ("NL", 104, 150.8),
)  # fmt: skip
WEEK = [Told(each, 1.0 + each / 10, "orders (country DE)") for each in range(12)]
SINCE = moment(NOW - timedelta(minutes=65), "Europe/Berlin", NOW)
SILENT = Words("checkout", {"orders", "refunds"}, SINCE).of_silence(214, ["orders", "refunds"])

CASES = [
    Case("01-drop-in-one-country", Reason.FIRING, alert(DROP)),
    Case("02-rise-in-tokyo", Reason.FIRING, alert(TOKYO)),
    Case("03-latency-in-milliseconds", Reason.FIRING, replace(alert(LATENCY), severity="critical")),
    Case("04-nothing-arrives-any-more", Reason.FIRING, alert(SILENCE)),
    Case("05-something-where-there-was-nothing", Reason.FIRING, alert(FLUKE)),
    Case("06-slow-drift-inside-the-band", Reason.UPDATED, alert(DRIFT)),
    Case("07-one-cause-in-eight-countries", Reason.FIRING, replace(
        alert(*_countries(*EIGHT)), title=title_of_several("orders", {"country": "DE"}, -1, 8),
    )),
    Case("08-back-to-normal", Reason.RESOLVED, alert(_lasting(LARGE, 4.2))),
    Case("09-closed-as-a-false-alarm", Reason.CLOSED, replace(alert(DROP), answered=Answered("false_alarm", "Anna"))),
    Case("10-withdrawn", Reason.WITHDRAWN, replace(alert(_lasting(SILENCE, 27)), is_of_bad_data=True)),
    Case("11-still-warming-up", Reason.FIRING, alert(WARMING)),
    Case("12-a-total-and-three-of-its-parts", Reason.FIRING, replace(
        alert(TOTAL, *_countries(*THREE)),
        title=title_of_several("orders", {}, -1, 4),
        explained_by=_makes_most(*THREE),
    )),
    Case("14-the-rest-of-a-storm", Reason.DIGEST, AlertFacts(
        id=0, kind="digest", severity="critical",
        title=digest_title(37, 30, NOW - timedelta(minutes=6), "Europe/Berlin", NOW),
        started_at=NOW - timedelta(minutes=6), ended_at=None, told_at=NOW,
        url=f"{HEED}/d/WyIxYjRlMjhiYSJd.signed", anomalies=(), digest=STORM,
    )),
    Case("13-the-total-and-its-parts-are-back", Reason.RESOLVED, replace(
        alert(_lasting(TOTAL, 4.2), *(_lasting(each, 3) for each in _countries(("DE", 387, 1003.27)))),
        title=title_of_several("orders", {}, -1, 2),
    )),
    Case("15-offered-a-new-normal", Reason.UPDATED, replace(alert(DROP), offer="new_normal")),
    Case("16-taken-for-the-new-normal", Reason.AGED, replace(
        alert(replace(_lasting(DROP, 24), end=End.AGED, latest=391.0)), offer="new_normal",
    )),
    Case("17-escalation-to-come", Reason.FIRING, replace(
        alert(DROP), escalates=Escalation(NOW + timedelta(minutes=30), ("on call",)),
    )),
    Case("18-escalated-and-taken-on", Reason.UPDATED, replace(
        alert(DROP), escalated_after=timedelta(minutes=30), looked_after_by="Anna",
        actions={action: url for action, url in alert(DROP).actions.items() if action != "acknowledge"},
    )),
    Case("19-a-budget-is-broken", Reason.FIRING, replace(
        notice_of(in_words("Policy shop", WEEK, 2.0, alerts_per_week=0.25)),
        actions={each: f"{HEED}/k/{each}.signed" for each in ("acknowledge", "budget")},
    )),
    Case("20-a-source-is-silent", Reason.FIRING, replace(
        notice_of(SILENT), links={verdict: f"{HEED}/f/{verdict}.signed" for verdict in OFFERED_OF_GAP},
        lost_data=LostData.FOUND,
    )),
    Case("21-a-spike-that-has-passed", Reason.RESOLVED, alert(replace(
        _lasting(DROP, 0.5), end=End.RECOVERED,
        series=replace(DROP.series, cadence_seconds=300), shape=Shape(ShapeKind.SPIKE, 387.0, 1003.27, 2),
    ))),
    Case("22-a-new-level", Reason.UPDATED, alert(replace(
        DROP, started_at=NOW - timedelta(hours=9), shape=Shape(ShapeKind.SHIFT, 702.4, 1001.7, 12),
    ))),
    Case("23-drifting-away", Reason.FIRING, alert(replace(
        DRIFT, shape=Shape(ShapeKind.DRIFT, 0.030817, 0.034199, 31),
    ))),
    Case("24-the-digest-of-a-night", Reason.DIGEST, AlertFacts(
        id=0, kind="digest", severity="warning",
        title=digest_title(3, 1, NOW - timedelta(hours=15), "Europe/Berlin", NOW),
        started_at=NOW - timedelta(hours=15), ended_at=None, told_at=NOW,
        url=f"{HEED}/d/WyIyYjRlMjhiYSJd.signed", anomalies=(), digest=NIGHT,
    )),
]  # fmt: skip
