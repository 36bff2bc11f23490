"""The home's key ring: who this home is, and what its payloads are sealed with."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sagaflow_mcp import paths
from sagaflow_mcp.errors import Failure

if TYPE_CHECKING:
    from sagaflow_mcp.paths import Home

KEY_BYTES = 32
"""The length of a key: AES-256."""


@dataclass(frozen=True)
class KeyRing:
    """The home's identity and the keys that seal its payloads: the first seals, all open."""

    home_id: str
    keys: dict[str, bytes]

    @classmethod
    def of(cls, home: Home) -> KeyRing:
        """The ring in `home`, created on first use.

        Raises:
            Failure: the key file is damaged. It is not replaced, since every open run depends on it.
        """
        path = Path(home.key)
        if not path.exists():
            _create(path)
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            keys = {str(kid): base64.b64decode(key, validate=True) for kid, key in found["keys"].items()}
            if not keys or any(len(key) != KEY_BYTES for key in keys.values()):
                raise ValueError(f"a key has {KEY_BYTES} bytes")  # noqa: TRY301 - damage like any other here
            return cls(home_id=str(found["home_id"]), keys=keys)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise Failure(
                f"the key file {str(path)!r} cannot be read ({error}); restore it from a backup, or move it away to "
                "start afresh, which gives up the runs that are open now"
            ) from error


def _create(path: Path) -> None:
    ring = {"home_id": secrets.token_hex(4), "keys": {"k1": base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}}
    paths.write_first(str(path), json.dumps(ring))  # Somebody else may have made it by now, for good.
