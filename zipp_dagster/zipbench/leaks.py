"""Does what a model may read repeat the hold-out? Shared ids and pictures, near-equal titles.

Only looks; removing leaks is the warehouse's work (`image_posts`), and this is its independent
check.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from zipp_dagster.zipbench.text_metrics import set_f1, tokens

SCHEMA = pa.schema(
    [
        ("kind", pa.string()),
        ("holdout_post_id", pa.string()),
        ("visible_post_id", pa.string()),
        ("user_id", pa.uint64()),
        ("score", pa.float64()),
    ]
)
KINDS = ("shared_id", "shared_image", "near_title")


@dataclass(frozen=True)
class LeakReport:
    """Every leak found (table), and how many of each kind; `clean` when there is none."""

    leaks: pa.Table
    counts: dict[str, int]

    @property
    def clean(self) -> bool:
        """Whether nothing leaked."""
        return not any(self.counts.values())


def find_leaks(holdout: pa.Table, visible: pa.Table, threshold: float = 0.8) -> LeakReport:
    """Leaks of `holdout` posts into `visible` posts.

    Both have post_id, user_id, title and sha256 (nullable). Ids and pictures count whoever posted
    them; titles count within one user, from token F1 `threshold` on. `score` is the F1, and 1 for
    ids and pictures.
    """
    rows = [
        *_shared(holdout, visible, "post_id", "shared_id"),
        *_shared(holdout, visible, "sha256", "shared_image"),
        *_near_titles(holdout, visible, threshold),
    ]
    leaks = pa.Table.from_pylist(rows, schema=SCHEMA)
    kinds = leaks["kind"].to_pylist()
    return LeakReport(leaks, {kind: kinds.count(kind) for kind in KINDS})


def _shared(
    holdout: pa.Table, visible: pa.Table, column: str, kind: str
) -> list[dict[str, object]]:
    """One row for each visible post whose `column` equals a held-out one."""
    held: dict[str, str] = {}
    for row in holdout.select(list({column, "post_id"})).to_pylist():
        if row[column] is not None:
            held.setdefault(row[column], row["post_id"])
    found = visible.filter(pc.is_in(visible[column], pa.array(list(held), pa.string())))
    return [
        {
            "kind": kind,
            "holdout_post_id": held[row[column]],
            "visible_post_id": row["post_id"],
            "user_id": row["user_id"],
            "score": 1.0,
        }
        for row in found.select(list({column, "post_id", "user_id"})).to_pylist()
    ]


def _near_titles(holdout: pa.Table, visible: pa.Table, threshold: float) -> list[dict[str, object]]:
    held: dict[int, list[tuple[str, frozenset[str]]]] = defaultdict(list)
    for row in holdout.select(["user_id", "post_id", "title"]).to_pylist():
        held[row["user_id"]].append((row["post_id"], frozenset(tokens(row["title"] or ""))))
    # Only benchmark users' posts can match: one pass in Arrow leaves few rows of a large table.
    ours = visible.filter(pc.is_in(visible["user_id"], pa.array(list(held), pa.uint64())))
    rows: list[dict[str, object]] = []
    for row in ours.select(["user_id", "post_id", "title"]).to_pylist():
        title = frozenset(tokens(row["title"] or ""))
        for post, held_title in held[row["user_id"]]:
            score = set_f1(held_title, title)
            if score >= threshold:
                rows.append(
                    {
                        "kind": "near_title",
                        "holdout_post_id": post,
                        "visible_post_id": row["post_id"],
                        "user_id": row["user_id"],
                        "score": score,
                    }
                )
    return rows
