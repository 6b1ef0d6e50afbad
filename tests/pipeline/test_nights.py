"""What a night says of itself, and how long it refuses."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from app.main import Heed
from tests.running import Shop, running


def night(heed: Heed, *, after_days: int = 0) -> str:
    job = next(job for job in heed.jobs if job.name == "train-nightly")
    return str(job.run(heed.clock.now() + timedelta(days=after_days)))


def test_a_night_that_fails_says_so(tmp_path: Path) -> None:
    with running(f"sqlite:///{tmp_path / 'heed.db'}", tmp_path) as heed:
        Shop(heed).is_known()
        with heed.database.engine.begin() as connection:
            connection.exec_driver_sql(
                "CREATE TRIGGER refuse BEFORE INSERT ON retrain_part BEGIN SELECT RAISE(ABORT, 'full'); END"
            )
        assert night(heed).endswith("; failed: IntegrityError, after 0 trained, 1 kept their old baseline")
