"""Series that go silent in the middle of an anomaly."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from app.pipeline.stale import end_silent
from tests.running import Shop, alerts, anomalies, notification_reasons, running

WEBHOOK = {"webhook_url": "http://127.0.0.1:9/", "allow_private_targets": "127.0.0.0/8"}


def test_an_anomaly_of_a_series_that_sends_nothing_any_more_ends_after_a_day(database_url: str, tmp_path: Path) -> None:
    with running(database_url, tmp_path, **WEBHOOK) as heed:
        shop = Shop(heed)
        shop.has_history()
        shop.send(3, factor=0.4)
        now = heed.clock.now()
        assert end_silent(heed.committer, now + timedelta(hours=20)) == 0
        assert end_silent(heed.committer, now + timedelta(hours=25)) == 1
        assert end_silent(heed.committer, now + timedelta(hours=26)) == 0
        (alert,) = alerts(heed)
        assert (alert.status, alert.ended_at) == ("resolved", now + timedelta(hours=25))
        assert [each.end_reason for each in anomalies(heed)] == ["silent"]
        assert notification_reasons(heed) == ["firing", "resolved"]
    with running(database_url, tmp_path, **WEBHOOK) as heed:
        assert end_silent(heed.committer, now + timedelta(days=3)) == 0, "a restart does not wake it"
