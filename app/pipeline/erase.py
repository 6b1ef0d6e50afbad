"""Erase a series, or what is older than anybody wants to keep. On the committer's thread, in one commit each."""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog
from sqlalchemy.orm import Session

from app.alerts.policy import Policies
from app.clock import wall_now
from app.errors import NotFound
from app.pipeline import recover
from app.pipeline.alert import describe_alert
from app.pipeline.create import Creator
from app.pipeline.ingest import Committer
from app.pipeline.policies import current_policies
from app.pipeline.settle import settle
from app.store import alerts as stored_alerts
from app.store import audit, erasure, points
from app.store import series as stored_series

log = structlog.get_logger()

ERASED = "series_erased"


def erase_series(committer: Committer, series_id: int, *, by: str) -> None:
    """Points in log and tiles, models, labels, anomalies, alerts and the series itself; an audit entry is left.

    Raises NotFound where there is no such series. What its labels taught its siblings and made is gone with them, as
    if they had been undone. Should points of it come again, it is a new series.
    """
    committer.call(lambda: _erase(committer, series_id, by))


def _erase(committer: Committer, series_id: int, by: str) -> None:
    with committer.database.reading() as session:
        series = stored_series.get(session, series_id)
    if series is None:
        raise NotFound("There is no series with this id. GET /v1/series finds them.")
    _unmake(committer, series_id, by)
    partition, slot = committer.partition_of(series_id)
    with committer.reloading(partition.number), committer.database.writing() as session:
        concerned = stored_alerts.of_series(session, series_id)
        erased = erasure.erase(session, stored_series.get_many(session, [series_id])[series_id])
        _name_anew(session, concerned, current_policies(session, committer.rules.policy_defaults))
        released = settle(session, concerned, committer.clock.now())
        partition.erase(slot)
        audit.record(session, ERASED, actor=by, subject={"series": series_id} | erased, now=wall_now())
        recover.save(session, partition)
    recover.saved(partition)
    committer.forget_place(series.key)
    committer.relabel(lambda: released)
    log.info(ERASED, series=series_id, by=by)


def _unmake(committer: Committer, series_id: int, by: str) -> None:
    """Take back what was made by labels that will be erased: it may be about other series."""
    with committer.database.reading() as session:
        labels = erasure.labels_of_it_alone(session, series_id)
    for label in labels:
        Creator(committer).unmake(label, by=by, now=committer.clock.now())


def _name_anew(session: Session, alert_ids: list[int], policies: Policies) -> None:
    """Alerts that told of the series beside others no longer do."""
    anomalies = stored_alerts.anomalies_of(session, alert_ids)
    series = stored_series.get_many(session, {each.series_id for those in anomalies.values() for each in those})
    for alert_id, alert in stored_alerts.by_id(session, anomalies, to_change=True).items():
        rarest = series[anomalies[alert_id][0].series_id]
        describe_alert(alert, anomalies[alert_id], series, policies.resolve(rarest.metric, rarest.dimensions))


def drop_old_points(committer: Committer, now: datetime, keep: timedelta) -> None:
    """Drop the tiles of points that ended so long ago."""

    def drop() -> None:
        with committer.database.writing() as session:
            points.drop_before(session, int((now - keep).timestamp()))

    committer.call(drop)
