"""Reddit dumps in, clean typed tables out: reading, record schemas, pseudonyms, erasure, media.

Nothing here knows Dagster, the lake or settings files: paths and keys come in, Parquet files and
reports go out. Aggregation of the tables is SQL and lives in `dbt_like_sql/`.

As a library: `iter_records(path)` streams typed records, `dump_to_parquet(…)` writes a dump as
Parquet; `docs/ingest.md` has an example.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zipp_dagster.reddit.dumps import DumpError, dump_file, find_dumps
    from zipp_dagster.reddit.ingest import IngestReport, dump_to_parquet, iter_records
    from zipp_dagster.reddit.pseudonyms import Pseudonymizer, load_or_create_key

_HOME = {
    **dict.fromkeys(("DumpError", "dump_file", "find_dumps"), "dumps"),
    **dict.fromkeys(("IngestReport", "dump_to_parquet", "iter_records"), "ingest"),
    **dict.fromkeys(("Pseudonymizer", "load_or_create_key"), "pseudonyms"),
}

__all__ = [
    "DumpError",
    "IngestReport",
    "Pseudonymizer",
    "dump_file",
    "dump_to_parquet",
    "find_dumps",
    "iter_records",
    "load_or_create_key",
]


def __getattr__(name: str) -> object:
    # At first use: the reader's compiled parts take a second to import, and settings need none.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
