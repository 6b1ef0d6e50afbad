"""A real SMTP server on loopback that records what it got, and can refuse or stall."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, Session


@dataclass(frozen=True)
class Mail:
    sender: str
    recipients: list[str]
    message: EmailMessage

    @property
    def plain(self) -> str:
        return self._part("plain")

    @property
    def html(self) -> str:
        return self._part("html")

    @property
    def text(self) -> str:
        return f"{self.message['Subject']}\n{self.plain}\n{self.html}"

    def _part(self, subtype: str) -> str:
        part = self.message.get_body((subtype,))
        assert part is not None
        return str(part.get_content())


class MailReceiver:
    """Records every message that it took."""

    def __init__(self, tls: ssl.SSLContext | None = None, password: str | None = None) -> None:
        self.requests: list[Mail] = []
        self.logins: list[str] = []
        self._answers = {"RCPT": 250, "DATA": 250}
        self._stall_seconds = 0.0
        self._password = password
        self.port = _free_port()
        self._controller = Controller(
            self,
            hostname="127.0.0.1",
            port=self.port,
            tls_context=tls,
            auth_required=password is not None,
            authenticator=self._authenticate,
            ready_timeout=20,
        )
        self._controller.start()

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def always(self, code: int, at: str = "DATA", stall_seconds: float = 0.0) -> None:
        """Answer this from now on to the command."""
        self._answers = {"RCPT": 250, "DATA": 250, at: 250 if code == 200 else code}
        self._stall_seconds = stall_seconds

    async def handle_RCPT(
        self, server: object, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self._answers["RCPT"] == 250:
            envelope.rcpt_tos.append(address)
        return f"{self._answers['RCPT']} as told"

    async def handle_DATA(self, server: object, session: Session, envelope: Envelope) -> str:
        await asyncio.sleep(self._stall_seconds)
        if self._answers["DATA"] == 250:
            assert isinstance(envelope.content, bytes)
            message = message_from_bytes(envelope.content, policy=policy.default)
            assert isinstance(message, EmailMessage)
            self.requests.append(Mail(str(envelope.mail_from), [str(to) for to in envelope.rcpt_tos], message))
        return f"{self._answers['DATA']} as told"

    def _authenticate(
        self, server: object, session: object, envelope: object, mechanism: str, login: Any
    ) -> AuthResult:
        self.logins.append(login.login.decode())
        return AuthResult(success=login.password.decode() == self._password)

    def close(self) -> None:
        if not self._controller.loop.is_closed():
            self._controller.stop(no_assert=True)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def receiving_mail(tls: ssl.SSLContext | None = None, password: str | None = None) -> Iterator[MailReceiver]:
    receiver = MailReceiver(tls, password)
    try:
        yield receiver
    finally:
        receiver.close()
