"""The picture in a message: there when it is needed, drawn once, and never in the way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from app.clock import wall_now
from app.store.points import PointBatch
from app.store.tables import Picture
from app.web.chart import Mark, NamedMark
from app.web.picture import Drawn, Pictures, forget_old, render_png
from tests.receiver import Receiver, Reply, receiving
from tests.running import DAY, HOUR, MONDAY
from tests.serving import Served, serving

pytestmark = pytest.mark.any_database

RED = (220, 38, 38)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def course(values: np.ndarray, strange: slice | None = None, events: tuple[NamedMark, ...] = ()) -> Drawn:
    time = MONDAY + HOUR * np.arange(len(values))
    usual = (100 + 50 * np.sin(time / DAY * 2 * np.pi)).astype(np.float32)
    band = np.float32(20)
    batch = PointBatch(
        np.ones(len(values), np.int64),
        time,
        values,
        usual,
        usual - band,
        usual + band,
        np.zeros(len(values), np.float32),
    )
    marks = [Mark(int(time[strange][0]), int(time[strange][-1]))] if strange else []
    return Drawn(batch, marks, events, HOUR, "Europe/Berlin", "")


def usual_week() -> np.ndarray:
    return np.asarray(100 + 50 * np.sin((MONDAY + HOUR * np.arange(168)) / DAY * 2 * np.pi))


def pixels(png: bytes | None) -> np.ndarray:
    assert png is not None
    image = Image.open(BytesIO(png))
    assert image.format == "PNG"
    return np.asarray(image.convert("RGB")).astype(int)


def reddish(png: bytes | None) -> int:
    return int((np.abs(pixels(png) - RED).sum(axis=2) < 40).sum())


def test_an_anomaly_is_red_and_a_usual_week_is_not() -> None:
    fallen = usual_week()
    fallen[140:150] = 5.0
    assert reddish(render_png(course(usual_week()))) == 0
    assert reddish(render_png(course(fallen, slice(140, 150)))) > 300


def test_an_event_is_a_grey_span_with_its_name() -> None:
    start = MONDAY + 100 * HOUR
    without = pixels(render_png(course(usual_week())))
    named = pixels(render_png(course(usual_week(), events=(NamedMark("Sale", start, start + DAY),))))
    unnamed = pixels(render_png(course(usual_week(), events=(NamedMark(" ", start, start + DAY),))))
    grey = [(np.abs(picture - (235, 236, 237)).sum(axis=2) < 6).sum() for picture in (without, named)]
    assert grey[0] < 1_000 < 40_000 < grey[1]
    assert (named != unnamed).any(axis=2).sum() > 200


def test_the_ground_is_opaque_so_that_it_reads_on_a_dark_screen_too() -> None:
    png = render_png(course(usual_week()))
    assert png is not None
    corner = Image.open(BytesIO(png)).convert("RGBA").getpixel((0, 0))
    assert corner == (255, 255, 255, 255)
    assert pixels(png).shape == (630, 1200, 3)


@pytest.mark.parametrize(
    "values",
    [
        np.full(168, 7.0),
        np.where(np.arange(168) % 3, np.nan, 5.0),
        np.linspace(-1e300, 1e300, 168),
        np.r_[np.zeros(167), 1e-300],
    ],
    ids=["constant", "with holes", "huge", "tiny"],
)
def test_any_course_can_be_drawn(values: np.ndarray) -> None:
    assert pixels(render_png(course(values))).size


def test_too_few_points_make_no_picture() -> None:
    assert render_png(course(np.r_[1.0, np.full(9, np.nan)])) is None


def chart_url(served: Served) -> str:
    return served.heed.pictures.url(served.alert()["id"])


@pytest.mark.usefixtures("alert")
def test_a_signed_address_shows_the_picture_and_it_is_drawn_once(served: Served) -> None:
    url = chart_url(served)
    first, again = httpx.get(url), httpx.get(url)
    assert first.headers["content-type"] == "image/png"
    assert reddish(first.content) > 100
    assert again.content == first.content
    with served.heed.database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Picture)) == 1


def test_an_address_that_nobody_signed_shows_nothing(shared: Served) -> None:
    """Guarantee 16."""
    url = chart_url(shared)
    page = shared.alert()["url"].rpartition("/")[2]
    for wrong in (url[:-6] + "x.png", f"{shared.url}/c/{page}", f"{shared.url}/c/1.png"):
        assert httpx.get(wrong).status_code == 404


@pytest.mark.usefixtures("alert")
def test_pictures_go_when_their_links_have_expired(served: Served) -> None:
    httpx.get(chart_url(served))
    lifetime = served.heed.links.lifetime
    assert forget_old(served.heed.database, wall_now(), lifetime) == 0
    assert forget_old(served.heed.database, wall_now() + 2 * lifetime, lifetime) == 1


def test_a_message_in_slack_shows_a_picture_that_is_there(
    database_url: str, tmp_path: Path, receiver: Receiver
) -> None:
    settings = {"slack_webhook_url": receiver.url, "allow_private_targets": ["127.0.0.0/8"]}
    with serving(database_url, tmp_path, **settings) as served:
        served.has_an_alert()
        blocks = receiver.wait_for(1)[0].json["blocks"]
        image = next(block for block in blocks if block["type"] == "image")  # type: ignore[attr-defined]
        assert reddish(httpx.get(image["image_url"]).content) > 50  # half a dot at the edge


def test_a_message_whose_picture_slack_cannot_fetch_is_sent_without_it(
    database_url: str, tmp_path: Path, receiver: Receiver
) -> None:
    receiver.reply = lambda got: Reply(400 if "image_url" in got.last_text else 200)
    settings = {"slack_webhook_url": receiver.url, "allow_private_targets": ["127.0.0.0/8"]}
    with serving(database_url, tmp_path, **settings) as served:
        served.has_an_alert()
        with_picture, without = receiver.wait_for(2)[:2]
        assert "image_url" in with_picture.text
        assert "image_url" not in without.text
        assert without.status == 200


class Slow(Pictures):
    """Takes as long over each picture as it is told to."""

    def __init__(self, served: Served) -> None:
        super().__init__(served.heed.database, served.heed.links, served.heed.clock)
        self.is_time = threading.Event()

    def _kept_or_drawn(self, alert_id: int, until: int) -> bytes | None:
        self.is_time.wait(60)
        return b"a picture"


def test_a_picture_that_takes_long_is_not_waited_for(served: Served) -> None:
    slow = Slow(served)
    assert slow.url_once_drawn(1) is None  # a link, had it waited to the end
    slow.is_time.set()
    assert slow.url_once_drawn(1) is not None
    slow.stop()


def test_an_alert_that_has_nothing_to_draw_has_no_picture(served: Served) -> None:
    assert served.heed.pictures.url_once_drawn(4711) is None
