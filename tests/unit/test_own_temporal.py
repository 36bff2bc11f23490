"""The table `[temporal]`: what may stand in it together, and what it leads to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import connection, lineage, own_temporal
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.settings import Settings
from tests.integration.own_temporal import Certificates

if TYPE_CHECKING:
    from sagaflow_mcp.paths import Home


def load(home: Home, config: str, **environ: str) -> connection.Connection:
    """The connection that `config` describes."""
    Path(home.config).write_text(config, encoding="utf-8")
    found = connection.own(Settings.load({"SAGAFLOW_HOME": home.root, **environ}))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("", "temporal names no server"),
        ("namespace = 'n'", "temporal names no server"),
        ("adress = 'h:1'", "there is no setting 'temporal.adress'"),
        ("address = 7233", "temporal.address is 7233, but must be of the form host:port"),
        ("tls = true", "temporal.tls is True, but must be a table"),
        ("config_file = 'f'", "name that profile as well"),
        ("profile = 'p'\naddress = 'h:1'", "temporal.address cannot stand beside it"),
        ("address = 'h:1'\napi_key = 'planted'\napi_key_env = 'K'", "both give a key"),
        ("address = 'h:1'\ngrpc_meta = {a = 5}", "temporal.grpc_meta.a must be text"),
        ("address = 'h:1'\ntls = {client_cert = 'planted'}", "there is no setting 'temporal.tls.client_cert'"),
        ("address = 'h:1'\ntls = {disabled = 'yes'}", "temporal.tls.disabled must be true or false"),
        ("address = 'h:1'\ntls = {client_cert_path = 'c'}", "has only a client_cert"),
        ("address = 'h:1'\ntls = {client_cert_path = 'c', client_cert_data = 'planted'}", "both give a client_cert"),
        ("address = 'https://h:1'", "temporal.address is 'https://h:1', but must be of the form host:port"),
        ("address = 'h'", "must be of the form host:port"),
        ("address = 'h:1\\n'", "must be of the form host:port"),
        ("address = 'http://user:planted@h:1'", "must be of the form host:port"),
        ("address = 'planted@h:1'", "must be of the form host:port"),
        ("address = 'h:1'\napi_key = ['planted']", "temporal.api_key is a list, but must be text"),
    ],
)
def test_what_cannot_be_meant_is_a_sentence_with_the_file(home: Home, table: str, said: str) -> None:
    """And with no secret in it."""
    with pytest.raises(Refusal) as refused:
        load(home, f"[temporal]\n{table}\n")
    assert said in str(refused.value)
    assert home.config in str(refused.value)
    assert "planted" not in str(refused.value)


def test_a_profile_is_the_same_as_what_it_has(home: Home, tmp_path: Path) -> None:
    """By its file or in Temporal's own place; paths count from the file that they stand in."""
    certificates = Certificates(tmp_path / "files")
    table = (
        'address = "h:7233"\nnamespace = "n"\napi_key = "k"\n[TABLE.tls]\nserver_name = "s"\n'
        'server_ca_cert_path = "files/authority.pem"\nclient_cert_path = "files/client.pem"\n'
        'client_key_path = "files/client.key"\n[TABLE.grpc_meta]\nx-tenant = "t"\n'
    )
    base = "Library/Application Support" if sys.platform == "darwin" else ".config"
    folder = tmp_path / base / "temporalio"
    folder.mkdir(parents=True)
    up = "../" * len(folder.relative_to(tmp_path).parts)
    for path in (tmp_path / "own.toml", folder / "temporal.toml"):
        text = f"[TABLE]\n{table}".replace("TABLE", "profile.work")
        path.write_text(text.replace("files/", f"{up}files/" if path.parent == folder else "files/"), encoding="utf-8")
    direct = load(home, f"[TABLE]\n{table}".replace("TABLE", "temporal").replace("files/", f"{tmp_path}/files/"))
    named = load(home, f'[temporal]\nprofile = "work"\nconfig_file = "{tmp_path}/own.toml"\n')
    # What the environment says besides would have all prompts go where a project wants them.
    evil = {"XDG_CONFIG_HOME": "/evil", "TEMPORAL_ADDRESS": "evil:1"}
    there = load(home, '[temporal]\nprofile = "work"\n', HOME=str(tmp_path), **evil)
    assert (direct.address, direct.namespace) == ("h:7233", "n")
    assert direct.options["api_key"] == "k"
    assert direct.options["tls"].client_cert == certificates.client.read_bytes()
    assert direct.options["rpc_metadata"] == {"x-tenant": "t"}
    for other in (named, there):
        assert (other.address, other.namespace, other.options) == ("h:7233", "n", direct.options)
        assert "profile 'work' in" in other.source
    assert "BEGIN" not in repr(direct)


def test_a_key_can_stay_out_of_the_file(home: Home) -> None:
    """In a variable that the file names; TLS comes with it."""
    found = load(home, "[temporal]\naddress = 'h:1'\napi_key_env = 'OUR_KEY'\n", OUR_KEY="k")
    assert found.options == {"api_key": "k", "tls": True}


def test_an_empty_table_asks_for_tls(home: Home) -> None:
    """Whoever writes it does not want to talk in the clear."""
    assert load(home, "[temporal]\naddress = 'h:1'\n[temporal.tls]\n").options["tls"]
    assert "tls" not in load(home, "[temporal]\naddress = 'h:1'\n").options


@pytest.mark.parametrize(
    ("table", "label"),
    [
        ({}, "embedded"),
        ({"address": "h:1", "api_key": "secret"}, "h:1 default"),
        ({"address": "h:1", "namespace": "n"}, "h:1 n"),
        ({"profile": "p"}, "profile p in the default file"),
    ],
)
def test_a_server_goes_by_what_does_not_change_with_its_keys(table: dict[str, str], label: str) -> None:
    """The engine is started with that, and shows it."""
    assert own_temporal.label(table) == label


def test_workers_of_a_copied_home_are_of_another_lineage(home: Home, tmp_path: Path) -> None:
    """None of them takes a living worker of the first home for a dead one of its own."""
    first = lineage.of(home)
    assert lineage.of(home) == first
    copied = type(home)(str(tmp_path / "copy")).prepare()
    Path(copied.engine, "lineage").write_bytes(Path(home.engine, "lineage").read_bytes())
    assert lineage.of(copied) != first
