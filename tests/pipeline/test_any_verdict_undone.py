"""Guarantee 18 on a running Heed: of all six verdicts, those taken back leave no trace in what they made and did."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, rule, run_state_machine_as_test

from app.alerts.rules import Delivery
from app.main import Heed
from app.pipeline import train
from app.pipeline.learn import label_alert, label_span, revoke_label
from app.store import desensitisations, happenings
from app.store.happenings import exclusions
from app.store.tables import Alert, Anomaly, Event, Gap
from feedback.labels import EffectOn, Verdict
from tests.pipeline.fleet import Fleet
from tests.pipeline.test_any_order_of_labels import some_effects_of
from tests.running import HOUR, MONDAY, running

TOLD = ({"DE": 1.4}, {"FR": 0.6}, {"DE": 1.5})
QUIET = 5 * 168 + 12
ON_ALERTS = [each.value for each in Verdict if each is not Verdict.MISSED]
Said = tuple[str, int, set[EffectOn] | None]
"""A verdict, the alert that it is about, 0 for a miss, and on what it acts."""


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five weeks of two countries, and three anomalies that people were told of and that are over."""
    folder = tmp_path_factory.mktemp("past")
    with running(f"sqlite:///{folder / 'heed.db'}", folder) as heed:
        fleet = Fleet(heed, ("DE", "FR"))
        fleet.send(5 * 168, delivery=Delivery.SILENT)
        train.train(heed.committer, now=heed.clock.now(), reason="test", wanted=train.everything)
        fleet.send(24)
        for factors in TOLD:
            for _ in range(3):
                fleet.send(1, factors)
            fleet.send(33)
        assert [each.status for each in alerts_of(heed)] == ["resolved"] * len(TOLD)
    return folder


def alerts_of(heed: Heed) -> list[Alert]:
    with heed.database.reading() as session:
        return list(session.scalars(sa.select(Alert).where(Alert.kind == "anomaly", Alert.delivery == Delivery.LIVE)))


def say(heed: Heed, said: Said) -> int:
    verdict, alert, only = said
    signed: dict[str, Any] = {"author": "ana", "source": "api", "now": heed.clock.now(), "confirmed": True}
    signed["only"] = only
    if alert:
        answer = label_alert(heed, alert, verdict, **signed)
    else:
        at = datetime.fromtimestamp(MONDAY + HOUR * QUIET, UTC)
        answer = label_span(heed, 1, verdict, start=at, end=at, **signed)
    assert answer.label_id is not None
    return answer.label_id


def state(heed: Heed) -> dict[str, Any]:
    """What labels made and did, whatever ids it has."""
    partition = heed.committer.partitions[0]
    with heed.database.reading() as session:
        excluded = exclusions(session, heed.clock.now())
        alone = zip(excluded.series_id.tolist(), excluded.start.tolist(), excluded.end.tolist(), strict=True)
        shared = [(s.series_id.tolist(), s.start.tolist(), s.end.tolist()) for s in excluded.shared]
        settling = desensitisations.still_settling(session)
        live = session.scalars(sa.select(Alert).where(Alert.delivery == Delivery.LIVE, Alert.kind == "anomaly"))
        runs = session.scalars(sa.select(Anomaly).where(Anomaly.alert_id.is_not(None), Anomaly.outcome != "missed"))
        return {
            "spans that are not learned": (sorted(alone), sorted(shared)),
            "levels": sorted((each.series_id, each.start) for each in excluded.level_changes),
            "events": sorted((e.started_at, e.ended_at) for e in happenings.standing(session, Event)),
            "gaps": sorted((g.started_at, g.ended_at) for g in happenings.standing(session, Gap)),
            "settling": sorted((each.series_id, each.started_at) for each in settling),
            "statuses": [(each.id, each.status) for each in live],
            "runs": sorted((each.series_id, each.started_at, each.direction) for each in runs),
            "tolerances": (partition.tolerance_up.tolist(), partition.tolerance_down.tolist()),
            "triage": [sorted(v for _, v in sorted(partition.tolerances.triage.series.items()))],
        }


class Answering(RuleBasedStateMachine):
    """People give verdicts and take them back. `given`: what stands, by label id."""

    labels: Bundle[int] = Bundle("labels")
    past: Path
    names = count()

    def __init__(self) -> None:
        super().__init__()
        self._open = ExitStack()
        self.heed = self._a_heed()
        self.given: dict[int, Said] = {}

    def _a_heed(self) -> Heed:
        folder = Path(self._open.enter_context(TemporaryDirectory()))
        shutil.copytree(type(self).past, folder, dirs_exist_ok=True)
        return self._open.enter_context(running(f"sqlite:///{folder / 'heed.db'}", folder))

    def say(self, said: Said) -> int:
        label_id = say(self.heed, said)
        self.given[label_id] = said
        return label_id

    @rule(target=labels, verdict=st.sampled_from(ON_ALERTS), alert=st.integers(1, len(TOLD)), data=st.data())
    def label(self, verdict: str, alert: int, data: st.DataObject) -> int:
        return self.say((verdict, alert, data.draw(some_effects_of(verdict))))

    @rule(target=labels, only=some_effects_of(Verdict.MISSED.value))
    def report_a_miss(self, only: set[EffectOn] | None) -> int:
        return self.say((Verdict.MISSED.value, 0, only))

    @rule(label_id=consumes(labels))
    def undo(self, label_id: int) -> None:
        revoke_label(self.heed, label_id, by="ana", now=self.heed.clock.now())
        del self.given[label_id]

    def teardown(self) -> None:
        """Compare with a Heed that was only ever told what stands."""
        with self._open:
            other = self._a_heed()
            for said in self.given.values():
                say(other, said)
            assert state(self.heed) == state(other), list(self.given.values())


@pytest.mark.hypothesis
def test_whatever_verdicts_were_given_and_taken_back_only_those_that_stand_have_made_and_done_anything(
    past: Path,
) -> None:
    """Guarantee 18."""

    class Here(Answering):
        pass

    Here.past = past
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=4,
            stateful_step_count=5,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )


def test_an_alert_from_before_a_training_stands_again_when_bad_data_is_taken_back(past: Path, tmp_path: Path) -> None:
    shutil.copytree(past, tmp_path, dirs_exist_ok=True)
    with running(f"sqlite:///{tmp_path / 'heed.db'}", tmp_path) as heed:
        before = state(heed)
        label_id = say(heed, (Verdict.BAD_DATA.value, 1, None))
        assert [each.status for each in alerts_of(heed)] == ["withdrawn", "resolved", "resolved"]
        revoke_label(heed, label_id, by="ana", now=heed.clock.now())
        assert state(heed) == before


def test_a_verdict_that_was_taken_back_and_given_again_is_as_if_given_once(past: Path, tmp_path: Path) -> None:
    said = Verdict.NEW_NORMAL.value, 1, None
    states = []
    for name, doubts in (("once", 0), ("again", 1)):
        folder = shutil.copytree(past, tmp_path / name)
        with running(f"sqlite:///{folder / 'heed.db'}", folder) as heed:
            for _ in range(doubts):
                revoke_label(heed, say(heed, said), by="ana", now=heed.clock.now())
            say(heed, said)
            states.append(state(heed))
    assert states[0] == states[1]
