"""What a channel is: a way to carry one notice to one receiver. A new one costs one file and one registry line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar, Protocol, Self

import msgspec

from app.alerts.message import AlertFacts, Reason
from app.outbound import Answer, Outbound, TargetRefused, Unreachable

LONGEST_PATIENCE = timedelta(days=1)
PASSING = frozenset({408, 409, 421, 423, 424, 425, 429})
DENIED = frozenset({401, 403, 407})
GONE = frozenset({404, 410})


class TransportError(Exception):
    """A notice that was not taken. The message holds no secret: neither a URL nor what the receiver wrote.

    permanent: this notice will never be taken; sending it again is useless.
    gone: the receiver takes nothing any more, or can't be meant; the whole channel is to be disabled.
    retry_after: how long the receiver asked to be left alone.
    """

    def __init__(
        self, message: str, *, permanent: bool = False, gone: bool = False, retry_after: timedelta | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.permanent = permanent
        self.gone = gone
        self.retry_after = retry_after


@dataclass(frozen=True)
class Notice:
    """One message to one receiver. Its id stays the same however often it is sent; `now` is real time.

    leave_url: where whoever gets it may ask for no more. earlier: what the receiver calls its first message about this
    alert, if it names messages.
    """

    id: str
    reason: Reason
    facts: AlertFacts
    now: datetime
    leave_url: str | None = None
    earlier: str | None = None


class Channel(Protocol):
    """A frozen dataclass whose fields are its settings, all secret, and are checked when it is made (ValueError)."""

    kind: ClassVar[str]
    protocol: ClassVar[str]  # http or smtp: what its receivers speak
    shows_pictures: ClassVar[bool]  # whether its readers see the chart in the message itself
    takes_digests: ClassVar[bool]  # whether one message may tell of many alerts; else each is followed by itself
    keeps_incidents: ClassVar[bool]  # whether what it is told opens an incident, which its end has to resolve
    updates_in_place: ClassVar[bool]  # whether a later message takes the place of an earlier one unheard

    @classmethod
    def example(cls, receiver: str) -> Self:
        """The channel as somebody would set it up for a receiver at this URL; documentation and tests use it."""
        ...

    def send(self, notice: Notice, outbound: Outbound) -> str | None:
        """Deliver it, or raise TransportError. May be called again with the same notice.

        Returns what the receiver calls the message, where later ones about the same alert can refer to it.
        """
        ...


def post_json(
    url: str,
    payload: object,
    headers: Mapping[str, str] | None = None,
    *,
    outbound: Outbound,
    now: datetime,
    gone: frozenset[int] = GONE,
) -> Answer:
    """As `post`, of a payload as JSON."""
    typed = {"Content-Type": "application/json; charset=utf-8" if headers else "application/json", **(headers or {})}
    return post(url, msgspec.json.encode(payload), typed, outbound=outbound, now=now, gone=gone)


def post(
    url: str,
    content: bytes,
    headers: Mapping[str, str],
    *,
    outbound: Outbound,
    now: datetime,
    gone: frozenset[int] = GONE,
) -> Answer:
    """POST and return the answer if the receiver took it; raises TransportError otherwise.

    gone: the statuses by which this kind of receiver says that it takes nothing any more.
    """
    try:
        answer = outbound.post(url, content, headers)
    except TargetRefused as refused:
        raise TransportError(str(refused), gone=True) from None
    except Unreachable as unreachable:
        raise TransportError(str(unreachable)) from None
    refuse_unless_taken(answer, now, gone)
    return answer


def refuse_unless_taken(answer: Answer, now: datetime, gone: frozenset[int] = GONE) -> None:
    """Raise what an HTTP status means for a notice, unless it means that it was taken."""
    status = answer.status
    if 200 <= status < 300:
        return
    said = f"the receiver answered {status}"
    if status in gone:
        raise TransportError(f"{said}: it does not exist any more", gone=True)
    if 300 <= status < 400:
        raise TransportError(f"{said}: give the address that it redirects to", gone=True)
    if status >= 500 or status in PASSING:
        raise TransportError(said, retry_after=retry_after(answer.headers, now))
    # A receiver that locks us out, or is being re-keyed, is mostly mended within the days for which we retry.
    raise TransportError(said, permanent=status not in DENIED)


def retry_after(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """How long `Retry-After` asks us to wait, in seconds or as an HTTP date; at most a day, none if unreadable."""
    asked = headers.get("retry-after", "").strip()
    if asked.isascii() and asked.isdigit():
        return min(timedelta(seconds=min(int(asked[:12]), 10**9)), LONGEST_PATIENCE)
    try:
        until = parsedate_to_datetime(asked)
    except (ValueError, OverflowError):
        return None
    aware = until if until.tzinfo else until.replace(tzinfo=UTC)
    return min(max(aware - now, timedelta()), LONGEST_PATIENCE)


def check_web_address(url: Any) -> None:
    """Raises ValueError unless it is the full address of something on the web."""
    if not isinstance(url, str) or not url.startswith(("https://", "http://")) or not url.partition("//")[2]:
        raise ValueError("the address of the receiver must be a whole URL such as https://example.com/hook")
