from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.contract import Detector
from detectors.registry import DETECTORS
from feedback import guards, triage
from feedback.labels import LabelEvidence, Looks, Verdict
from feedback.triage import FEATURES, Candidates, Triage, Unanswered
from tests.feedback.factories import NOW, ONE_A_MONTH, a_label

SPIKE = {"always": 1.0, "rarer": 0.5, "size": -0.2, "outside": 1.0, "step": 1.0}
OUTAGE = {"always": 1.0, "rarer": 1.0, "size": 0.0, "points": 0.8, "level": 0.5}


def said(verdict: Verdict, features: dict[str, float], **changes: object) -> LabelEvidence:
    label = a_label(verdict, direction=1 if features.get("step") else -1, **changes)  # type: ignore[arg-type]
    return replace(label, looks=Looks(actual=150.0, expected=100.0, features=features))


def learned(*labels: LabelEvidence, unanswered: tuple[Unanswered, ...] = ()) -> Triage:
    return triage.learn(labels, unanswered, guards.Fading(NOW), lambda _series: ONE_A_MONTH)


def decades(of: Triage, features: dict[str, float], series: int = 1, metric: str = "orders") -> float:
    return float(
        of.decades(triage.vector(features)[None], np.array([series]), [metric], np.array([way_of(features)]))[0]
    )


def way_of(features: dict[str, float]) -> float:
    return 1.0 if features.get("step") else -1.0


def an_unanswered(features: dict[str, float], *, series: int = 9, days_ago: float = 3.0) -> Unanswered:
    end = NOW - timedelta(days=days_ago)
    looks = Looks(actual=150.0, expected=100.0, features=features)
    return Unanswered(series, "orders", int(way_of(features)), 1.0, True, end - timedelta(hours=1), end, looks)


def a_rise(verdict: Verdict, features: dict[str, float], series: int = 1) -> LabelEvidence:
    return replace(said(verdict, features, series=series), direction=1)


def candidates(**changes: object) -> Candidates:
    plain = {
        "rarer": np.array([0.5]),
        "direction": np.array([1.0]),
        "actual": np.array([150.0]),
        "expected": np.array([100.0]),
        "lower": np.array([90.0]),
        "upper": np.array([110.0]),
        "evidence": np.full((1, len(triage.KINDS)), 0.5),
        "points": np.array([1.0]),
        "lasted": np.array([0.0]),
        "since": np.array([np.inf]),
        "often": np.array([0.0]),
        "local": np.array([0]),
    }
    return Candidates(**(plain | changes))  # type: ignore[arg-type]


kinds_of_candidate = st.sampled_from([SPIKE, OUTAGE, SPIKE | {"outside": 0.2}, OUTAGE | {"hours": 0.4}])
labels = st.builds(
    said,
    st.sampled_from([Verdict.FALSE_ALARM, Verdict.REAL, Verdict.MISSED]),
    kinds_of_candidate,
    rarity=st.floats(-1, 8),
    series=st.integers(1, 4),
    weight=st.sampled_from([0.5, 1.0]),
    age_days=st.floats(0, 900),
    metric=st.sampled_from(["orders", "visits"]),
)


unanswered = st.builds(an_unanswered, kinds_of_candidate, series=st.integers(1, 9), days_ago=st.floats(0, 400))


def test_without_labels_nothing_but_rarity_counts() -> None:
    assert decades(learned(), SPIKE) == 0
    assert decades(learned(unanswered=(an_unanswered(SPIKE),)), SPIKE) == 0


def test_false_alarms_ask_for_more_rarity_of_their_like_and_real_problems_for_less() -> None:
    falsely = learned(*(said(Verdict.FALSE_ALARM, SPIKE) for _ in range(4)))
    really = learned(*(said(Verdict.REAL, SPIKE, rarity=0.7) for _ in range(4)))
    assert decades(falsely, SPIKE) > 0.5
    assert decades(really, SPIKE) < -0.2


def test_what_looks_different_is_asked_for_less_than_what_was_called_a_false_alarm() -> None:
    broad = SPIKE | {"outside": -0.5, "points": 1.0}
    taught = learned(*(said(Verdict.FALSE_ALARM, SPIKE) for _ in range(4)), said(Verdict.REAL, broad, rarity=1.0))
    assert decades(taught, broad) < 0.3 * decades(taught, SPIKE)


def test_a_false_alarm_about_rises_teaches_nothing_about_falls() -> None:
    assert decades(learned(*(said(Verdict.FALSE_ALARM, SPIKE) for _ in range(9))), OUTAGE) == 0


def test_a_series_learns_most_its_siblings_less_and_others_least() -> None:
    taught = learned(*(said(Verdict.FALSE_ALARM, SPIKE, series=each) for each in (1, 1, 1, 2)))
    own, sibling, other = (
        decades(taught, SPIKE, series, metric) for series, metric in ((1, "orders"), (7, "orders"), (8, "visits"))
    )
    assert own > sibling > other > 0


