"""Whether a stored community_rankings is normalised and complete for its graph.

What lives here: counting what is wrong, in one streaming read. What does not: writing the table
(`rankings`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from jaxtyping import Int

from zipp_dagster.encoder.rankings import KEPT, RankingError
from zipp_dagster.graph.store import InteractionGraph

# Where all communities of a user are kept, their attention is all of it, up to float64's rounding.
TOLERANCE = 1e-9
COLUMNS = ["user_id", "attention", "attention_rank", "dot_rank"]
Columns = dict[str, np.ndarray]


def check_rankings(file: Path, graph: InteractionGraph) -> dict[str, int]:
    """Count users by fault; all zero where the table is whole.

    Returns:
        missing: with communities in the graph, without a row here (or rows in two places).
        unknown: not in the graph.
        with_gaps: a rank up to `kept` is not there exactly once, in either ranking.
        with_too_many_rows: more rows than communities.
        not_normalised: attention that is negative, not finite, above 1 in sum, or, where all of a
            user's communities are kept, not 1 in sum.

    Raises:
        RankingError: the file does not say how many of each ranking it kept.
    """
    metadata = pq.read_metadata(file).metadata or {}
    if KEPT not in metadata:
        raise RankingError(f"{file} does not say how many ranks it kept; write it again.")
    kept = int(metadata[KEPT])
    ids, seen = np.asarray(graph.user_ids), np.zeros(graph.users, dtype=np.int8)
    faults = dict.fromkeys(
        ("missing", "unknown", "with_gaps", "with_too_many_rows", "not_normalised"), 0
    )
    for part in _whole_users(file):
        starts = np.flatnonzero(np.r_[True, part["user_id"][1:] != part["user_id"][:-1]])
        links = np.diff(np.r_[starts, len(part["user_id"])])
        users = part["user_id"][starts]
        place = np.minimum(np.searchsorted(ids, users), len(ids) - 1)
        known = ids[place] == users
        faults["unknown"] += int((~known).sum())
        np.add.at(seen, place[known], 1)
        degree = np.where(known, graph.degrees[place], links)
        faults["with_too_many_rows"] += int((links > degree).sum())
        wanted = np.minimum(degree, kept)
        gaps = _gaps(part["attention_rank"], links, wanted, kept)
        gaps |= _gaps(part["dot_rank"], links, wanted, kept)
        faults["with_gaps"] += int(gaps.sum())
        total = np.add.reduceat(part["attention"], starts)
        whole = (links == degree) & ~(np.abs(total - 1.0) <= TOLERANCE)
        bad = whole | ~(total <= 1.0 + TOLERANCE)
        bad |= np.minimum.reduceat(part["attention"], starts) < 0
        faults["not_normalised"] += int(bad.sum())
    faults["missing"] = int(((seen != 1) & (graph.degrees > 0)).sum())
    return faults


def _gaps(
    ranks: Int[np.ndarray, " rows"],
    links: Int[np.ndarray, " users"],
    wanted: Int[np.ndarray, " users"],
    kept: int,
) -> np.ndarray:
    """For each user, whether the ranks up to `kept` are not exactly 1, 2, … wanted."""
    owner = np.repeat(np.arange(len(links)), links)
    low = ranks <= kept
    found = np.bincount(owner[low], minlength=len(links))
    # Sorted by user and rank, the n-th rank of a user must be n.
    keys = np.sort(owner[low] * (kept + 1) + np.maximum(ranks[low], 0))
    expected = np.arange(len(keys)) - np.repeat(np.cumsum(found) - found, found) + 1
    wrong = keys % (kept + 1) != expected
    return (found != wanted) | (np.bincount(keys[wrong] // (kept + 1), minlength=len(links)) > 0)


def _whole_users(file: Path) -> Iterator[Columns]:
    """The table in parts, none of which ends within a user."""
    rest: Columns = {}
    parquet = pq.ParquetFile(file)
    for group in range(parquet.num_row_groups):
        table = parquet.read_row_group(group, columns=COLUMNS)
        part = {name: table.column(name).to_numpy() for name in COLUMNS}
        if rest:
            part = {name: np.concatenate([rest[name], part[name]]) for name in COLUMNS}
        users = part["user_id"]
        if len(users) == 0:
            continue
        cut = len(users)
        if group < parquet.num_row_groups - 1:
            cut -= int(np.argmax((users != users[-1])[::-1])) or len(users)
        rest = {name: values[cut:] for name, values in part.items()}
        if cut:
            yield {name: values[:cut] for name, values in part.items()}
