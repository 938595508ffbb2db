"""What a local model directory holds, as one hash: other weights under the same path are another model.

Files are hashed once and remembered by size and time of change, as weights are large. A hub model is
told apart by its revision, an endpoint's model by its name.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Final

from zipp_dagster.persona.config import LanguageModelSettings

MEMORY: Final = "model-hashes.json"
"""Under the home: hashes of model files that were seen. It may be deleted at any time."""


def model_files(settings: LanguageModelSettings, home: Path | None = None) -> str:
    """A hash of the files of the model's own directory; empty where it has none.

    Without `home` nothing is remembered.
    """
    folder = Path(settings.model)
    if settings.kind != "transformers" or not settings.model or not folder.is_dir():
        return ""
    return folder_hash(folder, home / MEMORY if home else None)


def folder_hash(folder: Path, memory: Path | None = None) -> str:
    """Names and contents of all files below a folder but hidden ones, whatever the folder is called."""
    known = _remembered(memory)
    kept, seen, digest = {}, f"{folder.absolute()}{os.sep}", hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if any(part.startswith(".") for part in name.parts) or not path.is_file():
            continue
        status = path.stat()
        key = f"{path.absolute()} {status.st_size} {status.st_mtime_ns}"
        kept[key] = known.get(key) or _sha256(path)
        digest.update(f"{name.as_posix()} {kept[key]}\n".encode())
    if memory and not kept.items() <= known.items():
        others = {key: value for key, value in known.items() if not key.startswith(seen)}
        _remember(memory, others | kept)
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remembered(memory: Path | None) -> dict[str, str]:
    try:
        known = json.loads(memory.read_text()) if memory else {}
    except (OSError, ValueError):
        return {}  # missing or damaged: the files are hashed anew
    return known if isinstance(known, dict) else {}


def _remember(memory: Path, known: dict[str, str]) -> None:
    """Written beside and renamed: two processes lose at most what the other one hashed."""
    memory.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=memory.parent, suffix=".new")
    with os.fdopen(handle, "w") as file:
        json.dump(known, file, indent=1)
    Path(name).replace(memory)
