"""The fields of what each command prints with `--json`."""

from __future__ import annotations

RUN = {
    ".run_id": "the run",
    ".skill": "the skill that was launched; task for a task without one",
    ".state": "RUNNING, PAUSED, DONE, FAILED, CANCELLED, TIMED_OUT or TERMINATED; ? where its files are damaged",
    ".created_at": "when it was launched",
    ".closed_at": "when it ended; empty while it runs",
    ".project_dir": "the folder that it was launched from",
    ".summary": "how it ended, in a sentence; empty while it runs",
    ".run_dir": "the run's folder",
    ".report_path": "its report; empty while there is none",
    ".result": "what the skill returned: any JSON; null while it runs",
    ".questions[].id": "a question that it asks a person now",
    ".questions[].question": "its text",
    ".questions[].options[]": "the answers that are taken; none where any is",
    ".questions[].workflow_id": "the Temporal workflow that asks: the run's, or that of a child of it",
    ".questions[].asked_at": "since when",
    ".questions[].asks_permission": "whether it asks if an agent may make a call, which only a person decides",
    ".questions[].details": "all that such a call is given",
}

WORKER = {
    ".pid": "its process; null while it is down",
    ".started_at": "when that began",
    ".restarts": "how often the engine has started it again",
    ".ready": "whether it takes work",
    ".last_probe": "when it last reached Temporal; null before that",
    ".open_runs": "how many runs were open then; null before that",
}

HOOK = {
    ".settings": "Claude Code's settings file, which need not exist",
    ".plugin": "the name under which the plugin is enabled; empty when it is not",
    ".scripts[]": "what the file runs for Sagaflow",
    ".missing[]": "what of that is gone",
    ".partial": "whether the file has a part of the hooks only",
    ".current": "whether it has those of this installation, and no others of Sagaflow's",
    ".hooks_off": "whether the file keeps Claude Code from running any hook",
    ".tells": "whether sessions are told what has ended",
    ".changed": "whether this command changed the file",
}

SCHEDULE = {
    ".name": "what it is called",
    ".skill": "what it launches",
    ".arguments[].name": "an argument that the skill is given",
    ".arguments[].value": "its value: any JSON",
    ".cron": "when",
    ".timezone": "in which time zone",
    ".catch_up": "how late that may still be",
    ".overlap": "skip, buffer, allow or cancel: what happens while its last run is open",
    ".state": "active or paused",
    ".project_dir": "the folder that it was made in",
    ".created_at": "when it was made",
    ".open_runs[]": "its runs that have not ended",
}

SCHEDULE_NEXT = {**SCHEDULE, ".next[]": "when it is due next; nothing while it is paused"}

SERVICE = {
    ".manager": "systemd or launchd, whichever there is; empty where there is neither",
    ".name": "what the service is called",
    ".file": "its file, which need not exist",
    ".installed": "whether that is there",
    ".python": "the interpreter that it runs; empty without one",
    ".python_gone": "whether that is no longer there; sagaflow service install renews it",
    ".current": "whether it runs the installation that is asked",
    ".active": "whether the system says that it runs",
    ".said[]": "what was done or found, in sentences",
}

PREFERENCE = {
    ".name": "the setting, as table.name in config.toml",
    ".value": "what counts; null where nobody has chosen one and there is no default",
    ".source": "environment, project (which is not allowed), config or default",
    ".variable": "the variable that goes before config.toml; empty where none does",
    ".default": "what counts where nobody has chosen anything",
}

CHANGE = {
    ".name": "the setting",
    ".file": "the config.toml that was changed",
    ".restart_engine": "whether the engine that runs keeps what it began with",
}


def _under(where: str, fields: dict[str, str]) -> dict[str, str]:
    return {where + name: meaning for name, meaning in fields.items()}


