"""Policies: settings for all series that a matcher selects.

The first policy that matches a series decides, and what it leaves out is the default's. A policy that *continues* lets
the policies after it fill what it left out, as long as they match. Pure: names and JSON in, settings out.

A new setting is one line in `PolicySettings`; whoever reads it asks the partition, or `Policies.resolve`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from app.alerts.hours import ActiveHours, ZoneName
from app.alerts.templates import PLACEHOLDERS, Worded, check_template
from app.store.series import Matcher
from detectors import registry
from detectors.days import check_country

DEFAULT = "default"
"""Where a setting comes from that no policy says anything of."""

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
MOST_POLICIES = 1_000
LONGEST_UNIT = 12
LEAST_RELATIVE_CHANGE = 0.05
"""3 % on a huge metric is no news, however rare."""


class Direction(StrEnum):
    """Which side of the expected is told."""

    BOTH = "both"
    UP = "up"
    DOWN = "down"


def _known_detector(name: str) -> str:
    if name not in registry.DETECTORS:
        raise ValueError(f"no detector has this name; take one of {', '.join(sorted(registry.DETECTORS))}")
    return name


def _plain_names(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names) or not all(0 < len(name) <= 200 for name in names):
        raise ValueError("name each of `metric`, `direction`, `series` and the dimensions once, as on the points")
    return names


def _plain_unit(unit: str) -> str:
    if not 0 < len(unit) <= LONGEST_UNIT or not unit.isprintable() or unit != unit.strip():
        raise ValueError(f"a unit is 1 to {LONGEST_UNIT} characters, such as EUR or ms")
    return unit


Unit = Annotated[str, AfterValidator(_plain_unit)]
Template = Annotated[str, AfterValidator(check_template)]


@dataclass(frozen=True)
class Limits:
    """Fixed limits for the `static` detector, in the metric's unit; at least one of them."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    lower: Annotated[float | None, Field(description="Below it is strange.")] = None
    upper: Annotated[float | None, Field(description="Above it is strange.")] = None

    @model_validator(mode="after")
    def _says_something(self) -> Limits:
        if self.lower is None and self.upper is None:
            raise ValueError("give `lower`, `upper` or both")
        if self.lower is not None and self.upper is not None and self.lower >= self.upper:
            raise ValueError("`lower` must lie below `upper`")
        return self


@dataclass(frozen=True)
class PolicySettings:
    """Everything that a policy can say of its series. What it leaves out is as given here."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    alerts_per_week: Annotated[
        float,
        Field(gt=0, le=1_000, description="Alerts for wrong reasons that the owner puts up with, a series and week."),
    ] = 1.0
    direction: Annotated[Direction, Field(description="Which side of the expected is told.")] = Direction.BOTH
    least_relative_change: Annotated[
        float,
        Field(ge=0, le=10, description="Changes smaller than this share of the series' usual size are not told."),
    ] = LEAST_RELATIVE_CHANGE
    least_absolute_change: Annotated[
        float | None,
        Field(
            ge=0,
            description="Changes smaller than this, in the metric's unit, are not told. Null: about one event of a "
            "count, a hundredth of the usual size of anything else.",
        ),
    ] = None
    change_to_hear: Annotated[
        float,
        Field(gt=0, lt=1, description="The owner's size: the share by which a drop or spike must not go unheard."),
    ] = 0.3
    timezone: Annotated[
        ZoneName | None,
        Field(description="IANA zone in which days and weeks are counted. Null: HEED_TIMEZONE when it began."),
    ] = None
    country: Annotated[
        str | None,
        AfterValidator(lambda name: name if name is None else check_country(name)),
        Field(
            description="Country, or part of one, whose public holidays count, by ISO 3166: `DE` or `DE-BY`. "
            "Null: that of HEED_COUNTRY."
        ),
    ] = None
    group_by: Annotated[
        tuple[str, ...],
        AfterValidator(_plain_names),
        Field(
            max_length=10,
            description="What anomalies of one alert have in common: `metric`, `direction`, `series`, or the names of "
            "dimensions. `series` keeps every series in an alert of its own.",
        ),
    ] = ("metric", "direction")
    growth_to_repeat: Annotated[
        float,
        Field(
            gt=0,
            le=100,
            description="Share by which an alert must have grown, in how far off it is or in how many series it has, "
            "to be spoken of again.",
        ),
    ] = 1.0
    channels: Annotated[
        tuple[str, ...] | None,
        Field(max_length=50, description="Names of the channels that are told. Null: all. Empty: the inbox only."),
    ] = None
    active_hours: Annotated[
        ActiveHours | None,
        Field(description="When somebody reads alerts. Those of other hours wait for the digest, unless critical."),
    ] = None
    critical_change: Annotated[
        float | None,
        Field(
            gt=0,
            le=100,
            description="Share of the expected from which a change is critical; a smaller one is a warning. Null: what "
            "happens once in a thousand weeks is critical.",
        ),
    ] = None
    critical_impact: Annotated[
        float | None,
        Field(
            gt=0,
            description="What an anomaly has cost from which it is critical: actual less expected, summed over its "
            "points, in the metric's unit. With `critical_change`, either will do.",
        ),
    ] = None
    escalate_after_minutes: Annotated[
        float | None,
        Field(gt=0, le=10_080, description="So long an alert may go unacknowledged before others are told, too."),
    ] = None
    escalate_to: Annotated[
        tuple[str, ...],
        Field(max_length=50, description="Names of the channels that are told then."),
    ] = ()
    unit: Annotated[
        Unit | None,
        Field(description="What the values are, as messages and pictures say it: `EUR`. Null: by the metric's name."),
    ] = None
    wording: Annotated[
        dict[Worded, Template] | None,
        Field(
            description="Sentences of messages in the owner's own words, by what they tell of: "
            f"{', '.join(Worded)}. In braces there may stand {', '.join(PLACEHOLDERS)}."
        ),
    ] = None
    detector: Annotated[
        str | None,
        AfterValidator(lambda name: name if name is None else _known_detector(name)),
        Field(description="The detector that must judge the series. Null: the one that does best on its past."),
    ] = None
    limits: Annotated[Limits | None, Field(description="Fixed limits, which the `static` detector judges by.")] = None

    @model_validator(mode="after")
    def _limits_have_their_detector(self) -> PolicySettings:
        if self.limits is not None and self.detector not in (None, "static"):
            raise ValueError("`limits` are for the detector `static`: leave `detector` out, or name that one")
        return self

    @property
    def must_judge(self) -> str | None:
        """The detector that has to judge the series, that of its fixed limits included."""
        return "static" if self.limits is not None else self.detector


NAMES = tuple(each.name for each in fields(PolicySettings))
PARTS = {
    "limits": tuple(each.name for each in fields(Limits)),
    "active_hours": tuple(each.name for each in fields(ActiveHours)),
    "wording": tuple(Worded),
}
"""Names within the settings that have parts."""
_reader = TypeAdapter(PolicySettings)


def read_settings(given: Mapping[str, Any]) -> PolicySettings:
    """The settings that this JSON gives, the others as by default. Raises ValueError with the field and the cure."""
    try:
        return _reader.validate_json(json.dumps(dict(given)))
    except ValidationError as error:
        raise ValueError("; ".join(dict.fromkeys(map(_cure, error.errors(include_input=False))))) from None


def _cure(fault: Any) -> str:
    """Where and what. A field's name is told only where it is ours: input is never echoed."""
    place = list(fault["loc"])
    if fault["type"] == "unexpected_keyword_argument":
        names = PARTS.get(place[0], NAMES) if len(place) > 1 else NAMES
        return f"{_joined(place[:-1])}: there is no such setting; there are {', '.join(names)}"
    message = str(fault["msg"]).removeprefix("Value error, ")
    return f"{_joined(place)}: {message[:1].lower()}{message[1:]}"


