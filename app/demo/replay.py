"""`heed demo`: weeks of the simulated shop in a minute, what Slack would have shown, and a button to press."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path

import httpx
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from app.demo.inbox import Inbox, Message, draw
from app.demo.shop import CAMPAIGN, ENCORE, STORY, WEEK_HOURS, Chapter, Reading, Shop, last_monday
from app.local_server import LocalServer, client_of, retrained

SILENT_WEEKS = 6
WEEKS = 10
SERIES_BUDGET = 0.02
"""Alerts per week and series for wrong reasons. Twenty series at the default would have five a week."""
PATIENCE_SECONDS = 3.0
"""How long the replay stands still for a chapter's first message."""


Pause = Callable[[], bool]
"""Waits for the onlooker; whether to go on."""


def run_demo(console: Console, *, now: datetime, seed: int, pause: Pause | None) -> None:
    """Tell the story. With a `pause` the service stays, so that the links work, and an encore follows it."""
    start = last_monday(now) - timedelta(weeks=WEEKS)
    shop = Shop(seed=seed, start=start, weeks=WEEKS + 1, chapters=(*STORY, ENCORE))
    with tempfile.TemporaryDirectory(prefix="heed-demo-") as folder, Inbox() as inbox:
        admin_token = secrets.token_urlsafe(32)
        environment = {
            "HEED_ADMIN_TOKEN": admin_token,
            "HEED_DATA_DIR": folder,
            "HEED_CLOCK": "event",
            "HEED_ALERTS_PER_WEEK": str(SERIES_BUDGET),
            "HEED_SLACK_WEBHOOK_URL": inbox.url,
            "HEED_ALLOW_PRIVATE_TARGETS": "127.0.0.0/8",
        }
        console.print("Starting a Heed of its own, with an empty database that is thrown away afterwards ...")
        log = Path(folder) / "serve.log"
        with LocalServer(environment, log=log) as server, client_of(server.url, admin_token) as client:
            Replay(console, shop, client, inbox).tell(pause)


class Replay:
    """The shop's weeks, posted to a Heed whose clock they drive."""

    def __init__(self, console: Console, shop: Shop, client: httpx.Client, inbox: Inbox) -> None:
        self.console = console
        self.shop = shop
        self.client = client
        self.inbox = inbox
        self.received: dict[str, list[Message]] = {}

    def tell(self, pause: Pause | None) -> None:
        self._learn_history()
        self._play(SILENT_WEEKS * WEEK_HOURS, WEEKS * WEEK_HOURS, STORY)
        self._say_what_to_press(next(iter(self._told_of(CAMPAIGN)), None), stays=pause is not None)
        if pause and pause():
            self._play(WEEKS * WEEK_HOURS, (WEEKS + 1) * WEEK_HOURS, (ENCORE,))
            self._judge_the_encore()
            pause()

    def _learn_history(self) -> None:
        began = time.monotonic()
        for week in range(SILENT_WEEKS):
            self._post(self.shop.readings(week * WEEK_HOURS, (week + 1) * WEEK_HOURS), alert="silent")
        asked = self.client.post("/v1/retrains", json={"reason": "the shop's history"})
        self._check(asked)
        retrained(self.client, asked.json()["id"])
        self.console.print(
            f"{SILENT_WEEKS} weeks of history of 20 series (4 metrics in 5 countries) imported and learned "
            f"in {time.monotonic() - began:.1f} s. Now the shop goes live, an hour at a time.\n"
        )

    def _play(self, first_hour: int, end_hour: int, chapters: Iterable[Chapter]) -> None:
        beginnings = {chapter.first_hour: chapter for chapter in chapters}
        told: Chapter | None = None
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("hours"))
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task("", total=end_hour - first_hour)
            for hour in range(first_hour, end_hour):
                moment = self.shop.start + timedelta(hours=hour)
                progress.update(task, completed=hour - first_hour, description=f"{moment:%a %d %b %H:%M}")
                if hour in beginnings:
                    told = beginnings[hour]
                    self.console.print(f"[bold]{told.title}[/bold] · {moment:%A %H:%M} · {told.told}")
                self._post(self.shop.readings(hour, hour + 1), alert="live")
                self._show(told, wait_seconds=PATIENCE_SECONDS if self._is_news_due(told, hour) else 0.0)
            self._show(told, wait_seconds=1.0)

    def _told_of(self, chapter: Chapter) -> list[Message]:
        """Messages of its time that are about what it changed."""
        return [message for message in self.received.get(chapter.title, []) if chapter.is_meant_by(message.text)]

    def _is_news_due(self, chapter: Chapter | None, hour: int) -> bool:
        """Whether a chapter has just ended, or gone on for three hours, without a message yet."""
        if chapter is None or chapter.title in self.received:
            return False
        return hour == chapter.first_hour + min(chapter.hours, 3)

    def _show(self, chapter: Chapter | None, *, wait_seconds: float) -> None:
        for message in self.inbox.messages(wait_seconds=wait_seconds):
            self.console.print(draw(message))
            self.received.setdefault(chapter.title if chapter else "", []).append(message)

    def _say_what_to_press(self, message: Message | None, *, stays: bool) -> None:
        if message is None:
            self.console.print("No message came for the campaign, so there is nothing to press. Try another --seed.")
            return
        links = "\n".join(f"  {label}: {url}" for label, url in message.buttons.items())
        self.console.print(Panel("[bold]Now press this[/bold] (the campaign was meant, so it was a false alarm):"))
        self.console.print(links, soft_wrap=True, markup=False, highlight=False)
        if stays:
            self.console.print(
                "\nThe page says what your answer changes. Then press [bold]Enter[/bold] here: a week on, the same "
                "campaign runs again.\n[dim]Ctrl-C ends the demo and throws its database away.[/dim]"
            )

    def _judge_the_encore(self) -> None:
        if self._told_of(ENCORE):
            self.console.print("The rise was told again: nobody had called the first one a false alarm.")
        else:
            self.console.print("[bold green]Silence.[/bold green] Your answer did that, and its undo takes it back.")
        self.console.print("The service is still there. Enter or Ctrl-C ends the demo.")

    def _post(self, readings: Iterable[Reading], *, alert: str) -> None:
        series = [
            {
                "metric": reading.metric,
                "dimensions": {"country": reading.country},
                "timestamps": reading.timestamps.tolist(),
                "values": reading.values.tolist(),
            }
            for reading in readings
        ]
        self._check(self.client.post("/v1/points", params={"alert": alert}, json={"series": series}))

    @staticmethod
    def _check(answer: httpx.Response) -> None:
        answer.raise_for_status()
