"""What a message says of an alert, whichever channel carries it: the facts, and one sentence an outsider follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from app.alerts.contribution import Explanation
from app.alerts.grouping import Extent, Member, causes_among, growth_of, left_of, off_by
from app.alerts.rules import End, Severity, SnoozedFor, worse
from app.alerts.shape import Shape, ShapeKind
from app.alerts.templates import Worded, filled
from app.alerts.wording import (
    NAME_LIMIT,
    clipped,
    day,
    difference,
    dimensions_in_words,
    lasting,
    moment,
    name_in_words,
    on_moment,
    quantity,
    rarity_in_words,
    span,
    unit_of,
)
from detectors.static import is_beyond_a_limit

RAREST_WEEKS = 1e6
OTHERS_SHOWN = 5
TAKEN_FOR_NORMAL = (
    "If nobody answers, Heed takes it for normal: it learns this level from now on and, until the series has settled "
    "or a week is over, tells of it again only if it gets much stranger or turns the other way."
)
WHILE_DATA_ARE_LOST = "Until it ends, nothing that these series send is judged or learned from."
UNTIL_DATA_ARE_BACK = (
    "If nobody answers, nothing that these series send is judged or learned from until they send as usual again; then "
    "it closes by itself."
)
VERDICTS_IN_WORDS = {
    "false_alarm": "a false alarm",
    "real": "a real problem",
    "event": "a one-off event",
    "new_normal": "the new normal",
    "bad_data": "bad data",
}
LIKE_WHAT = {
    "false_alarm": "the false alarm",
    "real": "the real problem",
    "missed": "the missed problem",
    "event": "the one-off event",
    "new_normal": "the new normal",
    "bad_data": "the bad data",
}
VERDICT_NAMES = {
    "false_alarm": "False alarm",
    "real": "Real problem",
    "missed": "Missed",
    "event": "One-off event",
    "new_normal": "New normal",
    "bad_data": "Bad data",
}


class Action(StrEnum):
    """What a reader can do with an alert besides answering it."""

    ACKNOWLEDGE = "acknowledge"
    SNOOZE = "snooze"
    MISSED = "missed"
    BUDGET = "budget"


ACTION_NAMES = {
    Action.BUDGET: "Set this budget",
    Action.ACKNOWLEDGE: "I'm on it",
    Action.SNOOZE: "Snooze until it changes",
    Action.MISSED: "Something missed?",
}
ACTIONS_WHILE_ON = (Action.ACKNOWLEDGE, Action.SNOOZE, Action.BUDGET)
OPENS_A_PAGE = frozenset({"details", Action.MISSED.value, Action.BUDGET.value})
"""Buttons that are links even where the others act in place."""


class Reason(StrEnum):
    """Why a channel hears of an alert."""

    FIRING = "firing"
    GROWN = "grown"
    UPDATED = "updated"
    RESOLVED = "resolved"
    AGED = "aged"
    CLOSED = "closed"
    WITHDRAWN = "withdrawn"
    SETTLED = "settled"
    DIGEST = "digest"

    @property
    def is_on(self) -> bool:
        """Whether the alert still goes on."""
        return self in (Reason.FIRING, Reason.GROWN, Reason.UPDATED, Reason.DIGEST)


WORDED_AS = {Reason.GROWN: Worded.FIRING, Reason.DIGEST: Worded.FIRING}
"""Messages that are worded as others are."""


@dataclass(frozen=True)
class SeriesFacts:
    id: int
    metric: str
    dimensions: Mapping[str, str]
    timezone: str
    cadence_seconds: int = 3_600
    unit: str | None = None  # as its policy says; else the metric's name tells
    wording: Mapping[str, str] = field(default_factory=dict)  # sentences in its owner's words, by what they tell of

    @property
    def suffix(self) -> str:
        """What follows a value of it."""
        return f" {self.unit}" if self.unit else unit_of(self.metric)

    @property
    def name(self) -> str:
        return name_in_words(self.metric, self.dimensions)

    @property
    def member(self) -> Member:
        return Member(self.id, self.metric, self.dimensions)


@dataclass(frozen=True)
class WarmUp:
    """How much of a series has been seen, of how much is needed to judge it well."""

    days_seen: int
    days_needed: int


@dataclass(frozen=True)
class Resemblance:
    """Something of the past that this is like, and what somebody said of it; None where nobody answered.

    distance: from 0, the same again, to about 1.2, from which on nothing is called alike.
    """

    verdict: str | None
    at: datetime
    distance: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class AnomalyFacts:
    """One anomaly at its strangest point. Without an expectation only the actual value is known.

    place: among those of its alert, in the order in which people were told. end: why it is over, where nobody ended it.
    latest: value of the last point that made anything of it, where that is known. shape: what it looks like, where that
    was looked at and can be told.
    """

    series: SeriesFacts
    started_at: datetime
    ended_at: datetime | None
    direction: int
    actual: float
    expected: float | None
    lower: float | None
    upper: float | None
    rarity: float  # log10 weeks
    impact: float
    point_count: int = 1
    detector: str = "seasonal"
    worth: float | None = None
    reasons: tuple[str, ...] = ()
    warm_up: WarmUp | None = None
    evidence: Mapping[str, float] = field(default_factory=dict)  # the rarity of each kind alone, log10 weeks
    place: int = 0
    explanations: tuple[Explanation, ...] = ()
    resemblances: tuple[Resemblance, ...] = ()
    end: str | None = None
    latest: float | None = None
    last_abnormal_at: datetime | None = None
    shape: Shape | None = None

    @property
    def rarity_weeks(self) -> float:
        return weeks_of(self.rarity)

    @property
    def limit(self) -> float | None:
        """The owner's own limit that it is beyond, if that is why it was told."""
        crossed = self.upper if self.direction > 0 else self.lower
        return crossed if is_beyond_a_limit(self.detector, self.rarity) else None

    @property
    def is_inside_the_band(self) -> bool:
        """Strange for how long it lasted, not for any one point."""
        return self.lower is not None and self.upper is not None and self.lower <= self.actual <= self.upper


