"""Where a Temporal server is, and with what one is let in: the engine's, or the user's own from `config.toml`."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from temporalio.envconfig import ClientConfigProfile, ClientConfigTLS

from sagaflow_mcp import credentials, own_temporal, paths, records
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography import x509
    from temporalio.envconfig import DataSource

    from sagaflow_mcp.settings import Settings


@dataclass(frozen=True)
class Connection:
    """What a client needs to reach one namespace of one Temporal server."""

    address: str
    """`host:port`."""
    namespace: str = "default"
    source: str = ""
    """Where it was read, as the end of a sentence; empty for the server that the engine brings."""
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Further arguments for `Client.connect`: key, certificates, metadata."""

    label: str = own_temporal.EMBEDDED
    """Which server it is, as `own_temporal.label` says it."""

    @property
    def is_own(self) -> bool:
        """Whether the server is the user's own, and so may belong to others as well."""
        return self.label != own_temporal.EMBEDDED


def own(settings: Settings) -> Connection | None:
    """The connection that `[temporal]` in the home's `config.toml` describes; None where there is no such table.

    Nothing of it comes from `TEMPORAL_` variables: whoever sets one for a project would have all prompts sent there.

    Raises:
        Refusal: the profile, a file that it names, or what is in that file is not in order.
    """
    table, config = settings.temporal, Path(settings.home.config)
    if not table:
        return None
    if "profile" in table:
        path = _config_file(table, config.parent, settings.environ)
        source = f"profile {table['profile']!r} in {str(path)!r}"
        profile = _profile(str(table["profile"]), path)
    else:
        path, source = config, f"[temporal] in {str(config)!r}"
        profile = ClientConfigProfile.from_dict({**table, "tls": _tls_table(table)})  # type: ignore[typeddict-item]
        profile = replace(profile, api_key=_api_key(table, settings.environ, source))
    address = (profile.address or "").strip()
    if not own_temporal.ADDRESS.fullmatch(address):
        shown = records.one_line(credentials.shown_address(address), 100)
        given = f"the address {shown!r}" if address else "no address"
        raise Refusal(f'{source} has {given}, but must have one of the form address = "host:port"')
    tls = _readable(profile.tls, path.parent, source) if profile.tls else None
    options: dict[str, Any] = {**replace(profile, tls=tls).to_client_connect_config()}
    for given_apart in ("target_host", "namespace"):
        options.pop(given_apart, None)
    return Connection(address, profile.namespace or "default", source, options, own_temporal.label(table))


def _api_key(table: Mapping[str, Any], environ: Mapping[str, str], source: str) -> str | None:
    variable = table.get("api_key_env")
    if variable and not environ.get(variable):
        raise Refusal(f"{source} says that the API key is in the environment variable {variable}, which is not set")
    key: str | None = environ[variable] if variable else table.get("api_key")
    return key


def _tls_table(table: Mapping[str, Any]) -> dict[str, Any] | None:
    """The table `tls` in the form that `from_dict` takes; an empty one stands for TLS as it is by default."""
    if "tls" not in table:
        return None
    found: dict[str, Any] = {"disabled": False}
    for name, value in table["tls"].items():
        stem, _, form = name.rpartition("_")
        if stem in own_temporal.PEM:
            found[stem] = {form: value}
        else:
            found[name] = value
    return found


def _config_file(table: Mapping[str, Any], folder: Path, environ: Mapping[str, str]) -> Path:
    """Temporal's own configuration file: the one that is named, else where its `temporal` command has it by default."""
    if "config_file" in table:
        return folder / Path(table["config_file"]).expanduser()
    home = Path(paths.user_folder(environ))
    # Not XDG_CONFIG_HOME, which a project may have set: it would choose the server.
    base = home / "Library/Application Support" if sys.platform == "darwin" else home / ".config"
    return base / "temporalio" / "temporal.toml"


def _profile(name: str, path: Path) -> ClientConfigProfile:
    try:
        # The bytes, not the path: what cannot be read is told here, and not as a profile that is missing.
        return ClientConfigProfile.load(name, config_source=path.read_bytes(), disable_env=True)
    except OSError as error:
        raise Refusal(f"{str(path)!r}, where profile {name!r} should be, cannot be read: {error.strerror}") from error
    except RuntimeError as error:  # Of its kinds none is public.
        if str(error) == f"Profile '{name}' not found":
            raise Refusal(f"there is no profile {name!r} in {str(path)!r}; `temporal config list` shows them") from None
        reason = records.one_line(str(error).removeprefix("Configuration loading error: "))
        raise Refusal(f"{str(path)!r} cannot be read as Temporal's configuration: {reason}") from None


def _readable(tls: ClientConfigTLS, folder: Path, source: str) -> ClientConfigTLS:
    """`tls` with the contents of its files, each of which is what it should be."""
    if tls.disabled:
        return tls
    authority = _content(tls.server_root_ca_cert, folder, f"server_ca_cert of {source}")
    certificate = _content(tls.client_cert, folder, f"client_cert of {source}")
    key = _content(tls.client_private_key, folder, f"client_key of {source}")
    for name, pem in (("server_ca_cert", authority), ("client_cert", certificate)):
        if pem is not None and not _certificates(pem):
            raise Refusal(f"the {name} of {source} is no certificate in PEM form (-----BEGIN CERTIFICATE-----)")
    if (certificate is None) != (key is None):
        raise Refusal(f"{source} has only one of client_cert and client_key; a client shows itself with both")
    if certificate is not None and key is not None and not _belongs(key, certificate):
        raise Refusal(
            f"the client_key of {source} is not the private key of its client_cert, in PEM form and without a password"
        )
    return replace(tls, server_root_ca_cert=authority, client_cert=certificate, client_private_key=key)


def _content(source: DataSource | None, folder: Path, what: str) -> bytes | None:
    if isinstance(source, str):
        return source.encode()
    if not isinstance(source, Path):
        return source
    # Relative to the file that names it: an engine has no folder of its own to start from.
    path = folder / source.expanduser()
    try:
        return path.read_bytes()
    except OSError as error:
        raise Refusal(f"the {what}, {str(path)!r}, cannot be read: {error.strerror or error}") from error


def _certificates(pem: bytes) -> list[x509.Certificate]:
    # Imported here: it takes a tenth of the time in which a worker starts, and few have certificates.
    from cryptography import x509  # noqa: PLC0415

    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        return []


def _belongs(key: bytes, certificate: bytes) -> bool:
    """Whether the private key `key` is the one of the first certificate in `certificate`."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - as above

    try:
        private = serialization.load_pem_private_key(key, password=None)
    except (ValueError, TypeError):
        return False
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return private.public_key().public_bytes(*form) == _certificates(certificate)[0].public_key().public_bytes(*form)
