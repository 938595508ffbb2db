"""Evidence of one person, read from the persona_evidence table. Choosing it is `evidence.py`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


class Snippet(NamedTuple):
    """One comment or text post: its id, the community it was written in, its text."""

    id: str
    community: str
    text: str


@dataclass(frozen=True, slots=True)
class EvidenceBundle:
    """All evidence of one person: communities with their share of the budget, best first."""

    user_id: int
    communities: tuple[tuple[str, float], ...]
    snippets: tuple[Snippet, ...]
    tokens: int

    def ids(self) -> frozenset[str]:
        """What a claim may cite: snippet ids, and `r/NAME` for a community."""
        return frozenset(
            [s.id for s in self.snippets] + [community_id(name) for name, _ in self.communities]
        )


def community_id(name: str) -> str:
    """How a claim cites a community itself."""
    return f"r/{name}"


def iter_bundles(files: Sequence[Path]) -> Iterator[EvidenceBundle]:
    """Bundles in the order of the table, which must be ordered by user.

    Raises ValueError when a user's rows are not together.
    """
    for people in iter_people(files, 256):
        yield from bundles_of(people)


def iter_people(
    files: Sequence[Path], users: int, batch_rows: int = 65_536
) -> Iterator[pa.RecordBatch]:
    """The table's rows, those of so many users at a time, with no object made of any: see `bundles_of`.

    Raises ValueError when a user's rows are not together.
    """
    rest = pa.table({name: pa.array([], type) for name, type in _COLUMNS.items()})
    for file in files:
        for batch in pq.ParquetFile(file).iter_batches(batch_rows, columns=[*_COLUMNS]):
            rest = pa.concat_tables([rest, pa.Table.from_batches([batch]).cast(rest.schema)])
            ids = rest["user_id"].to_numpy()
            starts = np.flatnonzero(ids[1:] != ids[:-1]) + 1
            if np.any(ids[starts] < ids[starts - 1]):
                raise ValueError(f"{file}: rows are not ordered by user_id")
            # The last user's rows may go on in the next batch.
            ends = starts[users - 1 :: users]
            for start, end in itertools.pairwise([0, *ends.tolist()]):
                yield _copied(rest, start, end)
            if len(ends):
                rest = rest.slice(int(ends[-1]))
    if rest.num_rows:
        yield _copied(rest, 0, rest.num_rows)


def bundles_of(people: pa.RecordBatch) -> Iterator[EvidenceBundle]:
    """The bundles of rows that `iter_people` gives."""
    current: int | None = None
    communities: list[tuple[str, float]] = []
    snippets: list[Snippet] = []
    tokens = 0
    columns = (people.column(name).to_pylist() for name in _COLUMNS)
    for user, name, share, snippet, text, count in zip(*columns, strict=True):
        if user != current:
            if current is not None:
                yield EvidenceBundle(current, tuple(communities), tuple(snippets), tokens)
            current = user
            communities, snippets, tokens = [], [], 0
        tokens += count
        if snippet is None:
            communities.append((name, share))
        else:
            snippets.append(Snippet(snippet, name, text))
    if current is not None:
        yield EvidenceBundle(current, tuple(communities), tuple(snippets), tokens)


_COLUMNS: Final[Mapping[str, pa.DataType]] = {
    "user_id": pa.uint64(),
    "subreddit": pa.string(),
    "share": pa.float64(),
    "snippet_id": pa.string(),
    "text": pa.string(),
    "tokens": pa.int64(),
}


def _copied(rows: pa.Table, start: int, end: int) -> pa.RecordBatch:
    """Some rows by themselves: a slice would be pickled with all that it was cut from."""
    (batch,) = rows.take(np.arange(start, end)).combine_chunks().to_batches()
    return batch