@dataclass(frozen=True)
class Answered:
    """The verdict that stands on an alert, and who gave it (nobody known by name if it came through a link)."""

    verdict: str
    author: str | None


@dataclass(frozen=True)
class Silenced:
    """Why an alert is not sent: somebody wanted quiet until then."""

    author: str
    until: datetime
    comment: str


@dataclass(frozen=True)
class Snoozed:
    """Somebody wants to hear no more of an alert for a while.

    until: a time; or what: what they want to hear of. extent, severity: as they were then.
    """

    until: datetime | None = None
    what: SnoozedFor | None = None
    extent: Extent = field(default_factory=lambda: Extent(0, 0.0))
    severity: Severity = Severity.WARNING

    def holds(self, extent: Extent, severity: Severity, growth: float) -> bool:
        """Whether what goes on is still not told; if that waits for a change, there has been none."""
        return self.what is not SnoozedFor.CHANGE or not self.is_outgrown(extent, severity, growth)

    def is_outgrown(self, extent: Extent, severity: Severity, growth: float) -> bool:
        """Whether the alert has since become worse, or larger by this share."""
        return growth_of(self.extent, extent, growth) is not None or worse(self.severity, severity) != self.severity


@dataclass(frozen=True)
class Escalation:
    """Which channels are told as well, and when, unless somebody looks after an alert."""

    at: datetime
    to: tuple[str, ...]


@dataclass(frozen=True)
class Digested:
    """One alert of many that a message tells of together. is_aged: it is over by age alone."""

    id: int
    status: str
    severity: str
    title: str
    started_at: datetime
    url: str
    is_aged: bool = False


@dataclass(frozen=True)
class Digest:
    """Alerts that a channel hears of in one message, the most severe first; of more than are listed the number.

    id: of the notification that carries them. still_on: how many of them last.
    """

    id: str
    count: int
    still_on: int
    listed: tuple[Digested, ...]


class LostData(StrEnum):
    """How it is known that data are lost: found by Heed, or declared."""

    FOUND = "found"
    DECLARED = "declared"


