"""Where alerts go: one file each, and one line in the registry."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from app.channels.alertmanager import Alertmanager
from app.channels.contract import Channel
from app.channels.email import Email
from app.channels.pagerduty import PagerDuty
from app.channels.slack import SlackWebhook
from app.channels.teams import Teams
from app.channels.webhook import Webhook

CHANNELS: dict[str, type[Channel]] = {
    SlackWebhook.kind: SlackWebhook,
    Webhook.kind: Webhook,
    PagerDuty.kind: PagerDuty,
    Teams.kind: Teams,
    Alertmanager.kind: Alertmanager,
    Email.kind: Email,
}


def open_channel(kind: str, settings: Mapping[str, str]) -> Channel:
    """The channel with these settings. Raises ValueError, with the cure and without the settings, if they are wrong."""
    if kind not in CHANNELS:
        raise ValueError(f"the kind of a channel must be one of {', '.join(CHANNELS)}")
    try:
        return msgspec.convert(dict(settings), CHANNELS[kind], strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(f"the settings of a {kind} channel are wrong: {error}") from None