def test_a_missed_problem_is_told_sooner_the_next_time() -> None:
    assert decades(learned(said(Verdict.MISSED, SPIKE, rarity=0.3)), SPIKE) < 0


def test_a_real_problem_alone_hides_nothing_however_unlike_it_that_looks() -> None:
    fall = OUTAGE | {"size": 1.0, "scale": 1.0}
    unlike = {"always": 1.0, "size": -1.0, "scale": -1.0}
    taught = learned(said(Verdict.REAL, fall, rarity=0.7, age_days=1), unanswered=(an_unanswered(unlike, series=1),))
    assert decades(taught, unlike) <= 0
    assert decades(taught, fall) < 0


@settings(deadline=None)
@given(st.lists(labels, max_size=10), st.lists(unanswered, max_size=4), st.randoms(use_true_random=False))
def test_what_people_want_to_hear_of_raises_what_is_asked_of_nothing(
    standing: list[LabelEvidence], silent: list[Unanswered], random: Any
) -> None:
    """Whatever else was said: what false alarms and silence alone ask of anything is the most that is asked."""
    false = [each for each in standing if each.verdict is Verdict.FALSE_ALARM]
    together, alone = (learned(*those, unanswered=tuple(silent)) for those in (standing, false))
    for _ in range(5):
        seen = {name: random.uniform(-2, 2) for name in FEATURES} | {"always": 1.0}
        who = random.choice([1, 4, 99]), random.choice(["orders", "visits", "unseen"])
        assert decades(together, seen, *who) <= decades(alone, seen, *who) + 1e-9


@settings(deadline=None)
@given(st.lists(labels, max_size=10), labels)
def test_the_like_of_what_people_want_to_hear_of_is_told_no_later_for_it(
    standing: list[LabelEvidence], one: LabelEvidence
) -> None:
    assert one.looks is not None
    wanted = replace(one, verdict=Verdict.REAL)
    before, after = learned(*standing), learned(*standing, wanted)
    its = dict(one.looks.features), one.series_id, one.metric
    assert decades(after, *its) <= decades(before, *its) + 1e-9


def test_an_old_label_teaches_less_than_a_new_one() -> None:
    new, old = (learned(said(Verdict.FALSE_ALARM, SPIKE, age_days=age)) for age in (0, 720))
    assert decades(new, SPIKE) > decades(old, SPIKE) > 0


def test_an_anonymous_answer_teaches_less_than_an_analyst() -> None:
    link, analyst = (learned(said(Verdict.FALSE_ALARM, SPIKE, weight=weight)) for weight in (0.5, 1.0))
    assert 0 < decades(link, SPIKE) < decades(analyst, SPIKE)


def test_verdicts_that_say_what_it_was_teach_nothing_about_worth() -> None:
    assert learned(said(Verdict.EVENT, SPIKE), said(Verdict.BAD_DATA, SPIKE)).is_blank


def test_silence_speaks_softly_and_only_of_what_was_over_when_somebody_last_spoke() -> None:
    label = said(Verdict.REAL, SPIKE | {"level": 1.0}, age_days=1)
    alone, silent, later = (
        learned(label, unanswered=those)
        for those in ((), (an_unanswered(SPIKE),), (an_unanswered(SPIKE, days_ago=0.5),))
    )
    assert decades(silent, SPIKE) > decades(alone, SPIKE)
    assert decades(silent, SPIKE) < decades(learned(label, said(Verdict.FALSE_ALARM, SPIKE, series=9)), SPIKE)
    assert later == alone


def test_four_unanswered_alerts_ask_two_decades_of_their_series_once_their_like_was_called_a_false_alarm() -> None:
    label = said(Verdict.FALSE_ALARM, SPIKE, age_days=1)
    one, four = (learned(label, unanswered=(an_unanswered(SPIKE, series=9),) * count) for count in (1, 4))
    assert decades(one, SPIKE, series=9) < 2.0 < decades(four, SPIKE, series=9)


def test_silence_on_what_a_label_speaks_of_does_not_count() -> None:
    label = said(Verdict.MISSED, SPIKE, series=9)
    during = replace(an_unanswered(SPIKE), started_at=label.started_at, ended_at=label.ended_at)
    assert learned(label, unanswered=(during,)) == learned(label)


