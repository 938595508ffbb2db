"""What was read of a text at some cost, kept for this user's other processes.

A record counts only for the very text and reader that it names: another text, another release of
the reader, or a damaged file means that it is read anew. Not beside the bytecode, which
installations in containers do not write.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

Facts = TypeVar("Facts")


class _Record(msgspec.Struct, frozen=True):
    """A kept file: what the facts were read from and by, and the facts as they were encoded."""

    read_from: str
    facts: msgspec.Raw


_decoder = msgspec.json.Decoder(_Record)


def user_folder() -> Path:
    """Where this user's facts are kept: below XDG_CACHE_HOME, by default `~/.cache`."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "zipp_dagster" / "facts"


def kept(
    folder: Path | None,
    source: Path,
    text: bytes,
    reader: str,
    kind: type[Facts],
    read: Callable[[], Facts],
) -> Facts:
    """The facts that `read` finds in the text of a source; from `folder` where they are kept.

    Args:
        folder: where facts are kept; None reads anew.
        source: the text's file: its next text takes the place of this one's facts.
        text: what is read.
        reader: what the facts depend on besides the text, such as releases.
        kind: a msgspec type.
        read: reads the facts; its errors are raised, and nothing is kept then.
    """
    if folder is None:
        return read()
    read_from = f"{hashlib.sha256(text).hexdigest()} {reader}"
    path = folder / f"{hashlib.sha256(str(source).encode()).hexdigest()[:32]}.json"
    with contextlib.suppress(OSError, msgspec.DecodeError):
        record = _decoder.decode(path.read_bytes())
        if record.read_from == read_from:
            return msgspec.json.decode(record.facts, type=kind)
    facts = read()
    _keep(path, _Record(read_from, msgspec.Raw(msgspec.json.encode(facts))))
    return facts


def own_release(module_file: str) -> str:
    """SHA-256 of a reader's own source text."""
    return hashlib.sha256(Path(module_file).read_bytes()).hexdigest()


def _keep(path: Path, record: _Record) -> None:
    """Written beside and renamed, so that other processes read all of it or nothing."""
    fresh = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    with contextlib.suppress(OSError):  # where nothing may be written, texts are read each time
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            fresh.write_bytes(msgspec.json.encode(record))
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
