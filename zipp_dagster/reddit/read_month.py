"""One month's dump as an item that any process can work on: read, then mask what is erased."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from zipp_dagster.progress import Progress
from zipp_dagster.reddit.dumps import dump_file
from zipp_dagster.reddit.erasure import Tombstones
from zipp_dagster.reddit.ingest import IngestReport, dump_to_parquet
from zipp_dagster.reddit.pseudonyms import Pseudonymizer
from zipp_dagster.reddit.traces import mask_mentions


@dataclass(frozen=True)
class DumpToRead:
    """A dump file, the directory of its tables, and what its names and texts go through."""

    path: Path
    out_dir: Path
    pseudonymizer: Pseudonymizer = field(repr=False)
    tombstones: Tombstones = field(repr=False)
    bots: frozenset[str]


def read_dump(item: DumpToRead, progress: Progress) -> IngestReport:
    """Writes a dump's tables; what a lost worker left of them is written anew.

    Raises:
        DumpError: the file is truncated, damaged or empty.
    """
    for left in (*item.out_dir.glob("part-*"), *item.out_dir.glob("rejected.parquet")):
        left.unlink()
    dump = dump_file(item.path)
    report = dump_to_parquet(
        dump, item.out_dir, item.pseudonymizer, item.tombstones, progress, bots=item.bots
    )
    mask_mentions(item.out_dir, dump.kind, item.tombstones, item.pseudonymizer)
    return report
