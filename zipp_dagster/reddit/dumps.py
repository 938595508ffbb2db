"""Finds dump files and tells what they are by their names. Reading them is in `lines`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["comments", "submissions"]

_MONTHLY = re.compile(r"^(RC|RS)_(\d{4}-(?:0[1-9]|1[0-2]))\.(zst|ndjson)$")
_BY_SUBREDDIT = re.compile(r"^(.+)_(comments|submissions)\.(zst|ndjson)$")


class DumpError(ValueError):
    """A dump folder or file cannot be used; the message names the file, the byte and a remedy."""


@dataclass(frozen=True)
class DumpFile:
    """One dump: its kind, its month (`YYYY-MM`; None for a file of one subreddit) and size."""

    path: Path
    kind: Kind
    month: str | None
    size: int


@dataclass(frozen=True)
class DumpFolder:
    """What a folder holds: monthly dumps in the order of month and kind, and ignored names."""

    dumps: list[DumpFile]
    ignored: list[str]


def dump_file(path: Path) -> DumpFile:
    """Describes a dump by its name: `RC_2015-01.zst`, `RS_2015-01.ndjson`, `pics_comments.zst`."""
    monthly, single = _MONTHLY.match(path.name), _BY_SUBREDDIT.match(path.name)
    if not path.is_file():
        raise DumpError(f"{path} is not a file")
    size = path.stat().st_size
    if monthly:
        kind: Kind = "comments" if monthly[1] == "RC" else "submissions"
        return DumpFile(path, kind, monthly[2], size)
    if single:
        return DumpFile(path, "comments" if single[2] == "comments" else "submissions", None, size)
    raise DumpError(
        f"{path.name} is no dump name: expected RC_YYYY-MM.zst (comments), RS_YYYY-MM.zst "
        "(submissions) or <subreddit>_comments.zst; .ndjson for uncompressed files"
    )


def scan_dumps(folder: Path) -> DumpFolder:
    """Monthly dumps in `folder` or its `comments/` and `submissions/`, and what was ignored.

    Raises:
        DumpError: no folder, no monthly dump in it, or two files for one month and kind.
    """
    if not folder.is_dir():
        raise DumpError(f"dump folder {folder} does not exist; set reddit.dumps_dir to the folder")
    places = [folder, *(folder / name for name in ("comments", "submissions"))]
    files = sorted(p for place in places if place.is_dir() for p in place.iterdir() if p.is_file())
    dumps: dict[tuple[str, Kind], DumpFile] = {}
    ignored = []
    for path in files:
        if not _MONTHLY.match(path.name):
            ignored.append(str(path.relative_to(folder)))
            continue
        dump = dump_file(path)
        assert dump.month is not None
        other = dumps.setdefault((dump.month, dump.kind), dump)
        if other is not dump:
            raise DumpError(
                f"{other.path} and {path} are both {dump.kind} of {dump.month}; keep one"
            )
    if not dumps:
        found = f"; it holds {', '.join(ignored[:5])}" if ignored else "; it is empty"
        raise DumpError(f"no RC_YYYY-MM or RS_YYYY-MM .zst or .ndjson file in {folder}{found}")
    return DumpFolder([dumps[key] for key in sorted(dumps)], ignored)


def find_dumps(folder: Path) -> list[DumpFile]:
    """The monthly dumps of a folder, by month and kind; see `scan_dumps` for the errors."""
    return scan_dumps(folder).dumps