@dataclass(frozen=True)
class AlertFacts:
    """All that any channel may say of an alert. `title` is what it was stored with; `told_at` when it was opened."""

    id: int
    kind: str
    severity: str
    title: str
    started_at: datetime
    ended_at: datetime | None
    told_at: datetime
    url: str
    anomalies: tuple[AnomalyFacts, ...]
    links: Mapping[str, str] = field(default_factory=dict)  # verdict -> URL
    answered: Answered | None = None
    chart_url: str | None = None  # of the picture, if there is one
    explained_by: str | None = None  # the dimension values behind most of the change, in a sentence
    explanations: tuple[Explanation, ...] = ()  # in numbers, by each dimension that says anything, the best first
    event: str | None = None  # the name of the event that explains it
    offer: str | None = None  # the verdict that Heed itself proposes
    resembles: Resemblance | None = None  # an earlier happening that is like it
    growth_to_repeat: float = 1.0  # share by which it must grow to be spoken of again
    escalated_after: timedelta | None = None  # others are told since nobody had looked after it for so long
    digest: Digest | None = None  # of the alerts that a message tells of together
    silence: Silenced | None = None  # that keeps it from being sent
    snooze: Snoozed | None = None  # that keeps what is new of it from being told
    looked_after_by: str | None = None  # who took it on, or was given it
    actions: Mapping[str, str] = field(default_factory=dict)  # what can be done besides answering -> URL
    escalates: Escalation | None = None  # what happens if nobody looks after it
    given_up_after: timedelta | None = None  # for how long it may last
    lost_data: LostData | None = None  # how it is known what it tells of, where that is a gap
    lead: int | None = None  # id of the series that its title names
    is_of_bad_data: bool = False  # a gap, or who answered, says that its data was not complete or not right

    @property
    def foremost(self) -> AnomalyFacts | None:
        """The anomaly to speak of: of those that last, or of all once none does, the rarest that is not part of one.

        A part that leads although its total is there does so because its policy tells parts apart: it is spoken of.
        """
        still_open = [anomaly for anomaly in self.anomalies if anomaly.ended_at is None]
        lasting = still_open or [anomaly for anomaly in self.anomalies if anomaly.end == End.AGED]
        spoken_of = lasting or list(self.anomalies)
        causes = causes_among([anomaly.series.member for anomaly in spoken_of])
        leading = [anomaly for anomaly, is_cause in zip(spoken_of, causes, strict=True) if is_cause]
        named = [anomaly for anomaly in spoken_of if anomaly.series.id == self.lead and anomaly not in leading]
        return max(named or leading, key=lambda anomaly: anomaly.rarity, default=None)

    @property
    def is_aged(self) -> bool:
        """Whether what is spoken of was given up after a day although it is still abnormal."""
        return self.foremost is not None and self.foremost.end == End.AGED

    @property
    def is_snoozed(self) -> bool:
        """Whether somebody wants to hear no more of it yet."""
        return self.snooze is not None and self.snooze.holds(
            self.extent, Severity(self.severity), self.growth_to_repeat
        )

    @property
    def extent(self) -> Extent:
        """How large it is, for when it grows."""
        return extent_of(self.anomalies)


@dataclass(frozen=True)
class Button:
    """A link by which a reader answers an alert, looks after it, or looks closer.

    `action` is the verdict, an `Action`, or `details`.
    """

    action: str
    text: str
    url: str


def extent_of(anomalies: Sequence[AnomalyFacts]) -> Extent:
    """How large an alert of these is."""
    causes = causes_among([anomaly.series.member for anomaly in anomalies])
    leading = [anomaly for anomaly, is_cause in zip(anomalies, causes, strict=True) if is_cause]
    size = max((off_by(a.actual, a.expected, a.lower, a.upper) for a in leading), default=0.0)
    left = min((left_of(anomaly.actual, anomaly.expected) for anomaly in leading), default=1.0)
    return Extent(len({anomaly.series.id for anomaly in leading}), size, left)


def weeks_of(rarity: float) -> float:
    """A return period in weeks from its logarithm, bounded where it means nothing more."""
    return min(float(10.0 ** min(rarity, 300.0)), RAREST_WEEKS)


def title_of(metric: str, dimensions: Mapping[str, str], direction: int) -> str:
    """The short form, for lists and subjects: `orders (country DE) is unusually low`."""
    return f"{name_in_words(metric, dimensions)} is unusually {'low' if direction < 0 else 'high'}"


def title_of_several(metric: str, dimensions: Mapping[str, str], direction: int, count: int) -> str:
    """As `title_of`, of so many series of which one leads: `orders and 3 more series are unusually low`.

    direction: 0 where they need not have gone the same way.
    """
    name = name_in_words(metric, dimensions)
    how = {-1: "unusually low", 1: "unusually high"}.get(direction, "unusual")
    return f"{name} is {how}" if count < 2 else f"{name} and {count - 1:,} more series are {how}"


