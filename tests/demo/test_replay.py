"""The demo tells its whole story through a real Heed, and an answer to it makes the encore silent."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime

import httpx
import pytest
from rich.console import Console

from app.demo.replay import run_demo
from app.demo.shop import STORY

NOW = datetime(2026, 11, 25, tzinfo=UTC)


class Onlooker:
    """Watches the demo, and presses the button that it is told to press, once."""

    def __init__(self) -> None:
        self.screen = io.StringIO()
        self.console = Console(file=self.screen, width=200)
        self._pressed = False

    def press(self) -> bool:
        if not self._pressed:
            link = re.findall(r"False alarm: (\S+)", self.screen.getvalue())[-1]
            httpx.post(link, timeout=30).raise_for_status()
        self._pressed = True
        return True


@pytest.mark.timeout(300)
def test_the_story_is_told_and_an_answer_to_it_makes_the_encore_silent() -> None:
    onlooker = Onlooker()
    run_demo(onlooker.console, now=NOW, seed=1, pause=onlooker.press)
    seen = onlooker.screen.getvalue()
    assert [chapter.title for chapter in STORY if chapter.title not in seen] == []
    assert "orders (country FR) fell" in seen
    assert "sign_ups (country DE) rose" in seen
    assert "revenue (country GB) rose" in seen
    assert "revenue (country ES) rose" in seen
    assert "Silence." in seen
