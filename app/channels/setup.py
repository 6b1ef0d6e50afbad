"""Channels are made and kept: one for each address that the environment names, and those of the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.orm import Session

from app.channels import open_channel
from app.channels.webhook import Webhook, new_signing_secret
from app.security import Vault
from app.store.channels import channel_named, disable_channel, enable_channel
from app.store.tables import Channel

NO_LONGER_SET = "its address is no longer set in the environment"


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
    session: Session, vault: Vault, *, name: str, kind: str, settings: Mapping[str, str], now: datetime
) -> tuple[Channel, str | None]:
    """The new channel, and its signing secret if one was made for it. Raises ValueError on wrong settings."""
    secret = new_signing_secret() if kind == Webhook.kind and "secret" not in settings else None
    complete = {**settings, "secret": secret} if secret else dict(settings)
    open_channel(kind, complete)
    channel = Channel(name=name, kind=kind, secrets=vault.seal(complete), created_at=now)
    session.add(channel)
    session.flush()
    return channel, secret


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
