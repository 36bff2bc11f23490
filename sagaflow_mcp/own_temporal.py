"""The table `[temporal]` of `config.toml`, which names a Temporal server of the user's own.

It holds either the name of a profile in Temporal's own configuration file, or what such a profile has.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

EMBEDDED = "embedded"
"""What stands for the server that the engine brings, where a server is named."""

VARIABLE = "SAGAFLOW_TEMPORAL"
"""Tells an engine which server its worker uses, as `label` says it: the engine itself reads no configuration."""

PEM = ("server_ca_cert", "client_cert", "client_key")
"""What a profile's table `tls` gives as the path of a PEM file, `…_path`, or as its text, `…_data`."""

TLS = ("disabled", "server_name", *(f"{name}_{form}" for name in PEM for form in ("path", "data")))
"""The names in a profile's table `tls`."""

ALONE = frozenset({"profile", "config_file"})
"""What names a profile elsewhere, beside which nothing else can stand."""

ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s\x00-\x1f\x7f/:@\[\]]+):[0-9]{1,5}")
"""What the address of a server is: `host:port`."""


def trouble(table: Mapping[str, Any]) -> str | None:
    """Why the settings in `table`, each in order, cannot stand together, in a sentence; None when they can."""
    others = sorted(table.keys() - ALONE)
    if "profile" in table and others:
        return f"temporal.profile names a profile that has everything; temporal.{others[0]} cannot stand beside it"
    if "config_file" in table and "profile" not in table:
        return "temporal.config_file is the file that temporal.profile is in; name that profile as well"
    if not {"profile", "address"} & table.keys():
        return 'temporal names no server; it needs temporal.address = "host:port", or temporal.profile'
    if {"api_key", "api_key_env"} <= table.keys():
        return "temporal.api_key and temporal.api_key_env both give a key; keep one of them"
    for name, value in table.get("grpc_meta", {}).items():
        if not isinstance(value, str):
            return f"temporal.grpc_meta.{name} must be text"
    return _tls_trouble(table.get("tls", {}))


def _tls_trouble(tls: Mapping[str, Any]) -> str | None:
    for name, value in tls.items():
        if name not in TLS:
            return f"there is no setting 'temporal.tls.{name}'; it has {', '.join(TLS)}"
        wanted = bool if name == "disabled" else str
        if type(value) is not wanted or value == "":
            return f"temporal.tls.{name} must be {'true or false' if wanted is bool else 'text'}"
    given = {name for name in PEM for form in ("path", "data") if f"{name}_{form}" in tls}
    for name in PEM:
        if {f"{name}_path", f"{name}_data"} <= tls.keys():
            return f"temporal.tls.{name}_path and temporal.tls.{name}_data both give a {name}; keep one of them"
    halves = given & {"client_cert", "client_key"}
    if len(halves) == 1:
        return f"temporal.tls has only a {halves.pop()}; a client shows itself with both client_cert and client_key"
    return None


def label(table: Mapping[str, Any]) -> str:
    """Which server `table` names, in a line, whatever is shown to be let in: `embedded` without a name of another."""
    if not table:
        return EMBEDDED
    if "profile" in table:
        return f"profile {table['profile']} in {table.get('config_file', 'the default file')}"
    return f"{table['address']} {table.get('namespace', 'default')}"
