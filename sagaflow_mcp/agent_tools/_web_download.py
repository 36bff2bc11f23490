"""A download from the public Internet: within a time, up to a size, and only of texts."""

from __future__ import annotations

import time
import zlib
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import IPv4Address, IPv6Address, ip_address
from threading import Thread
from typing import TYPE_CHECKING, Any

import httpcore2
import httpx2

import sagaflow_mcp
from sagaflow_mcp import records
from sagaflow_mcp.agent_tools import _web_address, _web_text
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator

LARGEST_BYTES = 5 * 1024 * 1024
"""How much of a page is read, both as it comes in and unpacked."""

LONGEST_URL = 2000
"""In characters."""

CONNECT_SECONDS = 8.0
"""How long one of a name's addresses is tried, so that there is time left for another."""

MOST_REDIRECTS = 5
"""How many are followed."""

REDIRECTS = (301, 302, 303, 307, 308)
"""The statuses that say that a page is elsewhere."""

HEADERS = {
    "User-Agent": f"sagaflow/{sagaflow_mcp.__version__}",
    "Accept": "text/html, application/xhtml+xml, text/*, application/json, application/xml, */*;q=0.1",
    "Accept-Encoding": "gzip",
    "Connection": "close",
}
"""What each request says."""


@dataclass(frozen=True)
class Reach:
    """What can be reached, and how: only tests, whose servers are on their own machine, have another than this."""

    is_allowed: Callable[[IPv4Address | IPv6Address], bool] = _web_address.is_public
    """Whether to connect to an address."""
    addresses: Callable[[str, int], list[str]] = _web_address.addresses
    """The addresses of a name, for a port."""
    certificates: Callable[[], ssl.SSLContext] = httpx2.create_ssl_context
    """Whose certificates are trusted."""
    seconds: float = 30.0
    """How long all of it may take."""


@dataclass(frozen=True)
class Page:
    """What was downloaded."""

    url: str
    """Where it is, after all redirects."""
    status: str
    kind: str
    """The `Content-Type`; empty where the server tells none."""
    data: bytes
    is_cut: bool
    """Whether there is more than what was read."""


class Deadline:
    """The moment at which all must be over."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """The seconds that are left. Refusal when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.passed()
        return left

    def passed(self) -> Refusal:
        """What is said when there are none."""
        return Refusal(f"the page took longer than {self._seconds:g} s; try another, or try later")


def download(url: str, reach: Reach, deadline: Deadline) -> Page:
    """The page at `url`. Refusal when there is none, when it is no text, or when it must not be reached."""
    target = _parsed(url)
    for _ in range(MOST_REDIRECTS + 1):
        with _told(target, deadline):
            found = _asked(target, reach, deadline)
        if isinstance(found, Page):
            return found
        before, target = target, _parsed(found, target)
        if before.scheme == "https" and target.scheme == "http":
            raise Refusal(f"{_shown(before)} leads on to {_shown(target)}, which is not encrypted; it is not followed")
    raise Refusal(f"{url!r} leads on more than {MOST_REDIRECTS} times; give the URL of the page itself")


def _parsed(url: str, base: httpx2.URL | None = None) -> httpx2.URL:
    """The URL, from `base` on where a redirect gives it. Refusal when it is none that can be fetched."""
    shown = repr(records.one_line(url, LONGEST_URL))
    try:
        parsed = (base.join(url) if base else httpx2.URL(url.strip())).copy_with(fragment=None)
        port = parsed.port
    except (httpx2.InvalidURL, ValueError) as error:
        raise Refusal(f"{shown} is no URL: {records.one_line(str(error))}") from None
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise Refusal(f"{shown} is no address of a page; give a URL that begins with https:// or http://")
    if parsed.userinfo:
        raise Refusal("the URL holds a user name or a password, which are sent nowhere; give it without")
    if port is not None and not 0 < port < 65536:  # noqa: PLR2004 - the ports that there are
        raise Refusal(f"{shown} is no URL: there is no port {port}")
    if len(str(parsed)) > LONGEST_URL:
        raise Refusal(f"{shown} is longer than {LONGEST_URL:,} characters")
    return parsed


