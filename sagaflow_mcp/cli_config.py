"""`sagaflow config`: the settings, where each comes from, and changes of the home's `config.toml`."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sagaflow_mcp import cli_output, config_file, engine_client, preferences, records, settings
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    import argparse

    from sagaflow_mcp.paths import Home
    from sagaflow_mcp.preferences import Preference

VALUE_LIMIT = 300
"""The longest value shown, in characters."""


def config(options: argparse.Namespace) -> int:
    """Show every setting with its value and where that comes from."""
    found = preferences.listing(os.environ)
    if options.as_json:
        return cli_output.print_json([asdict(each) for each in found])
    for each in found:
        print(f"{each.name:<24} {_text(each.value):<32} {_source(each)}")
    return 0


def config_get(options: argparse.Namespace) -> int:
    """Show one setting: its value alone, or all about it as JSON."""
    settings.rule(options.setting)
    found = next((each for each in preferences.listing(os.environ) if each.name == options.setting), None)
    if found is None:
        raise Refusal(f"{options.setting} is not set; see: sagaflow config")
    if options.as_json:
        return cli_output.print_json(asdict(found))
    print(_text(found.value))
    return 0


def config_set(options: argparse.Namespace) -> int:
    """Write one setting into `config.toml`."""
    value = settings.parsed(options.setting, options.value)
    home = preferences.home_of(os.environ, options.setting).prepare()
    config_file.put(home, options.setting, value)
    return _changed(options, home, f"{options.setting} is set in {home.config}")


def config_unset(options: argparse.Namespace) -> int:
    """Take one setting out of `config.toml`."""
    home = preferences.home_of(os.environ, options.setting).prepare()
    if not config_file.remove(home, options.setting):
        settings.rule(options.setting)
        raise Refusal(f"{options.setting} is not set in {home.config!r}; see: sagaflow config")
    return _changed(options, home, f"{options.setting} is no longer set in {home.config}")


def _changed(options: argparse.Namespace, home: Home, done: str) -> int:
    restart = not preferences.is_at_once(options.setting) and engine_client.status(home) is not None
    variable = settings.VARIABLES.get(options.setting, "")
    if options.as_json:
        return cli_output.print_json({"name": options.setting, "file": home.config, "restart_engine": restart})
    print(records.one_line(done, VALUE_LIMIT))
    if restart:
        print("the engine that runs keeps what it began with; the next one has this: sagaflow engine stop")
    if os.environ.get(variable):
        print(f"{variable} is set here and goes before it")
    return 0


def _source(each: Preference) -> str:
    return {
        "environment": each.variable,
        "project": "a project's settings, not allowed: see sagaflow doctor",
        "config": "config.toml",
    }.get(each.source, each.source)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return records.one_line(value if isinstance(value, str) else json.dumps(value), VALUE_LIMIT)
