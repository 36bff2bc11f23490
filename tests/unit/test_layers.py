"""Imports point downwards only, and what hooks and the engine load stays with the standard library."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import sagaflow_mcp

PACKAGE = Path(sagaflow_mcp.__file__).parent

LAYERS = {
    "pure": """
        __init__ errors paths records ids digest settings registry prompts contract argument_schema authorship syntax
        history time_scale
        skill_imports shown_sources load_errors structured_output reports credentials keys failures wire manifest
        relay plugin_options guard project_env simple_toml json_text claude_settings own_temporal faces docstrings
        typed leash child_environ durations service_files testing._script testing._wire front_matter skill_file projects
        crash_points testing.cases mcp_names mcp_servers entry_lines ways
    """,
    "adapters": """
        mcp_clients mcp_clients._connection mcp_clients._connections mcp_clients._errors mcp_clients._http
        mcp_clients._place mcp_clients._said mcp_clients._stdio mcp_tools
        agent_tools agent_tools._asking agent_tools._delegation agent_tools._files agent_tools._search
        agent_tools._shell agent_tools._web agent_tools._web_address agent_tools._web_download agent_tools._web_html
        agent_tools._web_text agent_tools._workspace conversation
        claude_process claude_sessions wakeups messenger
        artifacts model_access config_file markers pauses run_index inbox questions notify refused sealing payloads
        sandbox
        connection unreachable commands changes git lineage temporal
        starting processes patience supervisor children temporal_server control peer service engine_start engine_client
        worker_link schedule_files schedule_server
        pinning retention leftovers loader skill_check models models._types models._choice
        models._claude_command models._claude_outcome models._claude_process models._tools_in_text
        models._deferred models._messages_api models._verdict testing testing._calls testing._http testing.messages_api
        streams real_server environments pythons installing supply terminal shared_names skill_lint skill_lint._calls
        skill_lint._findings skill_lint._imports skill_lint._lint skill_lint._prompts skill_lint._reach
        skill_lint._scope skill_lint._source skill_lint._state skill_lint._workflow_names trust
    """,
    "durable": """
        durable durable.activities durable.agent_activities durable.agents durable.answers durable.asking
        durable.attempts durable.batches durable.calls durable.children durable.context durable.ctx
        durable.first_execution durable.function_activities durable.functions durable.holding durable.housekeeping
        durable.instructed durable.inheriting durable.interceptors durable.places durable.journal durable.lanes
        durable.mcp_activities durable.memory durable.model_calls durable.notices
        durable.open_runs durable.permission durable.permit_activities durable.permits durable.persisting
        durable.progress_notes durable.prompt_activities durable.prompting durable.reasons durable.reconciler
        durable.recovery durable.retry_policies durable.run_log durable.run_state durable.step_events
        durable.step_record durable.steps durable.told durable.typed_output skill_workers durable.crashing
    """,
    "use cases": """
        answering run_updates shown telling steering held_steps retrying resetting trusting catalog checking child_runs
        health health._check health.claude health.disk health.fixes health.models health.processes health.runs
        overview probe inspection launch runs run_filter run_details run_words run_page run_timeline
        watching watch_view progress_numbers following doctor preferences waking wording session_hook scaffolding
        system_service schedules schedule_entries schedule_launches scheduling
    """,
    "edges": """
        __main__ cli cli_answer cli_parser cli_commands cli_config cli_skills cli_launch cli_worker cli_hook cli_help
        cli_completion cli_output cli_show cli_watch json_fields
        server server_views worker worker_start joined engine hook launcher backing
        builder self_portrait demo testing.local testing.plugin cli_question cli_tell cli_control cli_trust
        cli_gc cli_schedule cli_service engine_service
        permission_dialog testing.trials testing.verdicts testing._skipping cli_skill_test cli_skill_new waiter
    """,
}
"""Every module, lowest layer first; it may import its own layer and those before."""

RANK = {module: rank for rank, modules in enumerate(LAYERS.values()) for module in modules.split()}

HOOK_REACHABLE = {"hook", "waiter", "engine", "engine_client", "launcher", "backing", "builder"}
"""What starts with the system's python3 or must stay small: all that these import is standard library, Python 3.9."""


@cache
def modules() -> dict[str, Path]:
    """Every module of the package by its name below `sagaflow_mcp`, without the skills in it."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[0] in {"demo_skill", "skill_templates", "bundled_skills", "bundled_hooks"}:
            continue
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imported(path: Path) -> set[str]:
    """What `path` imports when it runs: names of modules, ours below `sagaflow_mcp` as `.name`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and id(node) not in typing_only:
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and id(node) not in typing_only and node.module:
            found.update(_from(node.module, [alias.name for alias in node.names]))
    return found


def _from(module: str, names: list[str]) -> set[str]:
    if module.partition(".")[0] != "sagaflow_mcp":
        return {module}
    inner = module.partition(".")[2]
    known = modules()
    joined = {name: f"{inner}.{name}".lstrip(".") for name in names}
    return {f".{full if full in known else inner or '__init__'}" for full in joined.values()}


def test_the_launcher_loads_what_stands_behind_it_once_it_is_needed() -> None:
    """A session waits for its first answer, and that takes twice as long with all of it."""
    load = "import sys; sys.path.append(sys.argv[1]); from sagaflow_mcp import launcher; print(*sys.modules)"
    command = [sys.executable, "-I", "-S", "-B", "-c", load, str(PACKAGE.parent)]
    loaded = subprocess.run(command, capture_output=True, encoding="utf-8", check=True, timeout=60).stdout.split()
    assert {"sagaflow_mcp.launcher", "sagaflow_mcp.relay"} <= set(loaded)
    assert not set(loaded) & {f"sagaflow_mcp.{each}" for each in ("backing", "supply", "messenger", "inbox")}


def test_every_module_has_its_layer() -> None:
    """A new module is put into a layer by whoever adds it."""
    assert set(modules()) == set(RANK)


def test_imports_point_downwards() -> None:
    """No module imports from a layer above its own."""
    upwards = [
        f"{name} imports {target[1:]}"
        for name, path in modules().items()
        for target in imported(path)
        if target.startswith(".") and RANK[target[1:]] > RANK[name] and not _lazily(name, target[1:])
    ]
    assert upwards == []


def _lazily(name: str, target: str) -> bool:
    """Whether it is the one import upwards that there is: the testing face offers the whole Sagaflow by name."""
    return (name, target) == ("testing", "testing.local")


def test_hooks_and_engine_stay_with_the_standard_library() -> None:
    """Nothing that a hook or the engine loads needs a package or a Python newer than 3.9."""
    todo, done, foreign = set(HOOK_REACHABLE), set(), []
    known = modules()
    while todo:
        name = todo.pop()
        done.add(name)
        ast.parse(known[name].read_text(encoding="utf-8"), feature_version=(3, 9))
        for target in imported(known[name]):
            if target.startswith("."):
                todo |= {target[1:]} - done
            elif target.partition(".")[0] not in sys.stdlib_module_names:
                foreign.append(f"{name} imports {target}")
    assert foreign == []
