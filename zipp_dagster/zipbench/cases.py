"""The benchmark's one canonical row, whatever it comes from, and the leaks that a row can have.

A case is what a method may read (a base prompt, the person's history and group attributes) and what
it is judged by (a reference prompt and picture, or a preferred and a rejected picture). Loaders of
public data sets are in `loaders`; nothing is downloaded or drawn here.

Pictures are named, not held: a SHA-256 (our own pipeline), a path below the data set's folder, or
an address, as the source gives them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

import pyarrow as pa

from zipp_dagster.zipbench.text_metrics import set_f1, tokens

Split = Literal["train", "validation", "test"]
TARGET_IN_HISTORY = "target_in_history"
NEAR_DUPLICATE = "near_duplicate"
QUERY_IS_TARGET = "query_is_target"
LEAKS = (TARGET_IN_HISTORY, NEAR_DUPLICATE, QUERY_IS_TARGET)

SCHEMA = pa.schema(
    [
        ("case_id", pa.string()),
        ("benchmark", pa.string()),
        ("user_id", pa.string()),
        ("base_prompt", pa.string()),
        ("reference_prompt", pa.string()),
        ("reference_image", pa.string()),
        ("preferred_image", pa.string()),
        ("rejected_image", pa.string()),
        ("history", pa.list_(pa.struct([("prompt", pa.string()), ("image", pa.string())]))),
        ("groups", pa.map_(pa.string(), pa.string())),
        ("split", pa.string()),
        ("leaks", pa.list_(pa.string())),
    ]
)


class CasesError(ValueError):
    """A data set that breaks its schema; names the file, the row and what was expected."""


@dataclass(frozen=True)
class PastImage:
    """Something that the person asked for, posted or liked before."""

    prompt: str
    image: str | None = None


@dataclass(frozen=True)
class Case:
    """One row. Either a reference (prompt, picture or both) or a preference pair is set."""

    case_id: str
    benchmark: str
    user_id: str
    base_prompt: str
    reference_prompt: str | None = None
    reference_image: str | None = None
    preferred_image: str | None = None
    rejected_image: str | None = None
    history: tuple[PastImage, ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)
    split: Split = "test"

    @property
    def is_pair(self) -> bool:
        """Whether the case is judged by a preference pair."""
        return self.preferred_image is not None


@dataclass(frozen=True)
class CaseSet:
    """Cases with their leak flags, and how many rows of the source became none, by reason."""

    cases: tuple[Case, ...]
    leaks: tuple[tuple[str, ...], ...]
    dropped: Mapping[str, int]

    def split(self, clean: bool) -> tuple[Case, ...]:
        """The cases without any leak, or those with one."""
        return tuple(
            case for case, leaks in zip(self.cases, self.leaks, strict=True) if clean != bool(leaks)
        )

    def counts(self) -> dict[str, int]:
        """Cases, users, clean and leaked ones, and each kind of leak."""
        found = [leak for leaks in self.leaks for leak in leaks]
        return {
            "cases": len(self.cases),
            "users": len({case.user_id for case in self.cases}),
            "clean": len(self.split(clean=True)),
            "leaked": len(self.split(clean=False)),
            **{leak: found.count(leak) for leak in LEAKS},
        }

    def table(self) -> pa.Table:
        """All cases in the canonical schema, in their order."""
        rows = []
        for case, leaks in zip(self.cases, self.leaks, strict=True):
            row = asdict(case) | {"groups": sorted(case.groups.items()), "leaks": list(leaks)}
            rows.append(row | {"history": [asdict(past) for past in case.history]})
        return pa.Table.from_pylist(rows, schema=SCHEMA)


def case_set(
    cases: Iterable[Case], dropped: Mapping[str, int] | None = None, threshold: float = 0.8
) -> CaseSet:
    """Checks the cases, and flags their leaks.

    CasesError for two cases of one id, an empty base prompt, a case without anything to be judged
    by, or half a preference pair.
    """
    listed = tuple(cases)
    seen: set[str] = set()
    for case in listed:
        if case.case_id in seen:
            raise CasesError(f"{case.benchmark}: two cases have the id {case.case_id!r}")
        seen.add(case.case_id)
        if not case.base_prompt.strip():
            raise CasesError(f"{case.benchmark}: case {case.case_id} has an empty base prompt")
        if (case.preferred_image is None) != (case.rejected_image is None):
            raise CasesError(f"{case.benchmark}: case {case.case_id} has half a preference pair")
        if not (case.is_pair or case.reference_prompt or case.reference_image):
            raise CasesError(f"{case.benchmark}: case {case.case_id} has nothing to be judged by")
    leaks = tuple(find_case_leaks(case, threshold) for case in listed)
    return CaseSet(listed, leaks, dict(dropped or {}))


def find_case_leaks(case: Case, threshold: float = 0.8) -> tuple[str, ...]:
    """The kinds of leak of one case, in the order of `LEAKS`.

    `target_in_history`: the reference prompt, or the reference or preferred picture, is in the
    history; `near_duplicate`: a prompt of the history has a token F1 of `threshold` or more with
    the reference prompt (the words alike, their order not); `query_is_target`: the base prompt
    already is the reference prompt.
    """
    target = tokens(case.reference_prompt or "")
    past = [tokens(entry.prompt) for entry in case.history]
    pictures = {entry.image for entry in case.history} - {None}
    target_pictures = {case.reference_image, case.preferred_image} - {None}
    same = bool(target) and target in past
    near = any(set_f1(frozenset(target), frozenset(p)) >= threshold for p in past if p != target)
    found = {
        TARGET_IN_HISTORY: same or bool(pictures & target_pictures),
        NEAR_DUPLICATE: near,
        QUERY_IS_TARGET: bool(target) and tokens(case.base_prompt) == target,
    }
    return tuple(leak for leak in LEAKS if found[leak])


def pipeline_cases(
    prompts: pa.Table,
    history: pa.Table,
    groups: Mapping[int, Mapping[str, str]] | None = None,
    threshold: float = 0.8,
) -> CaseSet:
    """ZIPBench's own cases from benchmark_prompts and the visible posts of the same people.

    `history` has user_id, title and sha256 (image_posts); `groups` maps a user to known demographic
    attributes.
    """
    wanted = set(prompts["user_id"].to_pylist())
    past: dict[int, list[PastImage]] = {}
    columns = (history.column(name).to_pylist() for name in ("user_id", "title", "sha256"))
    for user, title, sha in zip(*columns, strict=True):
        if user in wanted:
            past.setdefault(user, []).append(PastImage(title or "", sha))
    return case_set(
        (
            Case(
                case_id=row["case_id"],
                benchmark="zipbench",
                user_id=str(row["user_id"]),
                base_prompt=row["base_prompt"],
                reference_prompt=row["reference_prompt"],
                reference_image=row["reference_sha256"],
                history=tuple(past.get(row["user_id"], ())),
                groups=(groups or {}).get(row["user_id"], {}),
            )
            for row in prompts.to_pylist()
        ),
        threshold=threshold,
    )
