"""The first channels, one for each address that the environment names, for a quick start."""

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
            made.append(_add(session, vault, kind, url, now))
        elif url and known is not None:
            _keep(session, vault, known, url)
        elif known is not None:
            disable_channel(session, known.id, NO_LONGER_SET, now)
    return made


def _add(session: Session, vault: Vault, kind: str, url: str, now: datetime) -> NewChannel:
    secret = new_signing_secret() if kind == Webhook.kind else None
    settings = {"url": url} | ({"secret": secret} if secret else {})
    open_channel(kind, settings)
    session.add(Channel(name=kind, kind=kind, secrets=vault.seal(settings), created_at=now))
    session.flush()
    return NewChannel(kind, kind, secret)


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
