"""Slack, by an app of your own: one message an alert, brought up to date, with what happens next in its thread."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec

from app.alerts.message import AlertFacts, Reason, sentence
from app.channels.contract import Notice, TransportError, check_web_address, post_json
from app.channels.slack import check_signing_secret, escaped, payload, with_picture_if_possible
from app.outbound import Answer, Outbound

NOT_OURS_ANY_MORE = frozenset(
    {
        "channel_not_found", "is_archived", "not_in_channel", "invalid_auth", "not_authed", "account_inactive",
        "token_revoked", "token_expired", "missing_scope", "no_permission", "org_login_required",
    }
)  # fmt: skip
PASSING = frozenset({"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable"})
LOST = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", "thread_not_found"})


@dataclass(frozen=True)
class SlackApp:
    """Posts as a bot to one Slack channel (its id, such as C012AB3CD).

    signing_secret: of the same app; given, the buttons of its messages answer in place.
    """

    kind: ClassVar[str] = "slack_app"
    protocol: ClassVar[str] = "http"
    shows_pictures: ClassVar[bool] = True
    takes_digests: ClassVar[bool] = True
    keeps_incidents: ClassVar[bool] = False
    updates_in_place: ClassVar[bool] = True
    token: str = field(repr=False)
    channel: str
    signing_secret: str | None = field(default=None, repr=False)
    url: str = field(default="https://slack.com/api", repr=False)

    def __post_init__(self) -> None:
        check_web_address(self.url)
        check_signing_secret(self.signing_secret)
        if not self.token.startswith("xox"):
            raise ValueError("token must be the Bot User OAuth Token of the Slack app, which starts with xoxb-")
        if not self.channel.isalnum():
            raise ValueError("channel must be the id of a Slack channel, such as C012AB3CD, not its name")

    @classmethod
    def example(cls, receiver: str) -> SlackApp:
        return cls(token="xoxb-0000-example", channel="C012AB3CD", url=f"{receiver}/api")

    def send(self, notice: Notice, outbound: Outbound) -> str | None:
        """The first message is posted. Later ones bring it up to date, and say in its thread what happened.

        That the alert has grown is no happening of its own.
        """
        return with_picture_if_possible(notice.facts, lambda facts: self._send(facts, notice, outbound))

    def _send(self, facts: AlertFacts, notice: Notice, outbound: Outbound) -> str | None:
        message = payload(facts, notice.reason, acting=self.signing_secret is not None)
        if notice.earlier is None or notice.reason is Reason.FIRING:
            return self._post(message, notice, outbound)
        try:
            self._call("chat.update", message | {"ts": notice.earlier}, notice, outbound)
        except _Lost:  # somebody deleted it: say it anew
            return self._post(message, notice, outbound)
        if notice.reason is Reason.GROWN:
            return notice.earlier
        said = {"text": escaped(sentence(facts, notice.reason)), "thread_ts": notice.earlier}
        self._post(said, notice, outbound)
        return notice.earlier

    def _post(self, message: dict[str, Any], notice: Notice, outbound: Outbound) -> str | None:
        posted = self._call("chat.postMessage", message, notice, outbound).get("ts")
        return posted if isinstance(posted, str) else None

    def _call(self, method: str, message: dict[str, Any], notice: Notice, outbound: Outbound) -> dict[str, Any]:
        answer = post_json(
            f"{self.url}/{method}",
            message | {"channel": self.channel},
            {"Authorization": f"Bearer {self.token}"},
            outbound=outbound,
            now=notice.now,
        )
        return _taken(answer)


class _Lost(Exception):
    """The message that was to be brought up to date is not there any more."""


def _taken(answer: Answer) -> dict[str, Any]:
    """Slack says 200 and what went wrong in the body. Its names of errors hold no secret."""
    try:
        said = msgspec.json.decode(answer.body, type=dict[str, Any])
    except msgspec.DecodeError:
        raise TransportError("Slack's answer can't be read") from None
    if said.get("ok") is True:
        return said
    error = str(said.get("error", "unknown"))[:50]
    if error in LOST:
        raise _Lost
    if error in NOT_OURS_ANY_MORE:
        raise TransportError(f"Slack answered {error}: invite the app to the channel or renew its token", gone=True)
    raise TransportError(f"Slack answered {error}", permanent=error not in PASSING)
