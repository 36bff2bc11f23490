"""The home: where all state of one user lies.

`SAGAFLOW_HOME`, else `~/.sagaflow`. Hooks import this module, so it stays with `os` and strings.
"""

from __future__ import annotations

import os
import re
import stat
import time
from typing import TYPE_CHECKING

from sagaflow_mcp.errors import Failure, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

LAYOUT = 1
"""The version of the home's layout that this code reads and writes."""

NETWORK_FILE_SYSTEMS = frozenset({"9p", "afs", "ceph", "cifs", "fuse.sshfs", "nfs", "nfs4", "smb3", "smbfs"})
"""File systems on which neither `flock` nor rename-after-fsync keeps its promise between machines."""

DRAFT_SECONDS = 3600.0
"""Older than this, a draft is none that somebody is writing just now."""

_DRAFT = re.compile(r"\.([0-9]{1,9})\.[0-9a-f]{8}~\Z")
"""How the name of a draft ends: with the process that writes it, and something random."""

README = """\
This folder belongs to Sagaflow (the Python package sagaflow-mcp). It holds your runs, their results and the inbox.
INBOX.md is for reading. Everything else is written by programs: see `sagaflow --help` before you change it by hand.
"""


class Home:
    """The paths below one home directory; nothing is created or checked by asking for them."""

    __slots__ = ("root",)

    def __init__(self, root: str) -> None:
        self.root = root

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Home:
        """The home that `environ` names: `SAGAFLOW_HOME`, else `~/.sagaflow`. Empty means unset."""
        chosen = environ.get("SAGAFLOW_HOME") or os.path.join(user_folder(environ), ".sagaflow")
        return cls(os.path.abspath(os.path.expanduser(chosen)))

    def __repr__(self) -> str:
        return f"Home({self.root!r})"

    @property
    def inbox(self) -> str:
        """The maildir of inbox entries: `tmp`, `new` and `cur`."""
        return os.path.join(self.root, "inbox")

    @property
    def inbox_page(self) -> str:
        """`INBOX.md`, the inbox rendered for people."""
        return os.path.join(self.root, "INBOX.md")

    @property
    def open_runs(self) -> str:
        """One marker file per run whose ending has not been delivered."""
        return os.path.join(self.root, "open")

    @property
    def runs(self) -> str:
        """One folder per run."""
        return os.path.join(self.root, "runs")

    def run(self, run_id: str) -> str:
        """The folder of the run `run_id`."""
        return os.path.join(self.runs, run_id)

    @property
    def skills(self) -> str:
        """The pinned copies of launched skills: `<name>/<digest>/`."""
        return os.path.join(self.root, "skills")

    @property
    def blobs(self) -> str:
        """Sealed payloads too large for a workflow history."""
        return os.path.join(self.root, "blobs")

    @property
    def seen(self) -> str:
        """Which session was shown which entry: `<session>/<entry_id>`."""
        return os.path.join(self.root, "seen")

    @property
    def sessions(self) -> str:
        """Which session each Claude Code process is in: `<pid>-<start>`."""
        return os.path.join(self.root, "sessions")

    @property
    def schedules(self) -> str:
        """One folder per schedule; it is made with the first one."""
        return os.path.join(self.root, "schedules")

    def schedule(self, name: str) -> str:
        """The folder of the schedule `name`."""
        return os.path.join(self.schedules, name)

    @property
    def engine(self) -> str:
        """State files, locks, sockets and logs of the engine, and the embedded server's database."""
        return os.path.join(self.root, "engine")

    @property
    def config(self) -> str:
        """The user's `config.toml`."""
        return os.path.join(self.root, "config.toml")

    @property
    def trust(self) -> str:
        """Which skills of projects the user trusts."""
        return os.path.join(self.root, "trust.json")

    @property
    def key(self) -> str:
        """The key ring that payloads are sealed with."""
        return os.path.join(self.root, "key")

    def prepare(self) -> Home:
        """This home, created if need be and found fit for use.

        Raises:
            Refusal: it belongs to or is writable by somebody else, lies on a network file system, or was written by a
                newer version.
            Failure: it cannot be created or read.
        """
        trouble = _path_trouble(self.root)
        if trouble:
            raise Refusal(f"the Sagaflow home {self.root!r} {trouble}; set SAGAFLOW_HOME to another folder")
        try:
            os.makedirs(self.root, mode=0o700, exist_ok=True)
            self._refuse_unsafe()
            parts = (
                self.inbox,
                self.open_runs,
                self.runs,
                self.skills,
                self.blobs,
                self.seen,
                self.sessions,
                self.engine,
            )
            for folder in parts:
                os.makedirs(folder, mode=0o700, exist_ok=True)
            for part in ("tmp", "new", "cur"):
                os.makedirs(os.path.join(self.inbox, part), mode=0o700, exist_ok=True)
            self._check_layout()
        except OSError as error:
            reason = error.strerror or str(error)
            raise Failure(
                f"the Sagaflow home {self.root!r} cannot be used ({reason}): it must be a folder that you can write "
                "to; put that right, or set SAGAFLOW_HOME to another folder"
            ) from error
        return self

    def _refuse_unsafe(self) -> None:
        found = os.stat(self.root)
        if found.st_uid != os.geteuid():
            raise Refusal(
                f"the Sagaflow home {self.root!r} belongs to another user (uid {found.st_uid}); "
                "set SAGAFLOW_HOME to a folder of your own"
            )
        if stat.S_IMODE(found.st_mode) & 0o022:
            raise Refusal(
                f"the Sagaflow home {self.root!r} can be written by other users; it must be yours alone: "
                f"chmod 700 {self.root}"
            )
        kind = file_system(self.root)
        if kind in NETWORK_FILE_SYSTEMS:
            raise Refusal(
                f"the Sagaflow home {self.root!r} lies on a network file system ({kind}), where locks do not hold; "
                "set SAGAFLOW_HOME to a folder on a local disk"
            )

    def _check_layout(self) -> None:
        path = os.path.join(self.root, "layout")
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read().strip()
        except FileNotFoundError:
            write_atomically(os.path.join(self.root, "README"), README)
            write_atomically(path, f"{LAYOUT}\n")
            return
        if not text.isdigit() or int(text) > LAYOUT:
            raise Refusal(
                f"the Sagaflow home {self.root!r} was written by a newer version (layout {text[:20]!r}, "
                f"this version knows {LAYOUT}); upgrade with: pip install --upgrade sagaflow-mcp"
            )