FIELDS: dict[str, dict[str, str]] = {
    "launch": {name: RUN[name] for name in (".run_id", ".state", ".summary", ".result", ".run_dir", ".report_path")},
    "inbox": _under(
        "[]",
        {
            ".entry_id": "the entry",
            ".run_id": "the run that it tells of",
            ".skill": "the skill that was launched",
            ".status": "DONE, FAILED, CANCELLED, TIMED_OUT, TERMINATED, NEEDS_INPUT, PAUSED or NOTE",
            ".summary": "what there is to know, in a line; it may come from a model",
            ".created_at": "when it came",
            ".report_path": "the run's report; empty when there is none",
            ".project_dir": "the folder that the run was launched from; empty if unknown",
            ".schema": "the version of the entry: 1",
            ".dismissed": "whether it was marked as read",
        },
    ),
    "dismiss": {
        ".dismissed[]": "the runs of which an entry was unread and now is not",
        ".not_found[]": "those that were named and had none; then the exit code is 1",
    },
    "runs": _under("[]", RUN),
    "show": {
        **RUN,
        ".progress.steps_finished": "how many steps are done",
        ".progress.current[]": "the steps that are under way",
        ".progress.current_since": "when the oldest of them began; empty when there is none",
        ".progress.running[].label": "a step that is under way",
        ".progress.running[].since": "when its present attempt began",
        ".progress.running[].attempt": "which attempt that is, from 1",
        ".progress.input_tokens": "what its model calls have read",
        ".progress.output_tokens": "what they have written",
        ".progress.cost_usd": "what those cost, in US dollars, that the claude command was asked for; else 0",
        ".progress.phase": "what the run says that it is at; empty where it says nothing",
        ".progress.phase_since": "since when; empty where it says nothing",
        ".progress.done": "how much of it is done, as the run says",
        ".progress.total": "of how much; 0 where the run does not say",
        ".progress.note": "what else it says",
        ".progress.failed_in_a_row": "which attempt at its step that was; 0 where none has failed",
        ".progress.last_error": "why the latest attempt failed, while it is tried again; empty otherwise",
        ".steps[].label": "the steps of one name: that name",
        ".steps[].steps": "how many there are",
        ".steps[].done": "how many of them have a result",
        ".steps[].running": "how many are under way",
        ".steps[].retries": "how many attempts at them have failed",
        ".steps[].losses": "how many attempts were lost with their worker",
        ".steps[].seconds": "how long all attempts took, added up",
        ".steps[].input_tokens": "what their model calls have read",
        ".steps[].output_tokens": "what they have written",
        ".steps[].cost_usd": "what those cost, as above",
        ".artifacts[].name": "a file that the run has written: its path in the run's folder",
        ".artifacts[].bytes": "its size",
        ".log_path": "the run's own log; empty while there is none",
        ".html": "the page that --html has written; empty without",
    },
    "answer": {".run_id": "the run", ".question": "the question that was answered"},
    "tell": {".run_id": "the run"},
    "pause": {".run_id": "the run", ".state": "PAUSED"},
    "resume": {".run_id": "the run", ".state": "RUNNING"},
    "cancel": {".run_id": "the run", ".state": "how it has ended; RUNNING or PAUSED while it is still cleaning up"},
    "retry": {
        ".run_id": "the run that goes on: with --with-current, the new one",
        ".parent": "the run that the new one goes on from; empty without --with-current",
    },
    "skills list": _under(
        "[]",
        {
            ".name": "what it is launched as",
            ".path": "its folder",
            ".root_kind": "where that was found: path, project, user or bundled",
            ".form": "workflow, or agent for one that is a SKILL.md alone",
            ".description": "what it is for, in its author's words",
            ".shadows[]": "folders of the same name that it goes before",
            ".problem": "what is wrong with it; null when nothing is known to be",
            ".digest": "its version, a digest of its files; empty where they cannot be read",
            ".trusted": "false for one of a project that was changed after you trusted it",
            ".launchable": "whether it can be launched, as far as that is known",
        },
    ),
    "skills new": {
        ".name": "what it is launched as",
        ".path": "its folder",
        ".form": "2 for one function, 3 for a Temporal workflow",
        ".shadows[]": "folders of the same name that it goes before",
        ".shadowed_by": "the folder of the same name that goes before it; null where none does",
        ".next[]": "the commands that test and launch it",
    },
    "skills check": _under(
        "[]",
        {
            ".name": "what was checked",
            ".path": "its folder",
            ".findings[].file": "the file that is to be changed",
            ".findings[].line": "the line in it, from 1; null where the whole file is meant",
            ".findings[].level": "error or warning; after an error the exit code is 1",
            ".findings[].sentence": "what is wrong, and the way out",
        },
    ),
    "skills test": _under(
        "[]",
        {
            ".skill": "the skill's name",
            ".case": "the test case's name",
            ".passed": "whether all is as it should be; when not, the exit code is 1",
            ".state": "how its run ended; empty when the launch was refused",
            ".result": "what that returned, as JSON, shortened",
            ".kills": "with --crash, how often the worker was killed, each time in another run",
            ".differences[].what": "what is not as it should be: state, result, a file, a step, steps or model calls",
            ".differences[].expected": "what should have come, shortened",
            ".differences[].came": "what came instead, shortened",
            ".differences[].killed": "where the worker was killed; empty when it was not",
        },
    ),
    "doctor": _under(
        "[]",
        {
            ".name": "what was checked",
            ".level": "ok, info, warn or fail; after a fail the exit code is 1",
            ".finding": "what was found",
            ".cure": "what to do about it; empty when there is nothing to do",
        },
    ),
    "config": _under("[]", PREFERENCE),
    "config get": PREFERENCE,
    "config set": CHANGE,
    "config unset": CHANGE,
    "engine status": {
        ".pid": "the engine's process; in place of it all null, and exit code 1, when no engine runs",
        ".keeper": "the process that starts it again; null when that is gone",
        ".version": "its version",
        ".started_at": "when it began",
        ".credentials": "whether it holds access to a model",
        ".state": "starting, running, waiting (for the user's own Temporal), failed or stopping",
        ".reason": "why it is not running; empty when it is",
        ".temporal": "embedded, or which server of the user's own config.toml names",
        ".server.pid": "the embedded server's process; null while it is down, and with one of the user's own",
        ".server.started_at": "when that began",
        ".server.restarts": "how often the engine has started it again",
        ".server.address": "where Temporal answers; null before that is known",
        ".server.namespace": "the namespace there; null before the worker is connected",
        **_under(".worker", WORKER),
    },
    "engine stop": {
        ".stopped": "whether there was an engine to stop",
        ".open_runs[]": "the runs that go on when it starts again",
    },
    "engine logs": _under(
        "[]", {".name": "engine, server or worker", ".path": "its log", ".lines[]": "the last lines, made harmless"}
    ),
    "worker status": {**WORKER, ".pid": "its process; in place of it all null, and exit code 1, when no worker runs"},
    "gc": {
        ".dry_run": "whether it is only what would be removed",
        ".runs[]": "ended runs whose entries were read",
        ".entries": "how many dismissed entries of the inbox",
        ".versions": "how many versions of skills that no run needs",
        ".blobs": "how many large payloads",
        ".sessions": "how many sessions of which it is forgotten what they were shown",
        ".logs": "how many logs that were put aside",
        ".bytes": "how much room all of that took",
        ".left": "how many more runs are old enough, and go another time",
    },
    "schedule add": SCHEDULE_NEXT,
    "schedule list": _under("[]", SCHEDULE),
    "schedule show": SCHEDULE_NEXT,
    "schedule pause": SCHEDULE_NEXT,
    "schedule resume": SCHEDULE_NEXT,
    "schedule run-now": {".run_id": "the run"},
    "schedule remove": {".name": "what is a schedule no more"},
    "service install": SERVICE,
    "service uninstall": SERVICE,
    "service status": SERVICE,
    "hook install": HOOK,
    "hook uninstall": HOOK,
    "hook status": HOOK,
}
"""By command, each field as `jq` writes its place, with what it means."""

HEAD = """\
With --json a command prints one JSON value on standard output, and nothing
else there. A refusal or failure is the same sentence on standard error, and
the same exit code, as without; standard output is empty then, or has the whole
value. Times are UTC, ISO 8601. Later versions may add fields; those below stay
and mean the same. Each is told with its place in the value, as jq writes it.

`launch` prints the run as it is once it was accepted, with --await as it ended.
Without --json are demo, watch, skills trust, worker run, completion, help and
--version."""


def page() -> str:
    """All fields of all commands, for people."""
    parts = [HEAD]
    for command, fields in FIELDS.items():
        column = max(map(len, fields)) + 2
        parts.append("\n".join([f"sagaflow {command} --json", *(f"  {f:<{column}}{fields[f]}" for f in fields)]))
    return "\n\n".join(parts)
