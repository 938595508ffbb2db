"""What rankings, budgets and snippets bring: evidence and personas of the same people, variant by variant.

Pure functions of tables: opening a truth is the business of evaluation, which passes it in. How one
set of personas is scored is in `quality.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

import duckdb
import pyarrow as pa

from zipp_dagster.fanout import IN_LINE, FanOut, Need, given, own_errors
from zipp_dagster.persona.config import PersonaSettings, Ranking, SnippetSettings
from zipp_dagster.persona.evidence import EvidenceInputs, collect_evidence
from zipp_dagster.persona.language_models import LanguageModel
from zipp_dagster.persona.personas import build_personas, read_personas
from zipp_dagster.persona.quality import TruthTables, compare_personas, score_personas
from zipp_dagster.persona.schema import Persona
from zipp_dagster.progress import Progress, silent

RANKINGS: Final[tuple[Ranking, ...]] = get_args(Ranking)
KINDS: Final = ("tastes", "interests", "demographics")
BASELINE: Final[Ranking] = "count"

ABLATION_SCHEMA: Final = pa.schema(
    [
        ("ranking", pa.string()),
        ("token_budget", pa.int64()),
        ("snippets", pa.bool_()),
        ("kind", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("chance", pa.float64()),
        ("users", pa.int64()),
        ("claims", pa.int64()),
        ("minus_count", pa.float64()),
        ("minus_count_low", pa.float64()),
        ("minus_count_high", pa.float64()),
        ("minus_names", pa.float64()),
        ("minus_names_low", pa.float64()),
        ("minus_names_high", pa.float64()),
        ("median_tokens", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Variant:
    """One way to choose evidence."""

    ranking: Ranking
    token_budget: int
    snippets: bool


def variants(budgets: Sequence[int]) -> Iterator[Variant]:
    """Every ranking with every budget, with and without snippets."""
    for budget in budgets:
        for snippets in (False, True):
            for ranking in RANKINGS:
                yield Variant(ranking, budget, snippets)


def ablation_table(
    connection: duckdb.DuckDBPyConnection,
    inputs: EvidenceInputs,
    users: Collection[int],
    load: Callable[[], LanguageModel],
    truth: TruthTables,
    settings: PersonaSettings,
    floor: SnippetSettings,
    budgets: Sequence[int],
    scratch: Path,
    seed: int,
    progress: Progress = silent,
    fan_out: FanOut = IN_LINE,
) -> pa.Table:
    """Precision and recall of each variant, in ABLATION_SCHEMA, with paired differences.

    `load` gives the language model where personas are written: a variant is an item of `fan_out`.

    A user without a usable persona under a variant claims nothing there, so that all variants are
    scored on the same people. `minus_count` compares with the count ranking at the same budget,
    `minus_names` with communities only; both with 95 % bootstrap intervals over users.
    """
    every = list(variants(budgets))
    evidence, tokens = [], {}
    for number, variant in enumerate(every):
        chosen = settings.model_copy(
            update={
                "ranking": variant.ranking,
                "token_budget": variant.token_budget,
                "communities_only": not variant.snippets,
            }
        )
        folder = scratch / str(number)
        report = collect_evidence(given(connection), inputs, chosen, floor, folder, users=users)
        evidence.append(_Evidence(report.files, load, chosen, folder))
        tokens[variant] = report.median_tokens
        progress(number + 1, 2 * len(every), "evidence")

    def written(done: int, total: int, note: str = "") -> None:
        progress(total + done, 2 * total, "personas")

    with own_errors():
        usable = fan_out.map(_Evidence.personas, evidence, written, need=Need(in_python=True))
    found = {
        variant: {user: personas.get(user, Persona(summary="")) for user in users}
        for variant, personas in zip(every, usable, strict=True)
    }
    rows: list[dict[str, Any]] = []
    for variant, personas in found.items():
        by_count = found[Variant(BASELINE, variant.token_budget, variant.snippets)]
        names_only = found[Variant(variant.ranking, variant.token_budget, False)]
        over_count = _differences(personas, by_count, truth, seed, "minus_count")
        over_names = _differences(personas, names_only, truth, seed, "minus_names")
        for row in score_personas(personas, truth, seed).to_pylist():
            if row["kind"] not in KINDS:
                continue
            key = row["kind"], row["metric"]
            rows.append(
                variant.__dict__
                | row
                | (over_count[key] if variant.ranking != BASELINE else {})
                | (over_names[key] if variant.snippets else {})
                | {"median_tokens": tokens[variant]}
            )
    return pa.Table.from_pylist(rows, schema=ABLATION_SCHEMA)


@dataclass(frozen=True)
class _Evidence:
    """One variant's evidence, and what writes personas of it."""

    files: Sequence[Path]
    load: Callable[[], LanguageModel]
    settings: PersonaSettings
    folder: Path

    def personas(self) -> dict[int, Persona]:
        built = build_personas(self.files, self.load(), self.settings, self.folder)
        return {user: persona for user, (_, persona) in read_personas([built.file]).items()}


def _differences(
    one: Mapping[int, Persona],
    other: Mapping[int, Persona],
    truth: TruthTables,
    seed: int,
    name: str,
) -> dict[tuple[object, object], dict[str, object]]:
    return {
        (row["kind"], row["metric"]): {
            name: row["difference"],
            f"{name}_low": row["low"],
            f"{name}_high": row["high"],
        }
        for row in compare_personas(one, other, truth, seed)
    }
