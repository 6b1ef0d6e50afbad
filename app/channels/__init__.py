"""Where alerts go: one file each, and one line in the registry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

import msgspec

from app.channels.alertmanager import Alertmanager
from app.channels.apprise import Apprise
from app.channels.contract import Channel
from app.channels.email import Email
from app.channels.pagerduty import PagerDuty
from app.channels.slack import SlackWebhook
from app.channels.slack_app import SlackApp
from app.channels.teams import Teams
from app.channels.webhook import Webhook

CHANNELS: dict[str, type[Channel]] = {
    SlackWebhook.kind: SlackWebhook,
    SlackApp.kind: SlackApp,
    Webhook.kind: Webhook,
    PagerDuty.kind: PagerDuty,
    Teams.kind: Teams,
    Alertmanager.kind: Alertmanager,
    Email.kind: Email,
    Apprise.kind: Apprise,
}


KEEP_INCIDENTS = tuple(kind for kind, channel in CHANNELS.items() if channel.keeps_incidents)
UPDATED_IN_PLACE = tuple(kind for kind, channel in CHANNELS.items() if channel.updates_in_place)


def open_channel(kind: str, settings: Mapping[str, str]) -> Channel:
    """The channel with these settings. Raises ValueError, with the cure and without the settings, if they are wrong."""
    if kind not in CHANNELS:
        raise ValueError(f"the kind of a channel must be one of {', '.join(CHANNELS)}")
    known = {each.name for each in fields(CHANNELS[kind])}  # type: ignore[arg-type]
    if unknown := set(settings) - known:
        raise ValueError(
            f"a {kind} channel has the settings {', '.join(sorted(known))}, and {len(unknown)} others came"
        )
    try:
        return msgspec.convert(dict(settings), CHANNELS[kind], strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(f"these settings make no {kind} channel: {error}") from None
