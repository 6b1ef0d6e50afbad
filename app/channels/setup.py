"""Channels are made and kept: one for each address that the environment names, and those of the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.orm import Session

from app.alerts.hours import ActiveHours
from app.channels import CHANNELS, open_channel
from app.channels.webhook import Webhook, new_signing_secret
from app.security import Vault
from app.store.channels import channel_named, disable_channel, enable_channel
from app.store.tables import Channel

MOST_MESSAGES = 5
NO_LONGER_SET = "its address is no longer set in the environment"


@dataclass(frozen=True)
class Pace:
    """How much a channel takes, and when.

    most_messages: in ten minutes; None: five, and any number where each alert is followed by itself. active_hours: when
    somebody reads them, None for always; what is not severe waits for them. timezone: of these hours.
    """

    most_messages: int | None = None
    active_hours: ActiveHours | None = None
    timezone: str | None = None


USUAL_PACE = Pace()


@dataclass(frozen=True)
class NewChannel:
    """A channel that was just made. Its signing secret, if it has one, is to be shown once: the receiver needs it."""

    name: str
    kind: str
    signing_secret: str | None = field(repr=False)


def set_up_channels(
    session: Session, vault: Vault, addresses: Mapping[str, str | None], now: datetime
) -> list[NewChannel]:
    """Bring the channels named after their kind in line with `addresses` (kind → URL); returns those that are new.

    A changed address enables its channel again; an address taken away disables it. Raises ValueError on a wrong one.
    """
    made = []
    for kind, url in addresses.items():
        known = channel_named(session, kind)
        if url and known is None:
            channel, secret = make_channel(session, vault, name=kind, kind=kind, settings={"url": url}, now=now)
            made.append(NewChannel(channel.name, kind, secret))
        elif url and known is not None:
            _keep(session, vault, known, url)
        elif known is not None:
            disable_channel(session, known.id, NO_LONGER_SET, now)
    return made


def make_channel(
    session: Session,
    vault: Vault,
    *,
    name: str,
    kind: str,
    settings: Mapping[str, str],
    now: datetime,
    pace: Pace = USUAL_PACE,
) -> tuple[Channel, str | None]:
    """The new channel, and its signing secret if one was made for it. Raises ValueError on wrong settings."""
    complete, secret = completed(kind, settings)
    channel = Channel(name=name, kind=kind, secrets=vault.seal(complete), created_at=now)
    set_pace(channel, possible_pace(kind, pace))
    session.add(channel)
    session.flush()
    return channel, secret


def possible_pace(kind: str, wanted: Pace) -> Pace:
    """What a channel of this kind makes of it. Raises ValueError where it can't keep it."""
    takes_digests = CHANNELS[kind].takes_digests
    if wanted.most_messages is not None and not takes_digests:
        raise ValueError(f"a {kind} channel follows each alert by itself: leave `most_messages` out")
    most = (wanted.most_messages or MOST_MESSAGES) if takes_digests else None
    return Pace(most, wanted.active_hours, wanted.timezone if wanted.active_hours else None)


def set_pace(channel: Channel, pace: Pace) -> None:
    channel.most_messages = pace.most_messages
    channel.active_hours = pace.active_hours.json() if pace.active_hours else None
    channel.timezone = pace.timezone


def difference(before: Pace, after: Pace) -> list[str]:
    """In words, a line for each part that is to be another."""
    pairs = [(name, getattr(before, name), getattr(after, name)) for name in Pace.__dataclass_fields__]
    return [f"{name}: {_shown(old)} → {_shown(new)}" for name, old, new in pairs if old != new]


def pace_of(channel: Channel) -> Pace:
    """How much the channel takes, and when."""
    hours = None if channel.active_hours is None else ActiveHours.read(channel.active_hours)
    return Pace(channel.most_messages, hours, channel.timezone)


def _shown(value: object) -> str:
    if isinstance(value, ActiveHours):
        return f"{value.start} to {value.end} on {', '.join(value.days)}"
    return "nothing" if value is None else str(value)


def completed(kind: str, settings: Mapping[str, str]) -> tuple[dict[str, str], str | None]:
    """The settings of a channel to be, and the signing secret that was made for them if they lacked one.

    Raises ValueError where they are wrong.
    """
    secret = new_signing_secret() if kind == Webhook.kind and "secret" not in settings else None
    complete = {**settings, "secret": secret} if secret else dict(settings)
    open_channel(kind, complete)
    return complete, secret


def changed_settings(
    vault: Vault, row: Channel, kind: str, settings: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """The settings that a channel is to have, and which of them are others than now: by name, never by what they are.

    A webhook keeps the secret that was made for it. Raises ValueError where they are wrong.
    """
    before = vault.unseal(row.secrets)
    kept = {"secret": before["secret"]} if kind == row.kind == Webhook.kind and "secret" in before else {}
    complete, _ = completed(kind, {**kept, **settings})
    different = [] if kind == row.kind else [f"kind: {row.kind} → {kind}"]
    others = [name for name in sorted(before.keys() | complete.keys()) if before.get(name) != complete.get(name)]
    return complete, [*different, *(f"{name}: {'another' if name in complete else 'no longer set'}" for name in others)]


def is_of_environment(channel: Channel) -> bool:
    """Whether the settings of the process make it, and take it away."""
    return channel.name == channel.kind in ("slack", "webhook")


def _keep(session: Session, vault: Vault, known: Channel, url: str) -> None:
    settings = vault.unseal(known.secrets)
    if settings.get("url") != url:
        settings["url"] = url
        open_channel(known.kind, settings)
        known.secrets = vault.seal(settings)
        session.flush()
        enable_channel(session, known.id)
    elif known.disabled_reason == NO_LONGER_SET:
        enable_channel(session, known.id)
