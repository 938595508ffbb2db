"""Evidence of one person, read from the persona_evidence table. Choosing it is `evidence.py`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

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


def iter_bundles(files: Sequence[Path], batch_rows: int = 65_536) -> Iterator[EvidenceBundle]:
    """Bundles in the order of the table, which must be ordered by user; one user in memory.

    Raises ValueError when a user's rows are not together.
    """
    columns = ["user_id", "subreddit", "share", "snippet_id", "text", "tokens"]
    current: int | None = None
    communities: list[tuple[str, float]] = []
    snippets: list[Snippet] = []
    tokens = 0
    last = -1
    for file in files:
        for batch in pq.ParquetFile(file).iter_batches(batch_rows, columns=columns):
            for user, name, share, snippet, text, count in zip(
                *(batch.column(c).to_pylist() for c in columns), strict=True
            ):
                if user != current:
                    if current is not None:
                        yield EvidenceBundle(current, tuple(communities), tuple(snippets), tokens)
                    if user <= last:
                        raise ValueError(f"{file}: rows are not ordered by user_id")
                    current = last = user
                    communities, snippets, tokens = [], [], 0
                tokens += count
                if snippet is None:
                    communities.append((name, share))
                else:
                    snippets.append(Snippet(snippet, name, text))
    if current is not None:
        yield EvidenceBundle(current, tuple(communities), tuple(snippets), tokens)
