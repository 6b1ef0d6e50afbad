"""The only way out of the process: it connects to nothing but the address that it checked.

A channel's URL comes from a person and its host name from somebody's DNS, so either may point into our own network.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

import httpcore
import httpx

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Sequence[str]]

TIMEOUT_SECONDS = 10.0
ANSWER_LIMIT_BYTES = 64 * 1024
USER_AGENT = "Heed"

NAT64 = IPv6Network("64:ff9b::/96")
# `is_global` lets these through: they carry an IPv4 address (6to4, Teredo, compatible, translated, local NAT64, ISATAP
# is told by its interface part), or serve a protocol, a document or one cloud's own machines only.
NEVER: tuple[Network, ...] = (
    IPv4Network("168.63.129.16/32"),
    IPv4Network("192.0.0.0/24"),
    IPv4Network("192.88.99.0/24"),
    IPv6Network("::/96"),
    IPv6Network("::ffff:0:0:0/96"),
    IPv6Network("64:ff9b:1::/48"),
    IPv6Network("100::/64"),
    IPv6Network("2001::/32"),
    IPv6Network("2002::/16"),
    IPv6Network("3fff::/20"),
    IPv6Network("5f00::/16"),
    IPv6Network("fec0::/10"),
)
ISATAP = (0x00005EFE, 0x02005EFE)


class OutboundError(Exception):
    """No answer was had. The message names the host at most, never the whole URL, which may be a secret."""


class TargetRefused(OutboundError):
    """The address is one that Heed does not connect to, or the URL is not one at all."""


class Unreachable(OutboundError):
    """The connection failed, broke or took too long. It may work later."""


@dataclass(frozen=True)
class Answer:
    """What the other side said, its body cut at 64 KiB."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def resolve_by_system(host: str, port: int) -> Sequence[str]:
    """Every address of the host, in the order in which the system would try them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[4][0]) for address in found))


@dataclass(frozen=True)
class Outbound:
    """Sends to public addresses, and to private ones only within `allow_private`.

    Redirects are not followed, proxies of the environment are not used, and each request has a connection of its own:
    what was checked for one host never serves another.
    """

    allow_private: tuple[Network, ...] = ()
    resolve: Resolve = resolve_by_system
    timeout_seconds: float = TIMEOUT_SECONDS
    tls: ssl.SSLContext = field(default_factory=httpx.create_ssl_context)

    @classmethod
    def allowing(cls, networks: Iterable[str | Network], **options: Any) -> Outbound:
        """As the setting HEED_ALLOW_PRIVATE_TARGETS lists them, such as `10.1.0.0/16`."""
        return cls(allow_private=tuple(ipaddress.ip_network(network) for network in networks), **options)

    def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> Answer:
        """POST and read the answer, all within the time limit. Raises TargetRefused or Unreachable."""
        target = self._parse(url)
        deadline = time.monotonic() + self.timeout_seconds
        transport = _GuardedTransport(_GuardedBackend(self, deadline), self.tls)
        own = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
        timeout = httpx.Timeout(self.timeout_seconds)
        try:
            with (
                httpx.Client(transport=transport, timeout=timeout, follow_redirects=False, trust_env=False) as client,
                client.stream("POST", target, content=content, headers=own) as response,
            ):
                return Answer(response.status_code, dict(response.headers), _read_some(response))
        except (httpx.HTTPError, httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise Unreachable(f"{target.host} did not answer: {_kind_of(error)}") from None

    def open_socket(self, host: str, port: int, timeout_seconds: float | None = None) -> socket.socket:
        """A connection to the address that was checked, for protocols other than HTTP."""
        fault: OSError | None = None
        for address in self.addresses(host, port):
            try:
                return socket.create_connection((address, port), timeout_seconds or self.timeout_seconds)
            except OSError as error:
                fault = error
        raise Unreachable(f"{host} can't be reached: {_kind_of(fault)}")

    def addresses(self, host: str, port: int) -> list[str]:
        """The addresses of the host, resolved once. Raises TargetRefused if any of them is not allowed."""
        try:
            found = self.resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise Unreachable(f"{host} has no address: {_kind_of(error)}") from None
        if not found:
            raise Unreachable(f"{host} has no address")
        if not all(is_allowed(address, self.allow_private) for address in found):
            raise TargetRefused(
                f"{host} has a private or reserved address; if that is meant, add its network to "
                "HEED_ALLOW_PRIVATE_TARGETS"
            )
        return list(found)

    def _parse(self, url: str) -> httpx.URL:
        try:
            target = httpx.URL(url)
        except (httpx.InvalidURL, UnicodeError, TypeError):
            raise TargetRefused("the URL can't be read; give one like https://host/path") from None
        if target.scheme not in ("http", "https") or not target.host:
            raise TargetRefused("the URL must start with https:// or http:// and name a host")
        return target


def is_allowed(address: str, allow_private: Iterable[Network] = ()) -> bool:
    """Whether Heed may connect to this address: a public one, or one within the networks allowed although private."""
    try:
        parsed = _unwrap(ipaddress.ip_address(address))
    except ValueError:
        return False
    if any(parsed in network for network in allow_private):
        return True
    return parsed.is_global and not parsed.is_multicast and not _is_disguised(parsed)


def _unwrap(address: Address) -> Address:
    """The IPv4 address that is really reached through a mapped or NAT64 one."""
    if isinstance(address, IPv4Address):
        return address
    if address.scope_id is not None:
        raise ValueError("an address of one link only")
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address


def _is_disguised(address: Address) -> bool:
    if any(address in network for network in NEVER):
        return True
    return isinstance(address, IPv6Address) and (int(address) >> 32) & 0xFFFFFFFF in ISATAP


class _GuardedBackend(httpcore.NetworkBackend):
    """Opens the connections of one request, none of which outlives its deadline."""

    def __init__(self, outbound: Outbound, deadline: float) -> None:
        self._outbound = outbound
        self._deadline = deadline
        self._system = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:
        fault: httpcore.NetworkError | httpcore.TimeoutException | None = None
        for address in self._outbound.addresses(host, port):
            try:
                stream = self._system.connect_tcp(address, port, _time_left(self._deadline, timeout))
                return _DeadlineStream(stream, self._deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                fault = error
        raise fault or httpcore.ConnectError(host)


class _DeadlineStream(httpcore.NetworkStream):
    """A connection whose every wait ends at the deadline, so that a receiver can't drip bytes at us for hours."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _time_left(self._deadline, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _time_left(self._deadline, timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _time_left(self._deadline, timeout)
        return _DeadlineStream(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _GuardedTransport(httpx.BaseTransport):
    """httpx over connections that the guarded backend opened. httpx's own transport can't be given a backend."""

    def __init__(self, backend: httpcore.NetworkBackend, tls: ssl.SSLContext) -> None:
        self._pool = httpcore.ConnectionPool(ssl_context=tls, network_backend=backend, max_keepalive_connections=0)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        answer = self._pool.handle_request(
            httpcore.Request(
                method=request.method,
                url=url,
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer))

    def close(self) -> None:
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Any:
        return self._answer.iter_stream()

    def close(self) -> None:
        self._answer.close()


def _read_some(response: httpx.Response) -> bytes:
    """The start of the body, undecoded, so that neither an endless nor a compressed one costs memory."""
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) >= ANSWER_LIMIT_BYTES:
            break
    return bytes(body[:ANSWER_LIMIT_BYTES])


def _time_left(deadline: float, timeout: float | None) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the time limit of the request has passed")
    return left if timeout is None else min(left, timeout)


def _kind_of(error: BaseException | None) -> str:
    """What went wrong, in words of ours: an error's own text may hold the URL."""
    if isinstance(error, httpx.TimeoutException | httpcore.TimeoutException | TimeoutError):
        return "it took too long"
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused"
    if isinstance(error, socket.gaierror):
        return "the name is not known"
    if isinstance(error, httpcore.ConnectError) and "CERTIFICATE" in str(error):
        return "its certificate is not valid"
    if isinstance(error, httpcore.ConnectError):
        return "the connection failed"
    return "the connection broke"