def as_it_ended(reason: Reason, facts: AlertFacts) -> Reason:
    """The reason that a channel is told: that an alert is over does not say that all is well again."""
    return Reason.AGED if reason is Reason.RESOLVED and facts.is_aged else reason


def sentence(facts: AlertFacts, reason: Reason) -> str:
    """What happened, in one sentence: actual against expected, by how much, since when, and how rare that is."""
    anomaly = facts.foremost
    if anomaly is None:
        return _without_anomaly(facts, reason)
    return _in_own_words(anomaly, facts, reason) or _in_our_words(anomaly, facts, reason)


def _in_our_words(anomaly: AnomalyFacts, facts: AlertFacts, reason: Reason) -> str:
    said = f"{anomaly.series.name} {_change(anomaly)}, {_when(anomaly, facts)}"
    match reason:
        case Reason.FIRING | Reason.GROWN | Reason.DIGEST:
            return f"{said}; {_rarity(anomaly)}."
        case Reason.UPDATED:
            return f"It goes on: {said}; {_rarity(anomaly)}."
        case Reason.RESOLVED | Reason.SETTLED | Reason.AGED:
            return _over(anomaly, facts, reason)
        case Reason.CLOSED:
            return f"{_closed(facts)}: {said}."
        case Reason.WITHDRAWN:
            return f"Withdrawn, because {_why_withdrawn(facts)}: {said}."


def _why_withdrawn(facts: AlertFacts) -> str:
    """Without bad data it is that late points, or the end of an event or a new normal, had its points judged anew."""
    if facts.is_of_bad_data:
        return "the data was not complete or not right"
    return "by all that is known now there is nothing left to tell of"


def _in_own_words(anomaly: AnomalyFacts, facts: AlertFacts, reason: Reason) -> str | None:
    """The sentence as the owner of the series words it; none where they don't, or what they ask for is not known."""
    template = anomaly.series.wording.get(WORDED_AS.get(reason, reason))
    if template is None:
        return None
    series, has_ended = anomaly.series, anomaly.ended_at is not None and anomaly.ended_at > anomaly.started_at
    known = anomaly.expected is not None
    numbers = difference(anomaly.actual, anomaly.expected or 0.0, series.suffix)
    values = {
        "name": series.name,
        "metric": clipped(series.metric),
        "dimensions": dimensions_in_words(series.dimensions) or None,
        "change": _change(anomaly),
        "actual": numbers.actual if known else quantity(anomaly.actual, series.suffix),
        "expected": numbers.expected if known else None,
        "difference": numbers.size if known else None,
        "percent": numbers.percent if known else None,
        "since": _when(anomaly, facts),
        "lasted": lasting(anomaly.ended_at - anomaly.started_at) if has_ended and anomaly.ended_at else None,
        "rarity": rarity_in_words(anomaly.rarity_weeks) if anomaly.limit is None else None,
        "severity": facts.severity,
    }
    return filled(template, values)


def others(facts: AlertFacts) -> str | None:
    """The other series of the alert, in one line, the largest changes first; none if it has only one."""
    foremost = facts.foremost
    if foremost is None:
        return None
    rest = {a.series.id: a for a in facts.anomalies if a.series.id != foremost.series.id}
    if not rest:
        return None
    largest = sorted(rest.values(), key=lambda each: -_size(each))[:OTHERS_SHOWN]
    shown = "; ".join(_briefly(each, foremost.series.metric) for each in largest)
    more = f"; and {len(rest) - OTHERS_SHOWN:,} more" if len(rest) > OTHERS_SHOWN else ""
    return f"{'Also' if foremost.ended_at is None else 'Also affected'}: {shown}{more}."


def buttons(facts: AlertFacts, reason: Reason) -> list[Button]:
    """The verdicts that can be given, what else can be done, then the alert's page.

    What was closed by an answer asks for no other; what is over is looked after by nobody.
    """
    is_answered = reason in (Reason.CLOSED, Reason.WITHDRAWN)
    answers = {} if is_answered else facts.links
    actions = {action: text for action, text in ACTION_NAMES.items() if reason.is_on or action not in ACTIONS_WHILE_ON}
    others = {} if is_answered else facts.actions
    return [
        *(Button(verdict, text, answers[verdict]) for verdict, text in VERDICT_NAMES.items() if verdict in answers),
        *(Button(action.value, text, others[action]) for action, text in actions.items() if action in others),
        Button("details", "Details", facts.url),
    ]


