"""Sealed payloads: what Temporal stores of a run, only this home can read or write.

The embedded server has no authentication and other users of the machine can reach its port, so a payload counts only
when it opens with the home's key and was sealed for the same workflow id.
"""

from __future__ import annotations

import base64
import copy
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    DefaultPayloadConverter,
    ExternalStorage,
    PayloadCodec,
    StorageDriver,
    StorageDriverClaim,
    WithSerializationContext,
)

from sagaflow_mcp import ids, paths

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from temporalio.converter import (
        PayloadConverter,
        SerializationContext,
        StorageDriverRetrieveContext,
        StorageDriverStoreContext,
    )

    from sagaflow_mcp.keys import KeyRing
    from sagaflow_mcp.paths import Home

SEALED = b"binary/sagaflow-sealed"
"""The `encoding` of a sealed payload."""

REFUSED = b"sagaflow/refused"
"""The `encoding` of what a payload becomes that did not open: no converter knows it, so no skill code ever gets it."""

HEADER = b"json/sagaflow-header"
"""The `encoding` of a header. The SDK seals headers before it knows the workflow, so a header names its workflow itself
and no converter takes one for an argument."""

BLOB_THRESHOLD = 64 * 1024
"""Payloads of more bytes than this are kept in the home's `blobs` and only referred to from a history."""

_NONCE = 12
"""Bytes; the size that AES-GCM is specified for (NIST SP 800-38D)."""

RefusalReport: TypeAlias = "Callable[[str, str], None]"
"""Told the workflow id (empty when unknown) and the reason whenever a payload is refused."""


class SealingCodec(PayloadCodec, WithSerializationContext):
    """AES-GCM with the workflow id as associated data. Decoding never raises.

    Not a raising codec: one junk signal would then fail, or wedge, a good run.
    """

    def __init__(self, keys: dict[str, bytes], report: RefusalReport | None = None, workflow_id: str = "") -> None:
        self._keys = {kid: AESGCM(key) for kid, key in keys.items()}
        self._report = report
        self._workflow_id = workflow_id

    def with_context(self, context: SerializationContext) -> SealingCodec:
        """This codec, bound to the workflow that `context` names."""
        return self.bound_to(getattr(context, "workflow_id", None) or "")

    def bound_to(self, workflow_id: str) -> SealingCodec:
        """This codec, bound to the workflow `workflow_id`."""
        # A copy: the SDK asks for one per payload, and to set up the ciphers takes longer than to use them.
        bound = copy.copy(self)
        bound._workflow_id = workflow_id  # noqa: SLF001 - of its own class
        return bound

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """The payloads, sealed with the first key of the ring."""
        return [self._seal(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """The payloads, opened; one that does not open becomes a refused marker. Never raises."""
        return [self._open(payload) for payload in payloads]

    def _seal(self, payload: Payload) -> Payload:
        kid, key = next(iter(self._keys.items()))
        nonce = os.urandom(_NONCE)
        bound = self._workflow_id.encode()
        sealed = nonce + key.encrypt(nonce, payload.SerializeToString(), bound)
        return Payload(metadata={"encoding": SEALED, "key": kid.encode(), "workflow": bound}, data=sealed)

    def _open(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != SEALED:
            return self._refuse("it was not sealed by this home")
        key = self._keys.get(payload.metadata.get("key", b"").decode(errors="replace"))
        bound = payload.metadata.get("workflow", b"")
        if key is None:
            return self._refuse("it was sealed with a key that this home does not have")
        try:
            opened = Payload.FromString(key.decrypt(payload.data[:_NONCE], payload.data[_NONCE:], bound))
        except (InvalidTag, ValueError, DecodeError):
            return self._refuse("it does not open with this home's key")
        unbound_header = not bound and opened.metadata.get("encoding") == HEADER
        if self._workflow_id and bound != self._workflow_id.encode() and not unbound_header:
            # What the last workflow of a schedule came to, the server hands to the next one: ours, and not used.
            is_last_result = ids.are_of_one_schedule(bound.decode(errors="replace"), self._workflow_id)
            return self._refuse("it was sealed for another run", is_told=not is_last_result)
        return opened

    def _refuse(self, reason: str, *, is_told: bool = True) -> Payload:
        if self._report and is_told:
            self._report(self._workflow_id, reason)
        return Payload(metadata={"encoding": REFUSED}, data=reason.encode())


class BlobDriver(StorageDriver):
    """Large payloads as files in the home. They arrive sealed: the codec runs before the storage."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def name(self) -> str:
        """The name that histories refer to this driver by."""
        return "sagaflow-blobs"

    async def store(self, context: StorageDriverStoreContext, payloads: Sequence[Payload]) -> list[StorageDriverClaim]:
        """Claims for `payloads`, each in a file of its own that is on disk when this returns."""
        owner = getattr(context.target, "id", None) or "shared"
        return [StorageDriverClaim(claim_data={"blob": self._keep(str(owner), payload)}) for payload in payloads]

    async def retrieve(
        self,
        context: StorageDriverRetrieveContext,  # noqa: ARG002 - part of the driver interface
        claims: Sequence[StorageDriverClaim],
    ) -> list[Payload]:
        """The payloads that `claims` stand for; a refused marker for each that is not there. Never raises."""
        return [self._fetch(claim) for claim in claims]

    def _keep(self, owner: str, payload: Payload) -> str:
        name = f"{base64.urlsafe_b64encode(owner.encode()).decode().rstrip('=')[:100]}-{secrets.token_hex(12)}"
        paths.write_atomically(str(self._folder / name), payload.SerializeToString())
        return name

    def _fetch(self, claim: StorageDriverClaim) -> Payload:
        name = claim.claim_data.get("blob", "")
        if not name or "/" in name:
            return Payload(metadata={"encoding": REFUSED}, data=b"not the name of a blob")
        try:
            return Payload.FromString((self._folder / name).read_bytes())
        except (OSError, DecodeError) as error:
            return Payload(metadata={"encoding": REFUSED}, data=str(error).encode())


@dataclass(frozen=True)
class _Converter(DataConverter):
    """Temporal's converter, of which only the codec differs from run to run.

    The SDK asks for one per payload, and makes every part of it anew: an eighth of a step's time (measured).
    """

    def with_context(self, context: SerializationContext) -> Self:
        bound = copy.copy(self)
        assert isinstance(self.payload_codec, SealingCodec)
        object.__setattr__(bound, "payload_codec", self.payload_codec.with_context(context))
        return bound


def data_converter(
    home: Home,
    ring: KeyRing,
    payload_converter: type[PayloadConverter] = DefaultPayloadConverter,
    report: RefusalReport | None = None,
) -> DataConverter:
    """The converter that every client and worker of `home` uses."""
    return _Converter(
        payload_converter_class=payload_converter,
        payload_codec=SealingCodec(ring.keys, report),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
        external_storage=ExternalStorage(drivers=[BlobDriver(Path(home.blobs))], payload_size_threshold=BLOB_THRESHOLD),
    )
