"""Models inside a version directory: a copy of a directory's files, or a pinned hub revision.

Layout: `model/` with the files, or `hub.json` with `{"model": …, "revision": …}`; beside either,
`source.json` says where it came from. Imports no torch.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path


class StoredModelError(ValueError):
    """A model's files are not what the platform keeps; the message says which file."""


SOURCE = "source.json"
PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt")


@dataclass(frozen=True)
class StoredModel:
    """What a loader needs: a directory, or a hub id with its revision."""

    model: str | Path
    revision: str | None


def unsafe_files(directory: Path) -> list[Path]:
    """Pickles that loading might reach for: those without safetensors weights beside them."""
    files = [path for path in sorted(directory.rglob("*")) if path.suffix in PICKLES]
    safe = {path.parent for path in directory.rglob("*.safetensors")}
    return [path for path in files if path.parent not in safe]


def refuse_pickles(directory: Path, setting: str) -> None:
    """Raises StoredModelError, naming the file and the setting, for a pickle checkpoint."""
    unsafe = unsafe_files(directory)
    if unsafe:
        raise StoredModelError(
            f"{unsafe[0]} is a pickle, which can run code when it is loaded: convert {setting} to "
            "safetensors"
        )


def store_model(
    source: str | Path, revision: str | None, out_dir: Path, *, setting: str, packaged: bool
) -> int:
    """Copy a model directory, or pin a hub revision; return the bytes kept.

    A pickle that lies beside safetensors weights of the same part is left out.

    Raises:
        StoredModelError: weights that only a pickle holds, or a hub model without a revision.
    """
    origin = {"source": "packaged with zipp_dagster" if packaged else str(source)}
    (out_dir / SOURCE).write_text(json.dumps(origin, indent=1))
    if isinstance(source, str):
        if not revision:
            raise StoredModelError(
                f"{setting}={source!r} is a hub model: set the revision (a commit hash) too, so that "
                "the same settings give the same model"
            )
        pinned = {"model": source, "revision": revision}
        (out_dir / "hub.json").write_text(json.dumps(pinned, indent=1))
        return 0
    refuse_pickles(source, setting)
    files = [
        path for path in sorted(source.rglob("*")) if path.is_file() and path.suffix not in PICKLES
    ]
    for path in files:
        target = out_dir / "model" / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return sum(path.stat().st_size for path in files)


def stored_model(directory: Path) -> StoredModel:
    """What `store_model` kept in a version directory."""
    pinned = directory / "hub.json"
    if pinned.is_file():
        entry = json.loads(pinned.read_text())
        return StoredModel(entry["model"], entry["revision"])
    return StoredModel(directory / "model", None)