def further_lines(facts: AlertFacts) -> list[str]:
    """What follows the sentence and the chart: what explains it, what it resembles, what tempers it."""
    if facts.digest is not None:
        return _digested(facts.digest)
    return [line for line in (facts.explained_by, others(facts), resemblance(facts), *remarks(facts)) if line]


def digest_title(count: int, still_on: int, since: datetime, timezone: str, told_at: datetime) -> str:
    """`37 alerts since Tue 3 Nov, 14:05 (Berlin time): 30 go on, 7 are over`."""
    going_on = "1 goes on" if still_on == 1 else f"{still_on:,} go on"
    over = "1 is over" if count - still_on == 1 else f"{count - still_on:,} are over"
    state = ", ".join(said for said, some in ((going_on, still_on), (over, count - still_on)) if some)
    alerts = "1 alert" if count == 1 else f"{count:,} alerts"
    return f"{alerts} since {moment(since, timezone, told_at)}: {state}"


def _digested(digest: Digest) -> list[str]:
    """Its first alerts, one a line, and how many there are besides."""
    said = [
        f"{'Critical: ' if each.severity == 'critical' else ''}{clipped(each.title, 2 * NAME_LIMIT)}"
        f"{'' if each.status == 'firing' else ' (the new normal?)' if each.is_aged else ' (over)'}"
        for each in digest.listed[:OTHERS_SHOWN]
    ]
    more = digest.count - len(said)
    return [*said, f"And {more:,} more."] if more else said


def resemblance(facts: AlertFacts) -> str | None:
    """`It is like the false alarm of Tue 27 Oct.`, or `It is like the alert of Tue 27 Oct, which nobody answered.`"""
    if facts.resembles is None or facts.foremost is None:
        return None
    return like_what(facts.resembles, facts.foremost.series.timezone, facts.told_at)


def like_what(past: Resemblance, timezone: str, told_at: datetime) -> str:
    """The same of any happening of the past."""
    when = day(past.at, timezone, told_at)
    if past.verdict is None:
        return f"It is like the alert of {when}, which nobody answered."
    return f"It is like {LIKE_WHAT.get(past.verdict, 'what happened')} of {when}."


def remarks(facts: AlertFacts) -> tuple[str, ...]:
    """What tempers the judgement: a series not known for long, a detector that is only a fall-back."""
    anomaly = facts.foremost
    if anomaly is None:
        return _remarks_without_anomaly(facts)
    said = []
    if facts.escalated_after is not None:
        said.append(f"Escalated: nobody has acknowledged it within {lasting(facts.escalated_after)}.")
    said += _looked_after(facts)
    said += _snoozed(facts, anomaly.series.timezone)
    if facts.silence:
        until = moment(facts.silence.until, anomaly.series.timezone, facts.told_at)
        said.append(f"Not sent: silenced by {clipped(facts.silence.author)} until {until}: {facts.silence.comment}.")
    if facts.offer == "new_normal" and facts.is_aged:
        said.append(TAKEN_FOR_NORMAL)
    elif facts.offer == "new_normal" and anomaly.ended_at is None:
        said.append("New normal? It has kept to this level ever since: if it is to stay so, say so and Heed adapts.")
    if anomaly.warm_up:
        seen, needed = anomaly.warm_up.days_seen, anomaly.warm_up.days_needed
        said.append(f"Still getting to know this series: {seen} of {needed} days seen, so this may be normal for it.")
    if anomaly.detector == "basic":
        said.append("Basic detection: compared with the same hours of the last weeks only.")
    said += [line for line in (if_nobody_answers(facts),) if line]
    return tuple(said)


def _remarks_without_anomaly(facts: AlertFacts) -> tuple[str, ...]:
    """What its title says after the first sentence holds only while it lasts, unless it never lasted."""
    if facts.ended_at is not None and facts.ended_at > facts.told_at:
        return ()
    said = [f"{each}." for each in _sentences_of(facts.title)[1:]]
    said += [*_looked_after(facts), *_snoozed(facts, "UTC")]
    return tuple(said + [line for line in (if_nobody_answers(facts),) if line])


