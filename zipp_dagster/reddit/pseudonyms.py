"""User names become keyed 64-bit pseudonyms here, at the first step; names go no further.

The key decides everything: who has it can test whether a known name is behind a pseudonym, who
has it not cannot. It is therefore kept outside the lake, and never in a manifest or a log.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

KEY_BYTES = 32
_USER, _ITEM = b"zipp-user", b"zipp-item"

Bytes = NDArray[np.uint8]
Places = NDArray[np.int32]


class PseudonymKeyError(ValueError):
    """The key is missing, too short, damaged, or readable by others."""


class Pseudonymizer:
    """Maps names and item ids to 64-bit tokens by keyed BLAKE2b; equal key, equal tokens."""

    def __init__(self, key: bytes) -> None:
        if not 16 <= len(key) <= 64:
            raise PseudonymKeyError(
                f"the pseudonym key has {len(key)} bytes; it needs 16 to 64. "
                "Set reddit.pseudonym_key, or let a key file be generated."
            )
        self._key = key
        self._user = blake2b(key=key, digest_size=8, person=_USER)
        self._item = blake2b(key=key, digest_size=8, person=_ITEM)
        self._states: dict[bytes, NDArray[np.uint64]] = {}
        self.fingerprint = blake2b(key=key, digest_size=8, person=b"zipp-check").hexdigest()
        """Identifies the key without revealing it: safe in metadata and data versions."""

    def __reduce__(self) -> tuple[type[Pseudonymizer], tuple[bytes]]:
        """By its key: hashing states cannot be sent to another process."""
        return Pseudonymizer, (self._key,)

    def user(self, name: str) -> int:
        """The pseudonym (unsigned 64 bits) of a user name; names ignore case, as on Reddit."""
        return _digest(self._user, name.lower())

    def users_in(
        self, data: Bytes, starts: Places, lengths: Places, wanted: NDArray[np.bool_]
    ) -> NDArray[np.uint64]:
        """The pseudonyms of ASCII names that lie in `data`; zero where not `wanted`."""
        return self._many(_USER, b"", data, starts, lengths, wanted)

    def items_in(
        self, kind: bytes, data: Bytes, starts: Places, lengths: Places, wanted: NDArray[np.bool_]
    ) -> NDArray[np.uint64]:
        """The tokens of ASCII ids that lie in `data` without their kind (`t1_` or `t3_`)."""
        return self._many(_ITEM, kind, data, starts, lengths, wanted)

    def _many(
        self,
        person: bytes,
        prefix: bytes,
        data: Bytes,
        starts: Places,
        lengths: Places,
        wanted: NDArray[np.bool_],
    ) -> NDArray[np.uint64]:
        from zipp_dagster.reddit.blake2 import keyed_state, tokens

        if person not in self._states:
            self._states[person] = keyed_state(self._key, person)
        before = np.frombuffer(prefix, dtype=np.uint8)
        return tokens(self._states[person], before, data, starts, lengths, wanted)

    def item(self, full_name: str) -> int:
        """The token of a full item name such as `t1_abc` (comment) or `t3_abc` (submission)."""
        return _digest(self._item, full_name.lower())


def _digest(keyed: blake2b, text: str) -> int:
    state = keyed.copy()
    state.update(text.encode("utf-8", "surrogatepass"))
    return int.from_bytes(state.digest(), "little")


def key_from_text(secret: str) -> bytes:
    """The key bytes of a secret that a person set; 16 characters at least."""
    if len(secret) < 16:
        raise PseudonymKeyError(
            f"reddit.pseudonym_key has {len(secret)} characters; it needs at least 16."
        )
    return blake2b(secret.encode(), digest_size=KEY_BYTES, person=b"zipp-secret").digest()


def load_or_create_key(path: Path) -> bytes:
    """The key in `path` (hex, mode 0600); generated on first use, by one process only.

    Raises:
        PseudonymKeyError: the file is damaged, or readable by group or others.
    """
    with contextlib.suppress(FileExistsError):
        _create_key(path)
    if path.stat().st_mode & 0o077:
        raise PseudonymKeyError(f"{path} can be read by others; run: chmod 600 {path}")
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise PseudonymKeyError(
            f"{path} does not hold a key of {KEY_BYTES} bytes in hex. Restore it from a backup: "
            "with another key all pseudonyms change, and everything must be ingested again."
        )
    return key


def _create_key(path: Path) -> None:
    if path.exists():
        raise FileExistsError(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        # A link, unlike a rename, fails when another process was first: one key wins.
        os.link(draft, path)
    finally:
        draft.unlink()
