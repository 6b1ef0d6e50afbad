"""E-mail by SMTP, to one address: plain text and HTML, in one thread for each alert, with one-click unsubscribe."""

from __future__ import annotations

import html
import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from enum import StrEnum
from typing import ClassVar
from urllib.parse import urlsplit

from app.alerts.message import AlertFacts, Button, Reason, buttons, further_lines, sentence
from app.alerts.wording import clipped
from app.channels.contract import Notice, TransportError
from app.outbound import Outbound, TargetRefused, Unreachable

SUBJECT_LIMIT = 150
TIMEOUTS_A_SESSION = 4  # shorter than a lease: a server that dawdles is cut off before another worker takes over
SUBJECT_STARTS = {
    Reason.RESOLVED: "Over: ",
    Reason.AGED: "New normal? ",
    Reason.CLOSED: "Closed: ",
    Reason.WITHDRAWN: "Withdrawn: ",
}
NO_SUCH_MAILBOX = frozenset({550, 551, 553})


class Security(StrEnum):
    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


@dataclass(frozen=True)
class Email:
    """Sends through the SMTP server at `host` to one address, which may be that of a list."""

    kind: ClassVar[str] = "email"
    protocol: ClassVar[str] = "smtp"
    shows_pictures: ClassVar[bool] = True
    takes_digests: ClassVar[bool] = True
    keeps_incidents: ClassVar[bool] = False
    updates_in_place: ClassVar[bool] = False
    host: str = field(repr=False)
    sender: str = field(repr=False)
    recipient: str = field(repr=False)
    port: int = field(default=587, repr=False)
    security: Security = field(default=Security.STARTTLS, repr=False)
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.host or not 0 < self.port < 65536:
            raise ValueError("the mail server must have a host name and a port between 1 and 65535")
        _check_address(self.sender, "sender")
        _check_address(self.recipient, "recipient")
        if (self.username is None) != (self.password is None):
            raise ValueError("the username and the password of the mail server go together: give both or neither")
        if self.username is not None and self.security is Security.NONE:
            raise ValueError("a password is sent over an encrypted connection only: set security to starttls or tls")

    @classmethod
    def example(cls, receiver: str) -> Email:
        server = urlsplit(receiver)
        return cls(
            host=server.hostname or "mail.example",
            port=server.port or 25,
            sender="heed@shop.example",
            recipient="analysts@shop.example",
            security=Security.NONE,
        )

    def send(self, notice: Notice, outbound: Outbound) -> None:
        message = compose(notice, sender=self.sender, recipient=self.recipient)
        try:
            with _session(self, outbound) as smtp:
                smtp.send_message(message)
        except TargetRefused as refused:
            raise TransportError(str(refused), gone=True) from None
        except Unreachable as unreachable:
            raise TransportError(str(unreachable)) from None
        except smtplib.SMTPRecipientsRefused as refused:
            raise _refused_recipient(refused) from None
        except smtplib.SMTPResponseException as error:
            raise _refusal(error) from None
        except smtplib.SMTPNotSupportedError:
            raise TransportError("the mail server offers no encryption, or no login") from None
        except ssl.SSLCertVerificationError:
            raise TransportError("the certificate of the mail server is not valid") from None
        except (smtplib.SMTPException, OSError):
            raise TransportError("the mail server broke the connection off") from None


def compose(notice: Notice, *, sender: str, recipient: str) -> EmailMessage:
    """The message. Its id is the notice's, so that a mail server can tell when it gets one twice."""
    facts, reason = notice.facts, notice.reason
    host = urlsplit(facts.url).hostname or "heed"
    message = EmailMessage()
    message["Subject"] = clipped(SUBJECT_STARTS.get(reason, "") + facts.title, SUBJECT_LIMIT)
    message["From"] = sender
    message["To"] = recipient
    message["Date"] = format_datetime(notice.now)
    message["Message-ID"] = f"<{notice.id}@{host}>"
    message["References"] = f"<alert-{facts.id}@{host}>"
    message["Auto-Submitted"] = "auto-generated"
    if notice.leave_url:
        message["List-Unsubscribe"] = f"<{notice.leave_url}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(_plain(facts, reason, notice.leave_url))
    message.add_alternative(_html(facts, reason, notice.leave_url), subtype="html")
    return message