def _snoozed(facts: AlertFacts, timezone: str) -> list[str]:
    if facts.snooze is None or not facts.is_snoozed:
        return []
    return [f"Snoozed until {_end_of_snooze(facts.snooze, timezone, facts.told_at)}."]


def _looked_after(facts: AlertFacts) -> list[str]:
    if not facts.looked_after_by or facts.ended_at is not None:
        return []
    name = clipped(facts.looked_after_by)
    return [f"{name[:1].upper()}{name[1:]} looks after it."]


def if_nobody_answers(facts: AlertFacts) -> str | None:
    """What happens to an alert that goes on; nothing where somebody has answered, or has taken it on."""
    anomaly = facts.foremost
    if anomaly is None and facts.lost_data and facts.ended_at is None and not facts.answered:
        return UNTIL_DATA_ARE_BACK if facts.lost_data is LostData.FOUND else WHILE_DATA_ARE_LOST
    if anomaly is None or anomaly.ended_at is not None or facts.answered:
        return None
    if facts.escalates and not facts.looked_after_by and not facts.is_snoozed:
        when = on_moment(facts.escalates.at, anomaly.series.timezone, facts.told_at)
        named = " and ".join(clipped(name) for name in facts.escalates.to)
        return f"If nobody looks after it, {named} will be told, too, {when}."
    if facts.given_up_after is None:
        return None
    until = lasting(facts.given_up_after)
    return f"If nobody answers, it closes by itself: once it is back to normal, or after {until} as the new normal."


def _end_of_snooze(snooze: Snoozed, timezone: str, told_at: datetime) -> str:
    if snooze.until is not None:
        return moment(snooze.until, timezone, told_at)
    return "it is over" if snooze.what is SnoozedFor.RECOVERY else "it gets worse or is over"


def _change(anomaly: AnomalyFacts) -> str:
    """`fell to 387 instead of about 1,000, that is 61 % or 613 less`."""
    unit = anomaly.series.suffix
    if anomaly.expected is None:
        return f"is at {quantity(anomaly.actual, unit)}, unusually {'low' if anomaly.direction < 0 else 'high'}"
    actual, expected, shape = anomaly.actual, anomaly.expected, anomaly.shape
    if shape is not None and shape.kind is ShapeKind.SHIFT:
        actual, expected = shape.level, shape.usual
    numbers = difference(actual, expected, unit)
    compared = f"{numbers.actual} instead of about {numbers.expected}{_length_of_spike(anomaly)}"
    if numbers.is_from_nothing:
        return f"{_moved(anomaly)} {compared}"
    less = "less" if actual < expected else "more"
    share = f"{numbers.percent} or {numbers.size}" if numbers.percent else numbers.size
    return f"{_moved(anomaly)} {compared}, that is {share} {less}"


def _briefly(anomaly: AnomalyFacts, known_metric: str) -> str:
    """`country FR 512 instead of about 904 (43 % less)`, the metric left out where it is the one spoken of."""
    series = anomaly.series
    is_known = series.metric == known_metric and bool(series.dimensions)
    name = dimensions_in_words(series.dimensions) if is_known else series.name
    if anomaly.expected is None:
        return f"{name} {quantity(anomaly.actual, series.suffix)}"
    numbers = difference(anomaly.actual, anomaly.expected, series.suffix)
    compared = f"{name} {numbers.actual} instead of about {numbers.expected}"
    if numbers.is_from_nothing:
        return compared
    less = "less" if anomaly.actual < anomaly.expected else "more"
    return f"{compared} ({numbers.percent or numbers.size} {less})"


def _size(anomaly: AnomalyFacts) -> float:
    return abs(anomaly.actual - anomaly.expected) if anomaly.expected is not None else 0.0


def _length_of_spike(anomaly: AnomalyFacts) -> str:
    """` for 10 minutes`, of what passed soon."""
    if anomaly.shape is None or anomaly.shape.kind is not ShapeKind.SPIKE:
        return ""
    return f" for {lasting(timedelta(seconds=anomaly.shape.points * anomaly.series.cadence_seconds))}"