def _asked(url: httpx2.URL, reach: Reach, deadline: Deadline) -> Page | str:
    """The page, or where it is instead. Refusal when there is none to read."""
    target = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
    headers: list[tuple[bytes | str, bytes | str]] = [("Host", url.netloc), *HEADERS.items()]
    encrypted = reach.certificates() if url.scheme == "https" else None
    with (
        httpcore2.ConnectionPool(ssl_context=encrypted, network_backend=_Network(reach, deadline)) as pool,
        pool.stream("GET", target, headers=headers) as response,
    ):
        said = httpx2.Headers(response.headers)
        if response.status in REDIRECTS and said.get("location"):
            return said["location"]
        if not HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES:
            raise Refusal(f"{_shown(url)} answers with status {_status(response.status)}")
        kind = said.get("content-type", "")
        _web_text.check(kind, _shown(url))
        data, is_cut = _body(response.iter_stream(), said.get("content-encoding", ""))
        return Page(str(url), _status(response.status), records.one_line(kind, 100), data, is_cut)


def _body(pieces: Iterable[bytes], encoding: str) -> tuple[bytes, bool]:
    """What the pieces are when unpacked, and whether there is more. Refusal when they cannot be unpacked."""
    encoding = encoding.strip().lower()
    if encoding not in {"", "identity", "gzip", "x-gzip"}:
        raise Refusal(f"the page is packed as {records.one_line(encoding, 50)!r}, although only gzip was asked for")
    unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16) if "gzip" in encoding else None
    data, taken = bytearray(), 0
    for piece in pieces:
        taken += len(piece)
        # One more than is kept: whether there is more is then seen, and 0 would stand for any number.
        data += unpacking.decompress(piece, LARGEST_BYTES - len(data) + 1) if unpacking else piece
        if max(len(data), taken) > LARGEST_BYTES:
            return bytes(data[:LARGEST_BYTES]), True
    return bytes(data), False


@contextmanager
def _told(url: httpx2.URL, deadline: Deadline) -> Iterator[None]:
    """Whatever goes wrong inside, as a Refusal."""
    try:
        yield
    except (httpcore2.ReadTimeout, httpcore2.WriteTimeout):
        raise deadline.passed() from None
    except httpcore2.ConnectTimeout:
        raise Refusal(f"{_shown(url)} cannot be reached (no proxy is used): the server does not answer") from None
    except (httpcore2.NetworkError, httpcore2.ProtocolError, UnicodeError, zlib.error) as error:
        why = records.one_line(str(error)) or type(error).__name__
        raise Refusal(f"{_shown(url)} cannot be read (no proxy is used): {why}") from None


class _Network(httpcore2.NetworkBackend):
    """Connections to allowed addresses alone, in which each wait ends with the deadline."""

    def __init__(self, reach: Reach, deadline: Deadline) -> None:
        self._reach = reach
        self._deadline = deadline

    def connect_tcp(self, host: str, port: int, *_: Any, **__: Any) -> httpcore2.NetworkStream:
        """A connection to an address of the host. Refusal when one of its addresses is not allowed."""
        error: Exception | None = None
        # Addresses, not the name, are connected to: somebody might answer otherwise when asked for it again.
        for address in self._addresses(host, port):
            seconds = min(CONNECT_SECONDS, self._deadline.left())
            try:
                return _Stream(httpcore2.SyncBackend().connect_tcp(address, port, seconds), self._deadline)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as failed:
                error = failed
        raise error or httpcore2.ConnectError(f"there is no address for {host}")

    def _addresses(self, host: str, port: int) -> list[str]:
        found = self._looked_up(host, port)
        for each in found:
            if not self._reach.is_allowed(ip_address(each)):
                raise Refusal(f"{host} is out of reach: {each} is not on the public Internet; give a public page's URL")
        return found

    def _looked_up(self, host: str, port: int) -> list[str]:
        # In a thread of its own, since nothing ends a look-up of the system's before it gives up.
        future: Future[list[str]] = Future()

        def look_up() -> None:
            try:
                future.set_result(self._reach.addresses(host, port))
            except Exception as error:  # noqa: BLE001 - raised where the result is waited for
                future.set_exception(error)

        Thread(target=look_up, daemon=True, name="web_fetch-name").start()
        try:
            return future.result(self._deadline.left())
        except TimeoutError:
            raise self._deadline.passed() from None
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(f"its name leads nowhere: {error}") from None


class _Stream(httpcore2.NetworkStream):
    """A connection in which each wait ends with the deadline, also where a server sends bit by bit."""

    def __init__(self, inner: httpcore2.NetworkStream, deadline: Deadline) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - the deadline counts
        return self._inner.read(max_bytes, self._deadline.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002 - as above
        self._inner.write(buffer, self._deadline.left())

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002 - as above
    ) -> httpcore2.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, self._deadline.left()), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _shown(url: httpx2.URL) -> str:
    return repr(records.one_line(str(url), LONGEST_URL))


def _status(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
