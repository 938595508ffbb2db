"""Rapidata's preference data sets on the Hugging Face hub, as Parquet (and data of the same schema).

A row is a pair of pictures for one prompt, with all votes in `detailed_results`: JSON text, either a
list of votes or `{"votes": [...]}`, a vote being `{"votedFor": ..., "userDetails": {...}}`. A case is
one vote of somebody whose details are known: those details are what a persona may use.

Traps, each tested: column names, prompts and group values carry stray spaces; `userDetails` is missing
or empty for some votes (no group: the vote is left out and counted); there is no id of the voter (people
with equal details are one "user", so that intervals resample groups of voters and not single votes);
`votedFor` names the picture's file, its model or its column; "unknown" values are no attribute.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from zipp_dagster.zipbench.cases import Case, CasesError, CaseSet, case_set

ATTRIBUTES = {
    "age": "age_band",
    "gender": "gender",
    "country": "country",
    "language": "language",
    "occupation": "profession",
}
"""Field of `userDetails` → our name of the group attribute."""
_REQUIRED = ("prompt", "image1", "image2", "detailed_results")
_UNKNOWN = frozenset({"", "unknown", "none", "null", "other", "private"})


def load_rapidata(path: Path) -> CaseSet:
    """Every vote with known details as a preference case; `path` is a Parquet file or a folder."""
    files = sorted(path.glob("**/*.parquet")) if path.is_dir() else [path]
    if not files:
        raise CasesError(f"{path} holds no Parquet file")
    cases: list[Case] = []
    dropped: Counter[str] = Counter()
    for file in files:
        try:
            schema = pq.read_schema(file)
        except (OSError, pa.ArrowInvalid) as error:
            raise CasesError(f"{file} cannot be read as Parquet: {error}") from error
        names = {name.strip(): name for name in schema.names}
        missing = [name for name in _REQUIRED if name not in names]
        if missing:
            raise CasesError(f"{file} has no column {missing[0]!r}; it has {sorted(names)}")
        wanted = [*_REQUIRED, "model1", "model2", "image1_path", "image2_path"]
        table = pq.read_table(file, columns=[names[n] for n in wanted if n in names])
        for number, raw in enumerate(table.to_pylist()):
            row = {name.strip(): value for name, value in raw.items()}
            cases += _votes(row, f"{file.stem}/{number}", f"{file}, row {number}", dropped)
    return case_set(cases, dropped)


def _votes(
    row: Mapping[str, Any], row_id: str, place: str, dropped: Counter[str]
) -> Iterator[Case]:
    prompt = " ".join(str(row["prompt"] or "").split())
    if not prompt:
        dropped["pair without a prompt"] += 1
        return
    pictures = [_picture(row, side, row_id) for side in (1, 2)]
    for number, vote in enumerate(_parsed(row["detailed_results"], place)):
        groups = attributes(vote.get("userDetails"))
        chosen = _chosen(vote, row, pictures)
        if not groups:
            dropped["vote without userDetails"] += 1
        elif chosen is None:
            dropped["vote for neither picture"] += 1
        else:
            yield Case(
                case_id=f"rapidata/{row_id}/{number}",
                benchmark="rapidata",
                user_id="|".join(f"{name}={value}" for name, value in sorted(groups.items())),
                base_prompt=prompt,
                preferred_image=pictures[chosen],
                rejected_image=pictures[1 - chosen],
                groups=groups,
            )


def attributes(details: object) -> dict[str, str]:
    """Known group attributes of a vote's `userDetails`; empty where there are none."""
    if not isinstance(details, Mapping):
        return {}
    values = {
        ours: " ".join(str(details[theirs]).split())
        for theirs, ours in ATTRIBUTES.items()
        if details.get(theirs) is not None
    }
    return {name: value for name, value in values.items() if value.lower() not in _UNKNOWN}


def _parsed(text: object, place: str) -> list[dict[str, Any]]:
    try:
        value = json.loads(text) if isinstance(text, str) else text
    except ValueError as error:
        raise CasesError(f"{place}: detailed_results is not JSON: {error}") from error
    votes = value.get("votes") if isinstance(value, dict) else value
    if not isinstance(votes, list) or not all(isinstance(vote, dict) for vote in votes):
        raise CasesError(f"{place}: detailed_results is no list of votes")
    return votes


def _picture(row: Mapping[str, Any], side: int, row_id: str) -> str:
    """The picture's own path where the row has one, else its place in the file."""
    image = row[f"image{side}"]
    inside = image.get("path") if isinstance(image, Mapping) else image
    named = row.get(f"image{side}_path") or (inside if isinstance(inside, str) else None)
    return str(named).strip() if named else f"{row_id}#image{side}"


def _chosen(vote: Mapping[str, Any], row: Mapping[str, Any], pictures: list[str]) -> int | None:
    voted = str(vote.get("votedFor") or "").strip()
    for side in (0, 1):
        model = str(row.get(f"model{side + 1}") or "").strip()
        if voted and voted in (
            pictures[side],
            Path(pictures[side]).name,
            f"image{side + 1}",
            model,
        ):
            return side
    return None
