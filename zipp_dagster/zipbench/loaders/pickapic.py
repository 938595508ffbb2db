"""Pick-a-Pic (Kirstain et al., arXiv 2305.01569), versions 1 and 2, with or without images, as Parquet.

A row is a judgement: `caption`, two pictures, `label_0` and `label_1` (1/0, 0.5 each for a tie), and the
judge's `user_id`.

Traps, each tested: `has_label` false rows carry no judgement; ties are no preference; `user_id` is an
integer that repeats over rankings (the same prompt is judged many times by one person: later rounds see
earlier ones as history, in the order of `created_at`, since files are not sorted); pictures are bytes in
`jpg_0`/`jpg_1` or only named by uid; captions carry stray spaces.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from zipp_dagster.zipbench.cases import Case, CasesError, CaseSet, PastImage, case_set

_COLUMNS = (
    "caption",
    "created_at",
    "has_label",
    "image_0_uid",
    "image_1_uid",
    "label_0",
    "label_1",
    "ranking_id",
    "user_id",
)
LAST = 2
"""Judgements of a person that are held out; earlier ones are history, as in PIP."""


def load_pickapic(path: Path, last: int = LAST) -> CaseSet:
    """The last judgements of each person as preference cases; the pictures preferred before them,
    with their captions, are the history. People with fewer than two judgements are left out.
    """
    files = sorted(path.glob("**/*.parquet")) if path.is_dir() else [path]
    if not files:
        raise CasesError(f"{path} holds no Parquet file")
    of_user: dict[int, list[dict[str, object]]] = defaultdict(list)
    dropped: Counter[str] = Counter()
    for file in files:
        try:
            missing = [name for name in _COLUMNS if name not in pq.read_schema(file).names]
        except (OSError, pa.ArrowInvalid) as error:
            raise CasesError(f"{file} cannot be read as Parquet: {error}") from error
        if missing:
            raise CasesError(f"{file} has no column {missing[0]!r}: is it Pick-a-Pic?")
        # The picture columns, hundreds of gigabytes, are not read.
        for row in pq.read_table(file, columns=list(_COLUMNS)).to_pylist():
            reason = _unusable(row)
            if reason:
                dropped[reason] += 1
            else:
                of_user[row["user_id"]].append(row)
    cases: list[Case] = []
    for user in sorted(of_user):
        rows = sorted(of_user[user], key=lambda r: (r["created_at"], r["ranking_id"]))
        if len(rows) < 2:
            dropped["person with one judgement"] += 1
            continue
        held = min(last, len(rows) - 1)
        # Rounds of the held-out rankings are the target itself: no history of it.
        targets = {row["ranking_id"] for row in rows[-held:]}
        past = tuple(
            PastImage(_caption(row), str(_sides(row)[0]))
            for row in rows[:-held]
            if row["ranking_id"] not in targets
        )
        for place, row in enumerate(rows[-held:]):
            preferred, rejected = _sides(row)
            cases.append(
                Case(
                    case_id=f"pickapic/{user}/{row['ranking_id']}/{place}",
                    benchmark="pickapic",
                    user_id=str(user),
                    base_prompt=_caption(row),
                    preferred_image=str(preferred),
                    rejected_image=str(rejected),
                    history=past,
                )
            )
    return case_set(cases, dropped)


def _unusable(row: dict[str, object]) -> str | None:
    if not row["has_label"]:
        return "no label"
    if row["label_0"] == row["label_1"]:
        return "tie"
    if row["user_id"] is None:
        return "no user_id"
    return None if _caption(row) else "no caption"


def _caption(row: dict[str, object]) -> str:
    return " ".join(str(row["caption"] or "").split())


def _sides(row: dict[str, object]) -> tuple[object, object]:
    """Uids of the preferred and the rejected picture."""
    first, second = row["image_0_uid"], row["image_1_uid"]
    return (first, second) if row["label_0"] > row["label_1"] else (second, first)  # type: ignore[operator]
