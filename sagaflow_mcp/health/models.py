"""Whether there is access to a model, as far as that can be known without paying for a call."""

from __future__ import annotations

import base64
import http.client
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING

from sagaflow_mcp import credentials, engine_client, model_access, records
from sagaflow_mcp.errors import SagaflowError
from sagaflow_mcp.health._check import Check

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sagaflow_mcp.faces import Face
    from sagaflow_mcp.settings import Settings

PROVIDER = "https://api.anthropic.com"
"""Where the Messages API is, unless `ANTHROPIC_BASE_URL` says otherwise."""

VERSION = "2023-06-01"
"""Of the API, as each request to it has to name it."""

SECONDS = 5.0
"""How long the provider may take to say whether it knows the key."""

REFUSED = (401, 403)


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirection: urllib would take the key along to wherever that leads."""

    def redirect_request(self, *_: object) -> None:
        """Nothing, which has the redirection itself for an answer."""


def access(settings: Settings, face: Face) -> Iterator[Check]:
    """How models are asked, and whether that is known to work."""
    given = settings.credentials()
    if settings.api_key_helper and settings.transport != "claude" and not credentials.keys_in(settings.environ):
        yield _helper(settings, face.way_to_a_model(settings.transport))
    elif credentials.CLAUDE in given:
        why = "models.transport is claude" if settings.transport == "claude" else "no key"
        finding = f"{why}: models are asked with {given[credentials.CLAUDE]}, on its own login"
        yield Check("model access", "info", f"{finding}; whether it is logged in, the first call tells")
    elif given:
        yield _key("a key in the environment", given, face.way_to_a_model(settings.transport))
    elif engine_client.has_credentials(settings.home):
        yield Check("model access", "info", "the running engine holds what an earlier launch brought")
    else:
        missing = {
            "api": "no key, and models.transport is api",
            "claude": "no claude command, and models.transport is claude",
        }.get(settings.transport, "neither a key nor Claude Code")
        cure = face.way_to_a_model(settings.transport)
        yield Check("model access", "warn", f"{missing}: skills that call a model are refused", cure)


def _helper(settings: Settings, cure: str) -> Check:
    try:
        given = model_access.helped(settings)
    except SagaflowError as error:
        return Check("model access", "fail", str(error), "run the command by hand, and put it right in config.toml")
    return _key("a key from models.api_key_helper", given, cure)


def _key(key: str, given: Mapping[str, str], cure: str) -> Check:
    """What the provider says of the key, which lists its models for nothing."""
    base = given.get("ANTHROPIC_BASE_URL", "")
    where = f"gateway {credentials.shown_address(base)}" if base else "the provider"
    try:
        status = _status(base or PROVIDER, given)
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = records.one_line(str(getattr(error, "reason", "") or error), 160)
        return Check("model access", "warn", f"{key}, but {where} does not answer: {reason}", cure)
    if status in REFUSED:
        return Check("model access", "fail", f"{where} refuses {key} ({status})", cure)
    if status == 200:  # noqa: PLR2004 - HTTP's
        return Check("model access", "ok", f"{key}, which {where} takes")
    return Check("model access", "info", f"{key}; {where} does not say whether it is good")


def _status(base: str, given: Mapping[str, str]) -> int:
    headers = {"anthropic-version": VERSION}
    if key := given.get("ANTHROPIC_API_KEY"):
        headers["x-api-key"] = key
    if token := given.get("ANTHROPIC_AUTH_TOKEN"):
        headers["authorization"] = f"Bearer {token}"
    address = urllib.parse.urlsplit(base)
    if address.scheme not in {"http", "https"} or not address.hostname:
        raise ValueError("its address is none of HTTP's")
    if address.username and "authorization" not in headers:
        pair = f"{urllib.parse.unquote(address.username)}:{urllib.parse.unquote(address.password or '')}"
        headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    # Without a name and a password, which urllib would take for a port.
    host = address.netloc.rpartition("@")[2]
    url = f"{address.scheme}://{host}{address.path.rstrip('/')}/v1/models?limit=1"
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - see above
    try:
        with urllib.request.build_opener(_Stay).open(request, timeout=SECONDS) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
