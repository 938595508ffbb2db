"""Receipts of erasures: what was removed where, without a name or an id.

An open receipt is also the memory of an erasure that was killed: which versions held the data, and
what was current before.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from zipp_dagster.platform.catalogue import Platform
from zipp_dagster.reddit.erasure import ErasureError

FOLDER = "erasures"


@dataclass
class Receipt:
    """One erasure. `seeds` are the raw versions that held the data; all made from them held it too.

    `marks` are the tombstones that it carries out: what is recorded meanwhile waits for the next. `before`
    maps a table's name to its version and rows before the rebuild. All three are emptied at the end.
    """

    receipt: str
    opened_at: str
    state: Literal["open", "complete"] = "open"
    completed_at: str | None = None
    erased: dict[str, int] = field(default_factory=dict)
    removed: list[dict[str, Any]] = field(default_factory=list)
    erased_versions: list[dict[str, Any]] = field(default_factory=list)
    models: list[dict[str, Any]] = field(default_factory=list)
    also_cleaned: dict[str, int] = field(default_factory=dict)
    source_files: list[str] = field(default_factory=list)
    note: str = ""
    seeds: list[str] = field(default_factory=list)
    marks: list[list[Any]] = field(default_factory=list)
    before: dict[str, dict[str, Any]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """JSON types."""
        return asdict(self)


def folder_of(platform: Platform) -> Path:
    """Where receipts are kept."""
    return platform.reports / FOLDER


def open_receipt(platform: Platform) -> Receipt | None:
    """The receipt of an erasure that was begun and not completed."""
    for path in sorted(folder_of(platform).glob("*.json")):
        receipt = read(path)
        if receipt.state == "open":
            return receipt
    return None


def new_receipt() -> Receipt:
    """An open receipt with a name of its own."""
    now = datetime.now(UTC)
    name = f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    return Receipt(name, now.isoformat(timespec="seconds"))


def read(path: Path) -> Receipt:
    """A kept receipt; ErasureError where the file is no receipt."""
    try:
        return Receipt(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ErasureError(
            f"{path} is no receipt ({type(error).__name__}): restore it, or remove it if the erasure "
            "that it belongs to was completed"
        ) from error


def write(platform: Platform, receipt: Receipt) -> Path:
    """Keeps a receipt, whole or not at all."""
    path = folder_of(platform) / f"{receipt.receipt}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("w", encoding="utf-8") as file:
        json.dump(receipt.to_json(), file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    return path