def _path_trouble(path: str) -> str:
    """Why Temporal's database cannot lie in `path`, as the middle of a sentence; empty when it can."""
    if "?" in path:
        return "has a '?' in its path, which the database in it cannot have"
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return "has a path that is not UTF-8, which the database in it cannot have"
    return ""


def user_folder(environ: Mapping[str, str]) -> str:
    """The folder of the user of `environ`, with all that is theirs: `HOME`, else what the system says."""
    return environ.get("HOME") or os.path.expanduser("~")


def file_system(path: str, mounts: str = "/proc/self/mounts") -> str:
    """The type of the file system that holds `path`, such as `ext4`; empty where the system does not say (macOS)."""
    try:
        with open(mounts, encoding="utf-8", errors="replace") as file:
            rows = [line.split(" ") for line in file]
    except OSError:
        return ""
    real = os.path.realpath(path)
    best, kind = "", ""
    for row in rows:
        point = row[1].replace("\\040", " ")
        if (real + "/").startswith(point.rstrip("/") + "/") and len(point) >= len(best):
            best, kind = point, row[2]
    return kind


def free_bytes(folder: str) -> int:
    """The room that is left to the user on the disk of `folder`."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def write_atomically(
    path: str, content: str | bytes, like: os.stat_result | None = None, *, durable: bool = True
) -> None:
    """Replace `path` by `content`: a reader sees the old or the new one whole. OSError if it cannot be written.

    The file is the user's alone, or has the permissions and, as far as that can be, the owner that `like` tells. What
    is not `durable` may be lost with the power.
    """
    # With a tilde, what a crash leaves behind is neither a run id nor an entry id.
    temporary = f"{path}.{os.getpid()}.{os.urandom(4).hex()}~"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
            file.flush()
            if like is not None:
                _make_alike(file.fileno(), like)
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        # Not contextlib.suppress: a hook that imports this module would pay for contextlib.
        try:  # noqa: SIM105 - as above
            os.unlink(temporary)
        except OSError:
            pass
        raise


def write_first(path: str, content: str | bytes) -> bool:
    """Whether `path` is there now by this call, whole and durable; false where it was there. OSError as above."""
    # Linked, not replaced: of two who write it at once, one must win. The name is a draft's, as above.
    draft = f"{path}.{os.getpid()}.{os.urandom(4).hex()}~"
    write_atomically(draft, content)
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        os.unlink(draft)
    return True


def _make_alike(descriptor: int, like: os.stat_result) -> None:
    try:  # noqa: SIM105 - as above
        os.fchown(descriptor, like.st_uid, like.st_gid)
    except PermissionError:
        pass
    os.fchmod(descriptor, stat.S_IMODE(like.st_mode))


def clear_drafts(home: Home) -> None:
    """Remove what a `write_atomically` has left whose process was killed. Never raises: another time tries again."""
    for folder in (home.root, home.engine, home.open_runs, home.sessions):
        for path, pid in _drafts([next(os.walk(folder), (folder, [], []))]):
            if not lives(pid):
                _remove(path)
    # Another machine may share these folders, and its processes are none of this one's: only age tells.
    for path, _ in _drafts(os.walk(home.runs)):
        if _age(path) > DRAFT_SECONDS:
            _remove(path)


def _drafts(folders: Iterable[tuple[str, list[str], list[str]]]) -> Iterator[tuple[str, int]]:
    """The drafts in `folders`, as `os.walk` gives them, each with the process that began it."""
    for folder, _, names in folders:
        for name in names:
            # By the whole form of the name: a skill's own file may well end with a tilde.
            found = _DRAFT.search(name)
            if found:
                yield os.path.join(folder, name), int(found[1])


def _age(path: str) -> float:
    """How many seconds ago `path` was written; none where that cannot be told."""
    try:
        return time.time() - os.stat(path).st_mtime
    except OSError:
        return 0.0


def lives(pid: int) -> bool:
    """Whether there is a process `pid`, of whichever user."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _remove(path: str) -> None:
    try:  # noqa: SIM105 - as in write_atomically
        os.unlink(path)
    except OSError:
        pass