def _joined(place: Sequence[Any]) -> str:
    return ".".join(str(part) for part in place) or "settings"


@dataclass(frozen=True)
class Policy:
    """Settings for the series that a matcher selects. given: only what it says, as validated JSON.

    continues: whether policies after it that match as well fill what it leaves out.
    """

    policy_id: int
    name: str
    matcher: Matcher
    given: Mapping[str, Any]
    continues: bool = False


@dataclass(frozen=True)
class Resolved:
    """What holds for a series. origin: by setting, the name of the policy that it comes from, or `default`."""

    settings: PolicySettings
    origin: Mapping[str, str]
    policies: tuple[str, ...]


@dataclass(frozen=True)
class Policies:
    """All policies in their order, and what holds where they say nothing. Equal chains share one `Resolved`."""

    ordered: Sequence[Policy] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    _by_chain: dict[tuple[int, ...], Resolved] = field(default_factory=dict, compare=False, repr=False)

    def resolve(self, metric: str, dimensions: Mapping[str, str]) -> Resolved:
        """The settings of a series, each from the first policy of its chain that gives it."""
        return self.resolve_chain(self.chain(metric, dimensions))

    def given(self, name: str, metric: str, dimensions: Mapping[str, str]) -> Any:
        """What the policies of a series say of one setting, None where they say nothing."""
        said = (self.ordered[index].given for index in self.chain(metric, dimensions))
        return next((given[name] for given in said if name in given), None)

    def resolve_chain(self, chain: tuple[int, ...]) -> Resolved:
        """What the policies at these places of the order say together."""
        if chain not in self._by_chain:
            self._by_chain[chain] = resolved([self.ordered[index] for index in chain], self.defaults)
        return self._by_chain[chain]

    def chain(self, metric: str, dimensions: Mapping[str, str]) -> tuple[int, ...]:
        """Places in the order of the policies that speak of this series: all but the last of them continue."""
        speaking = []
        for index, policy in enumerate(self.ordered):
            if policy.matcher.matches(metric, dimensions):
                speaking.append(index)
                if not policy.continues:
                    break
        return tuple(speaking)


def resolved(chain: Iterable[Policy], defaults: Mapping[str, Any]) -> Resolved:
    """What these policies say together, the first one first.

    A detector and its limits go together: an earlier policy's other detector leaves a later one's limits out.
    """
    speaking = tuple(chain)
    merged: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for policy in speaking:
        for name, value in policy.given.items():
            if name not in merged and not (name == "limits" and merged.get("detector", "static") != "static"):
                merged[name], origin[name] = value, policy.name
    settings = read_settings({**defaults, **merged})
    return Resolved(settings, {name: origin.get(name, DEFAULT) for name in NAMES}, tuple(p.name for p in speaking))
