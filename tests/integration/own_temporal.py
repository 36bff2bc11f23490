"""A Temporal of the user's own: the server started by hand, and a front that asks for certificates and an API key."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import struct
import subprocess
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Self, TypeVarTuple, Unpack

import anyio
import hpack
from anyio.abc import SocketAttribute
from anyio.from_thread import start_blocking_portal
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.tls import TLSListener
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sagaflow_mcp import temporal_server
from sagaflow_mcp.testing import LocalSagaflow
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from anyio.abc import ByteStream
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

HEADERS, CONTINUATION = 1, 9
"""Types of HTTP/2 frames (RFC 9113, section 6)."""

END_STREAM, END_HEADERS, PADDED, PRIORITY = 0x1, 0x4, 0x8, 0x20
"""Flags of HTTP/2 frames."""

PREFACE_BYTES = 24
"""What a client sends before its first frame."""

Send = Callable[[bytes], Awaitable[None]]
"""What says something to one side of a connection."""

Work = TypeVarTuple("Work")
"""What passes on what one side of a connection says is given."""


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as attempt:
        attempt.bind(("127.0.0.1", 0))
        return int(attempt.getsockname()[1])


FEW_EVENTS = ("--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=100")
"""Has a server ask runs to continue as new after so many events, in place of some 4,000."""


def own_server(address: str, *skills: Path) -> LocalSagaflow:
    """A Sagaflow, not yet entered, whose home names the server at `address`."""
    local = LocalSagaflow(skills=skills)
    home = local.folder / "home"
    home.mkdir(mode=0o700)
    home.joinpath("config.toml").write_text(f'[temporal]\naddress = "{address}"\n', encoding="utf-8")
    return local


class DevServer:
    """`temporal server start-dev` with further `options`, as somebody starts it in a shell.

    Its database is in `folder`. It can be stopped and started again. Leaving the context ends it.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder = folder
        self._options = options
        self._ports = [free_port() for _ in range(3)]
        self.address = f"127.0.0.1:{self._ports[0]}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        grpc, http, metrics = map(str, self._ports)
        with self._folder.joinpath("server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(temporal_server.binary(), "server", "start-dev", "--headless", "--port", grpc),
                    *("--http-port", http, "--metrics-port", metrics),
                    *("--db-filename", str(self._folder / "server.db"), "--log-level", "error"),
                    *self._options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        # Asked, not only called: it accepts connections before it answers.
        eventually(lambda: temporal_command(self.address, "operator", "cluster", "health").returncode == 0, "a server")

    def stop(self) -> None:
        """End it; what it knows is on disk."""
        self._process.terminate()
        self._process.wait()


def temporal_command(address: str, *words: str) -> subprocess.CompletedProcess[str]:
    """What Temporal's own command says of the server at `address`."""
    return subprocess.run(
        [temporal_server.binary(), *words, "--address", address],
        env={"HOME": "/nonexistent", "PATH": "/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=30,
    )


class Certificates:
    """An authority, a certificate of the server and one of a client, as PEM files in `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.authority = folder / "authority.pem"
        self.server, self.server_key = folder / "server.pem", folder / "server.key"
        self.client, self.client_key = folder / "client.pem", folder / "client.key"
        self._signer = ec.generate_private_key(ec.SECP256R1())
        self._issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self.authority.write_bytes(self._certificate(self._issuer, self._signer, is_authority=True))
        for certificate, key in ((self.server, self.server_key), (self.client, self.client_key)):
            private = ec.generate_private_key(ec.SECP256R1())
            subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, certificate.stem)])
            certificate.write_bytes(self._certificate(subject, private))
            key.write_bytes(
                private.private_bytes(
                    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                )
            )

    def _certificate(self, subject: x509.Name, key: EllipticCurvePrivateKey, *, is_authority: bool = False) -> bytes:
        now = dt.datetime.now(dt.UTC)
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self._signer, hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM)
        )


class Relay:
    """Passes connections on to `backend`, from a free port of `host`. Leaving the context ends it."""

    def __init__(self, backend: str, host: str = "127.0.0.1") -> None:
        self._backend_host, _, port = backend.rpartition(":")
        self._backend_port = int(port)
        self._host = host
        self._connections: set[anyio.CancelScope] = set()
        self._context: ssl.SSLContext | None = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as entered:
            self._portal = entered.enter_context(start_blocking_portal())
            port = entered.enter_context(self._portal.wrap_async_context_manager(self._serving()))
            self._entered = entered.pop_all()
        self.address = f"{self._host}:{port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._entered.close()

    @contextlib.asynccontextmanager
    async def _serving(self) -> AsyncIterator[int]:
        """Listens at the port that it gives. Nothing of it is open afterwards, however late somebody has connected."""
        async with await anyio.create_tcp_listener(local_host=self._host) as plain, anyio.create_task_group() as group:
            context = self._context
            listener = TLSListener(plain, context, standard_compatible=False) if context else plain
            group.start_soon(listener.serve, self._accept)
            yield plain.extra(SocketAttribute.local_port)
            group.cancel_scope.cancel()

    async def _drop(self) -> None:
        for connection in self._connections:
            connection.cancel()

    async def _accept(self, client: ByteStream) -> None:
        async with client:
            try:
                behind = await anyio.connect_tcp(self._backend_host, self._backend_port)
            except OSError:
                return
            async with behind, anyio.create_task_group() as both:
                self._connections.add(both.cancel_scope)
                one_at_a_time = anyio.Lock()

                async def back(data: bytes) -> None:
                    async with one_at_a_time:
                        await client.send(data)

                both.start_soon(self._until_gone, both.cancel_scope, self._pass_on, client, behind.send, back)
                both.start_soon(self._until_gone, both.cancel_scope, _copy, behind, back)

    async def _until_gone(
        self, connection: anyio.CancelScope, work: Callable[[Unpack[Work]], Awaitable[None]], *args: *Work
    ) -> None:
        """Do `work`, and end the connection once one side has ended."""
        try:
            with contextlib.suppress(anyio.BrokenResourceError, anyio.EndOfStream, anyio.IncompleteRead, OSError):
                await work(*args)
        finally:
            self._connections.discard(connection)
            connection.cancel()

    async def _pass_on(
        self,
        client: ByteStream,
        behind: Send,
        back: Send,  # noqa: ARG002 - for those who answer themselves
    ) -> None:
        await _copy(client, behind)


class Front(Relay):
    """A relay over TLS for those who have a client certificate and say `authorization: Bearer KEY`."""

    def __init__(self, backend: str, certificates: Certificates, api_key: str) -> None:
        super().__init__(backend)
        self._api_key = api_key
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificates.server, certificates.server_key)
        self._context.load_verify_locations(certificates.authority)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.set_alpn_protocols(["h2"])

    async def _pass_on(self, client: ByteStream, behind: Send, back: Send) -> None:
        await _Guard(lambda: f"Bearer {self._api_key}").relay(BufferedByteReceiveStream(client), behind, back)

    def change_key(self, api_key: str) -> None:
        """From now on only `api_key` is good; everybody has to connect anew."""
        self._api_key = api_key
        self._portal.call(self._drop)


async def _copy(source: ByteStream, send: Send) -> None:
    async for data in source:
        await send(data)


class _Guard:
    """The requests of one connection: each is passed on, or refused as a gRPC server refuses."""

    def __init__(self, wanted: Callable[[], str]) -> None:
        self._wanted = wanted
        self._decoder = hpack.Decoder()
        self._refused: set[int] = set()
        self._block = b""
        self._held = b""

    async def relay(self, client: BufferedByteReceiveStream, behind: Send, back: Send) -> None:
        """Pass on what `client` says to `behind`, and answer with `back` what is refused."""
        await behind(await client.receive_exactly(PREFACE_BYTES))
        while True:
            head = await client.receive_exactly(9)
            length, kind, flags, stream = (
                int.from_bytes(head[:3], "big"),
                head[3],
                head[4],
                struct.unpack(">I", head[5:])[0],
            )
            body = await client.receive_exactly(length)
            if kind in {HEADERS, CONTINUATION}:
                self._held += head + body
                self._block += _fragment(flags, body) if kind == HEADERS else body
                if not flags & END_HEADERS:
                    continue
                head, body = self._held, b""
                if not self._may_pass():
                    self._refused.add(stream)
                    await back(_unauthenticated(stream))
                self._held, self._block = b"", b""
            # Once one was refused none is passed on: the server behind would lack what the client has compressed away.
            if not self._refused or (kind not in {HEADERS, CONTINUATION} and stream == 0):
                await behind(head + body)

    def _may_pass(self) -> bool:
        headers = {str(name): str(value) for name, value, *_ in self._decoder.decode(self._block)}
        return not self._refused and headers.get("authorization") == self._wanted()


def _fragment(flags: int, body: bytes) -> bytes:
    """The header block in a HEADERS frame, without its padding and priority."""
    padding = body[0] if flags & PADDED else 0
    start = bool(flags & PADDED) + (5 if flags & PRIORITY else 0)
    return body[start : len(body) - padding]


def _unauthenticated(stream: int) -> bytes:
    """A response of headers alone that says UNAUTHENTICATED, without touching the tables of either side."""
    block = b"\x88" + b"".join(  # :status 200
        b"\x10" + bytes([len(name)]) + name + bytes([len(value)]) + value
        for name, value in (
            (b"content-type", b"application/grpc"),
            (b"grpc-status", b"16"),
            (b"grpc-message", b"the key is not known"),
        )
    )
    head = len(block).to_bytes(3, "big") + bytes([HEADERS, END_HEADERS | END_STREAM]) + struct.pack(">I", stream)
    return head + block