def _plain(facts: AlertFacts, reason: Reason, leave_url: str | None) -> str:
    links = [f"{button.text}: {button.url}" for button in buttons(facts, reason)]
    parts = [sentence(facts, reason), *further_lines(facts), "\n".join(links)]
    if leave_url:
        parts.append(f"No more of these: {leave_url}")
    return "\n\n".join(parts) + "\n"


def _html(facts: AlertFacts, reason: Reason, leave_url: str | None) -> str:
    said = html.escape(sentence(facts, reason))
    chart = _picture(facts.chart_url) if facts.chart_url else ""
    lines = "".join(f'<p style="color:#555">{html.escape(line)}</p>' for line in further_lines(facts))
    answers = "".join(_button(button) for button in buttons(facts, reason))
    leave = _leave(leave_url) if leave_url else ""
    return (
        '<!doctype html><html><head><meta name="color-scheme" content="light dark"></head>'
        '<body style="font-family:sans-serif;font-size:16px;line-height:1.5;max-width:600px">'
        f"<p>{said}</p>{chart}{lines}<p>{answers}</p>{leave}</body></html>"
    )


def _picture(url: str) -> str:
    return f'<p><img src="{html.escape(url)}" alt="" style="max-width:100%"></p>'


def _leave(url: str) -> str:
    return f'<p style="font-size:12px"><a href="{html.escape(url)}">No more of these</a></p>'


def _button(button: Button) -> str:
    style = "display:inline-block;margin:0 8px 8px 0;padding:10px 16px;border:1px solid #888;border-radius:6px"
    return f'<a href="{html.escape(button.url)}" style="{style};text-decoration:none">{html.escape(button.text)}</a>'


@contextmanager
def _session(settings: Email, outbound: Outbound) -> Iterator[smtplib.SMTP]:
    """A session with the mail server, on the address that was checked, that is cut off when it lasts too long."""
    tls = ssl.create_default_context()
    sock = outbound.open_socket(settings.host, settings.port)
    with sock, _cut_off(sock, TIMEOUTS_A_SESSION * outbound.timeout_seconds):
        if settings.security is Security.TLS:
            sock = tls.wrap_socket(sock, server_hostname=settings.host)
        with _SmtpOver(sock, settings.host) as smtp:
            if settings.security is Security.STARTTLS:
                smtp.starttls(context=tls)
            if settings.username is not None and settings.password is not None:
                smtp.login(settings.username, settings.password)
            yield smtp


class _SmtpOver(smtplib.SMTP):
    """SMTP over a connection that is there already."""

    def __init__(self, sock: socket.socket, host: str) -> None:
        self._opened = sock
        super().__init__(host, local_hostname="heed")

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return self._opened


@contextmanager
def _cut_off(sock: socket.socket, seconds: float) -> Iterator[None]:
    """End the connection after so long. On a twin of the socket, since TLS takes the first one over."""
    with sock.dup() as twin:
        timer = threading.Timer(seconds, _end, [twin])
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def _end(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _refused_recipient(refused: smtplib.SMTPRecipientsRefused) -> TransportError:
    code = min(code for code, _ in refused.recipients.values())
    if code in NO_SUCH_MAILBOX:
        return TransportError(f"the mail server knows no such recipient ({code})", gone=True)
    return TransportError(f"the mail server refused the recipient ({code})", permanent=code >= 500)


def _refusal(error: smtplib.SMTPResponseException) -> TransportError:
    said = f"the mail server answered {error.smtp_code}"
    is_denied = isinstance(error, smtplib.SMTPAuthenticationError)  # mostly mended within the days for which we retry
    return TransportError(said, permanent=error.smtp_code >= 500 and not is_denied)


def _check_address(address: str, whose: str) -> None:
    try:
        Address(addr_spec=address)
    except (ValueError, IndexError, HeaderParseError):
        raise ValueError(f"the {whose} must be an e-mail address such as heed@example.com") from None
