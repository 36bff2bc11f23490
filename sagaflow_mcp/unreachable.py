"""Why a Temporal server cannot be used, in a sentence: the one place that reads the SDK's errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from temporalio.service import RPCError, RPCStatusCode

from sagaflow_mcp import records

if TYPE_CHECKING:
    from sagaflow_mcp.connection import Connection

FORBIDDEN = frozenset({RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNAUTHENTICATED, RPCStatusCode.UNIMPLEMENTED})
"""What a server says that does not do a thing for us, however often it is asked."""

REASONS = (
    ("InvalidCertificate", "shows a certificate that is not trusted: name its authority in tls.server_ca_cert_path"),
    ("InvalidContentType", "does not speak TLS there: leave out tls, and the API key that brings it along"),
    ("dns error", "has a name that is not known"),
    ("call error after connection", "ends the connection: it may want TLS, or another client certificate"),
    ("tcp connect error", "does not answer: nothing accepts connections there"),
)
"""What the SDK says, which tells kinds of failure apart only in its text, and what that means."""


def sentence(server: Connection, error: BaseException) -> str:
    """What `error`, which came from connecting to `server`, means to its user."""
    if not server.is_own:
        return f"the Temporal server at {server.address} does not answer ({_said(error)}); see `sagaflow doctor`"
    return f"the Temporal server at {server.address} {_predicate(server, error)} (from {server.source})"


def _predicate(server: Connection, error: BaseException) -> str:
    said = str(error)
    status = error.status if isinstance(error, RPCError) else None
    if status is RPCStatusCode.NOT_FOUND:
        create = f"temporal operator namespace create -n {server.namespace}"
        return f"has no namespace {server.namespace!r}: name one that it has, or make it with `{create}`"
    if status in {RPCStatusCode.UNAUTHENTICATED, RPCStatusCode.PERMISSION_DENIED} or any(
        f"code: {code}" in said for code in ("Unauthenticated", "PermissionDenied")
    ):
        shown = "the API key" if server.options.get("api_key") else "anybody without an API key (api_key)"
        return f"does not let in {shown}: {_said(error)}"
    for sign, meaning in REASONS:
        if sign in said:
            return meaning
    return f"does not answer: {_said(error)}"


def _said(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    # The innermost message of a status, where there is one: what is around it is for those who write Rust.
    _, found, rest = str(error).partition('message: "')
    return records.one_line(rest.partition('"')[0] if found else str(error) or type(error).__name__, 200)