def _length_so_far(anomaly: AnomalyFacts) -> str:
    """`31 hours`, from the first abnormal point to the end of the last one that is known."""
    step = timedelta(seconds=anomaly.series.cadence_seconds)
    last = anomaly.last_abnormal_at or anomaly.started_at + (anomaly.point_count - 1) * step
    return lasting(last + step - anomaly.started_at)


def _moved(anomaly: AnomalyFacts) -> str:
    match anomaly.shape.kind if anomaly.shape else None:
        case ShapeKind.SHIFT:
            return f"{'moved' if anomaly.ended_at else 'has moved'} to a new level of about"
        case ShapeKind.DRIFT:
            way = "down" if anomaly.direction < 0 else "up"
            return f"{'drifted' if anomaly.ended_at else 'has drifted'} {way} to"
    if anomaly.is_inside_the_band and anomaly.point_count > 1:
        level = "low" if anomaly.direction < 0 else "high"
        return f"has stayed {level} for {_length_so_far(anomaly)}, at worst"
    return "fell to" if anomaly.direction < 0 else "rose to"


def _when(anomaly: AnomalyFacts, facts: AlertFacts) -> str:
    zone = anomaly.series.timezone
    if anomaly.ended_at is None:
        return _since(anomaly, facts)
    if anomaly.ended_at <= anomaly.started_at:
        return on_moment(anomaly.started_at, zone, facts.told_at)
    return span(anomaly.started_at, anomaly.ended_at, zone, facts.told_at)


def _since(anomaly: AnomalyFacts, facts: AlertFacts) -> str:
    return f"since {moment(anomaly.started_at, anomaly.series.timezone, facts.told_at)}"


def limit_in_words(anomaly: AnomalyFacts) -> str | None:
    """`its upper limit is 101`, of what is beyond a limit of its owner's."""
    if anomaly.limit is None:
        return None
    side = "upper" if anomaly.direction > 0 else "lower"
    return f"its {side} limit is {quantity(anomaly.limit, anomaly.series.suffix)}"


def _rarity(anomaly: AnomalyFacts) -> str:
    if limit := limit_in_words(anomaly):
        return limit
    return f"on normal days this happens {rarity_in_words(anomaly.rarity_weeks)}"


def _over(anomaly: AnomalyFacts, facts: AlertFacts, reason: Reason) -> str:
    name = anomaly.series.name
    if reason is Reason.AGED:
        change = _change(replace(anomaly, shape=None))  # one level is enough: where it is now
        return f"{name} {_still(anomaly)}: is this the new normal? It {change}, {_since(anomaly, facts)}."
    return f"{name} {_recovered(anomaly)}: it {_change(anomaly)}, {_when(anomaly, facts)}."


def _recovered(anomaly: AnomalyFacts) -> str:
    if anomaly.end == End.SILENT:
        return "has sent nothing for so long that this counts as over"
    if anomaly.ended_at is None or anomaly.ended_at <= anomaly.started_at:
        return "is back to normal"
    return f"is back to normal after {lasting(anomaly.ended_at - anomaly.started_at)}"


def _still(anomaly: AnomalyFacts) -> str:
    """`is still at 42.7 after 24 hours`."""
    level = "" if anomaly.latest is None else f" at {quantity(anomaly.latest, anomaly.series.suffix)}"
    after = f" after {lasting(anomaly.ended_at - anomaly.started_at)}" if anomaly.ended_at else ""
    return f"is still{level or ' not back to normal'}{after}"


def _closed(facts: AlertFacts) -> str:
    if facts.answered is None:
        return f"Explained by the event “{clipped(facts.event)}”" if facts.event else "Closed"
    verdict = VERDICTS_IN_WORDS.get(facts.answered.verdict, facts.answered.verdict.replace("_", " "))
    by = f" by {clipped(facts.answered.author)}" if facts.answered.author else ""
    return f"Closed as {verdict}{by}"


def _without_anomaly(facts: AlertFacts, reason: Reason) -> str:
    """An alert about a source or a channel, whose title says it all; what follows its first sentence are remarks."""
    title = _sentences_of(facts.title)[0]
    done = {Reason.RESOLVED: "Over: ", Reason.CLOSED: f"{_closed(facts)}: ", Reason.WITHDRAWN: "Withdrawn: "}
    return f"{done.get(reason, '')}{title}."


def _sentences_of(title: str) -> list[str]:
    return [clipped(each, 4 * NAME_LIMIT) for each in title.rstrip(".").split(". ")]
