"""The pages in a real browser: they work, and nothing that people wrote runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from app.clock import wall_now
from tests.running import Shop
from tests.serving import Served
from tests.web.test_links import a_link_of_each_kind, standing

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]

CHROMIUM = "/usr/bin/chromium"
PAYLOADS = [
    "<script>window.owned=1</script>",
    "<img src=x onerror=window.owned=1>",
    '"><svg onload=window.owned=1>',
    "'\"--></style></script><script>window.owned=1</script>",
    "<iframe srcdoc='<script>parent.owned=1</script>'>",
    "<a href=javascript:window.owned=1>x</a>",
    "<details open ontoggle=window.owned=1>",
    "<math><mtext></table><style><img src=x onerror=window.owned=1>",
    "{{7*7}}{% for x in ().__class__.__mro__ %}{% endfor %}${7*7}",
    "<meta http-equiv=refresh content=0;url=javascript:window.owned=1>",
    "<base href=//evil.example/><form action=//evil.example><button autofocus onfocus=window.owned=1>",
    "<link rel=stylesheet href=//evil.example/x.css><style>@import '//evil.example'</style>",
    "<input autofocus onfocus=window.owned=1>",
    "<object data=javascript:window.owned=1>",
    "<body onload=window.owned=1>",
    "<textarea></textarea><script>window.owned=1</script>",
    "\u202e<script>window.owned=1</script>",
    "&lt;script&gt;window.owned=1&lt;/script&gt;",
    "</title><script>window.owned=1</script>",
    "</svg><script>window.owned=1</script><svg>",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    yield context.new_page()
    context.close()


@pytest.fixture
def complaints(page: Page) -> list[str]:
    """What the browser had to say against the pages."""
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("requestfailed", lambda request: heard.append(request.url))
    return heard


def test_a_reader_answers_sees_what_it_changed_and_takes_it_back(
    served: Served, alert: dict[str, Any], page: Page, complaints: list[str]
) -> None:
    page.goto(alert["links"]["false_alarm"])
    page.get_by_text("Add a comment").click()
    page.get_by_label("Comment").fill("a bank holiday")
    page.get_by_role("button", name="False alarm").click()
    page.get_by_role("heading", name="Noted: a false alarm").wait_for()
    assert served.client.get("/v1/labels").json()["labels"][0]["comment"] == "a bank holiday"
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("heading", name="Taken back").wait_for()
    page.get_by_role("link", name="Back to the alert").click()
    page.get_by_role("button", name="Real problem").click()
    page.get_by_role("heading", name="Noted: a real problem").wait_for()
    assert complaints == []


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_no_page_is_wider_than_the_screen_and_buttons_are_large_enough_for_thumbs(
    served: Served, alert: dict[str, Any], page: Page, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    for address in (alert["links"]["real"], alert["url"], f"{served.url}/docs", f"{served.url}/f/forged"):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
        for button in page.get_by_role("button").all():
            box = button.bounding_box()
            assert box is not None
            assert box["height"] >= 44


def test_a_browser_that_runs_scripts_and_waits_answers_nothing(
    served: Served, alert: dict[str, Any], page: Page, complaints: list[str]
) -> None:
    """Guarantee 15."""
    before = standing(served)
    for link in a_link_of_each_kind(served, alert, wall_now()):
        page.goto(link, wait_until="networkidle")
        page.mouse.move(200, 400)
        page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
        page.wait_for_timeout(300)
    assert standing(served) == before
    assert before[0] == []


def test_nothing_that_people_wrote_runs(served: Served, page: Page, complaints: list[str]) -> None:
    """Guarantee 27."""
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    foreign: list[str] = []
    page.on("request", lambda request: foreign.append(request.url) if served.url not in request.url else None)
    for number, payload in enumerate(PAYLOADS):
        shop = Shop(served.heed, metric=payload[:190], country=payload[:190], seed=number)
        shop.has_history()
    served.retrain()
    for number, payload in enumerate(PAYLOADS):
        shop = Shop(served.heed, metric=payload[:190], country=payload[:190], seed=number)
        shop.clock = 5 * 168
        shop.send(30, factor=0.3, at_once=True)
    alerts = served.client.get("/v1/alerts?kind=anomaly&limit=100").json()["alerts"]
    assert len(alerts) >= len(PAYLOADS)
    for alert, payload in zip(alerts, [*PAYLOADS, *PAYLOADS], strict=False):
        served.client.post(f"/v1/alerts/{alert['id']}/labels", json={"verdict": "real", "comment": payload})
        origin_link = served.heed.links.verdict_url(alert["id"], "real", payload, wall_now() + timedelta(minutes=1))
        page.goto(alert["url"])
        assert page.evaluate("window.owned") is None
        page.goto(origin_link)
        page.get_by_role("button", name="Real problem").click()
        page.get_by_role("heading", name="Noted").wait_for()
        assert page.evaluate("window.owned") is None
    assert dialogs == complaints == foreign == []