@pytest.mark.parametrize("detector", DETECTORS.values(), ids=DETECTORS)
def test_every_kind_of_evidence_is_learned_from_and_has_its_reason_in_words(detector: Detector) -> None:
    assert len(set(FEATURES)) == len(FEATURES)
    for kind in detector.evidence:
        loud, quiet = ({"always": 1.0, "rarer": 0.5, kind: way} for way in (1.0, -1.0))
        falsely = [a_rise(Verdict.FALSE_ALARM, loud) for _ in range(8)]
        really = [a_rise(Verdict.REAL, quiet, series=2) for _ in range(8)]
        taught = learned(*falsely, *really)
        asked = [
            taught.decades(triage.vector(each)[None], np.array([3]), ["orders"], np.array([1.0]))[0]
            for each in (loud, quiet)
        ]
        assert asked[0] > asked[1] + 0.5
        why = triage.reasons(taught, triage.vector(loud), 3, "orders", 1)[-1]
        assert triage.TRAITS[kind][0] in why


def test_reasons_count_what_people_said_of_the_series_or_of_its_siblings() -> None:
    four_of_five = [said(Verdict.FALSE_ALARM, SPIKE) for _ in range(4)] + [said(Verdict.REAL, SPIKE)]
    taught = learned(*four_of_five)
    own = triage.reasons(taught, triage.vector(SPIKE), 1, "orders", 1)
    sibling = triage.reasons(taught, triage.vector(SPIKE), 2, "orders", 1)
    assert own[0] == "People called 4 of 5 rises of this series false alarms."
    assert sibling[0] == "People called 4 of 5 rises of its siblings false alarms."
    assert triage.reasons(learned(), triage.vector(SPIKE), 1, "orders", 1) == []


def test_reasons_name_what_speaks_against_telling() -> None:
    spikes = [said(Verdict.FALSE_ALARM, SPIKE) for _ in range(20)]
    outages = [said(Verdict.REAL, SPIKE | {"outside": -0.5}, series=2) for _ in range(20)]
    said_of_it = triage.reasons(learned(*spikes, *outages), triage.vector(SPIKE), 1, "orders", 1)
    assert "how far single points are off" in said_of_it[-1]
    assert said_of_it[-1].endswith("speaks against telling it.")


@settings(deadline=None)
@given(st.lists(labels, max_size=10), st.randoms(use_true_random=False))
def test_the_order_of_labels_does_not_matter(standing: list[LabelEvidence], random: object) -> None:
    """Guarantee 18, in triage."""
    shuffled = list(standing)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert learned(*shuffled) == learned(*standing)


@settings(deadline=None)
@given(st.lists(labels, min_size=1, max_size=30))
def test_whatever_is_said_the_outcome_is_a_number(standing: list[LabelEvidence]) -> None:
    assert np.isfinite(decades(learned(*standing), SPIKE))
    assert np.isfinite(decades(learned(*standing), OUTAGE, 99, "unseen"))


@settings(deadline=None)
@given(
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(-1e300, 1e300),
)
def test_features_are_bounded_whatever_the_values_are(actual: float, expected: float, rarer: float) -> None:
    strange = candidates(
        actual=np.array([actual]), expected=np.array([expected]), rarer=np.array([rarer]), lower=np.array([actual])
    )
    seen = triage.features(strange)
    assert seen.shape == (1, len(FEATURES))
    assert (np.abs(seen) <= 25).all()


def test_features_do_not_depend_on_the_unit_of_the_series_but_for_its_scale() -> None:
    plain, tenfold = (
        triage.features(
            candidates(
                actual=np.array([150.0 * unit]),
                expected=np.array([100.0 * unit]),
                lower=np.array([90.0 * unit]),
                upper=np.array([110.0 * unit]),
            )
        )
        for unit in (1.0, 10.0)
    )
    scale = FEATURES.index("scale")
    assert np.delete(plain, scale) == pytest.approx(np.delete(tenfold, scale))


def test_what_is_kept_by_name_is_learned_from_again() -> None:
    seen = triage.features(candidates())[0]
    assert triage.vector(triage.named(seen)) == pytest.approx(seen, abs=1e-4)


def test_what_decides_is_found_among_five_thousand_labels() -> None:
    """How long that takes is measured by benchmarks/receipt.py."""
    rng = np.random.default_rng(1)
    seen = np.column_stack([np.ones(5_000), rng.normal(0, 0.6, (5_000, len(FEATURES) - 1))])
    series = rng.integers(0, 500, 5_000)
    examples = triage.Examples(
        seen=seen,
        rarer=rng.normal(1, 1, 5_000),
        worth=(seen[:, 4] + rng.normal(0, 0.5, 5_000) > 0).astype(np.float64),
        weight=np.ones(5_000),
        is_said=np.ones(5_000, bool),
        series_id=series,
        direction=rng.choice([-1, 1], 5_000),
        metric=[f"metric{each % 50}" for each in series],
    )
    told = (
        triage.fit(examples).worth(seen, examples.rarer, series, examples.metric, examples.direction.astype(np.float64))
        > 0.5
    )
    assert (told == (examples.worth > 0)).mean() > 0.8
