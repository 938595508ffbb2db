"""Downstream ablations: what an encoder, a ranking, a budget, shots, a language model or a generator
is worth in pictures, on the same few people.

What lives here: which variants there are, their prompts, and the table. What does not: drawing and
embedding (the asset's), and the scores of single cases (`metrics`). Each variant changes one thing of
the configured run; its rows are paired with the generic rewrite of the same cases, written and drawn
by the same models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from zipp_dagster.fanout import given
from zipp_dagster.persona.config import PersonaSettings, SnippetSettings
from zipp_dagster.progress import Progress, silent
from zipp_dagster.zipbench.config import ZipbenchSettings
from zipp_dagster.zipbench.methods.base import PromptContext, Rewriting
from zipp_dagster.zipbench.registry import BASELINE
from zipp_dagster.zipbench.statistics import Bootstrap, paired_difference, relative_lift

if TYPE_CHECKING:
    import duckdb

    from zipp_dagster.persona.evidence import EvidenceInputs
    from zipp_dagster.persona.language_models import LanguageModel
    from zipp_dagster.persona.schema import Persona

Personas = Mapping[int, tuple[str, "Persona"]]
ZERO_SHOT = "zipp_0shot"
SHOTS = (ZERO_SHOT, "zipp_1shot", "zipp_3shot", "zipp_5shot")
CONFIGURED = "as configured"
ONLY_ONE = "only this one is configured: there is nothing to compare it with"
NO_SCORES = "no case has a reference picture, so there is no image score"
NO_PERSONAS = "none of these people has a usable persona under this variant"

SCHEMA = pa.schema(
    [
        ("dimension", pa.string()),
        ("variant", pa.string()),
        ("cases", pa.int64()),
        ("users", pa.int64()),
        ("without_persona", pa.float64()),
        ("with_persona", pa.float64()),
        ("difference", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("lift", pa.float64()),
        ("lift_low", pa.float64()),
        ("lift_high", pa.float64()),
        ("changed_prompts", pa.float64()),
        ("note", pa.string()),
    ]
)


@dataclass(frozen=True)
class Variant:
    """One thing changed. `model` and `generator` number the configured ones, 0 being the run's own."""

    dimension: str
    name: str
    model: int = 0
    generator: int = 0

    @property
    def key(self) -> str:
        """Its name as a method of the scores table."""
        return f"{self.dimension}: {self.name}"

    @property
    def baseline(self) -> str:
        """The generic rewrite that it is paired with."""
        return f"{BASELINE}: model {self.model}, generator {self.generator}"


@dataclass
class Written:
    """Prompts by variant: case → prompt; `notes` say why a variant has none."""

    prompts: dict[Variant, dict[str, str]] = field(default_factory=dict)
    baselines: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)
    notes: dict[Variant, str] = field(default_factory=dict)

    def to_draw(self, generator: int) -> list[tuple[str, str, str]]:
        """(case, method key, prompt) of everything that one generator draws."""
        rows = [
            (case, variant.key, prompt)
            for variant, prompts in self.prompts.items()
            if variant.generator == generator
            for case, prompt in prompts.items()
        ]
        rows += [
            (case, key, prompt)
            for key, (number, prompts) in self.baselines.items()
            if number == generator
            for case, prompt in prompts.items()
        ]
        return rows


@dataclass(frozen=True)
class Evidence:
    """Where variants of personas come from: the evidence tables, and each encoder's rankings."""

    tables: EvidenceInputs
    encoder_rankings: Path | None
    floor: SnippetSettings
    scratch: Path


def ablation_people(cases: pa.Table, personas: Personas, count: int) -> pa.Table:
    """The cases of the first `count` people with a persona, by their pseudonym."""
    users = sorted(set(cases["user_id"].to_pylist()) & personas.keys())[:count]
    return cases.filter(pc.is_in(cases["user_id"], pa.array(users, pa.uint64())))


def write_variants(
    context: PromptContext,
    models: Sequence[LanguageModel],
    generators: int,
    evidence: Evidence,
    connection: duckdb.DuckDBPyConnection,
    progress: Progress = silent,
) -> Written:
    """The prompts of all variants for the cases of `context`, which also has the configured personas.

    `models` begins with the run's own; `generators` is how many draw. Personas of evidence variants
    are written by the run's own language model.
    """
    written = Written()
    users = sorted(set(context.cases["user_id"].to_pylist()))
    persona_variants = _persona_variants(context.settings, evidence)
    steps = len(persona_variants) + len(SHOTS) + len(models) + generators
    done = 0

    def report(what: str) -> None:
        nonlocal done
        done += 1
        progress(done, steps, what)

    for number, model in enumerate(models):
        mine = replace(context, model=model)
        generic = _prompts(BASELINE, mine)
        drawn_by = range(generators) if number == 0 else (0,)
        for generator in drawn_by:
            key = Variant("", "", number, generator).baseline
            written.baselines[key] = (generator, generic)
        written.prompts[Variant("language model", model.name, number)] = _prompts(ZERO_SHOT, mine)
        report(f"prompts by {model.name}")
    own = _prompts(ZERO_SHOT, context)
    for generator in range(generators):
        written.prompts[Variant("generator", str(generator), generator=generator)] = own
        report("prompts for a generator")
    for mode in SHOTS:
        variant = Variant("shots", mode.removeprefix("zipp_").removesuffix("shot"))
        reason = Rewriting(mode).unavailable()
        if reason:
            written.notes[variant] = reason
        else:
            written.prompts[variant] = _prompts(mode, context)
        report(f"prompts of {mode}")
    for place, (variant, settings, tables) in enumerate(persona_variants):
        personas = _personas(
            connection, tables, users, context, settings, evidence, evidence.scratch / str(place)
        )
        prompts = _prompts(ZERO_SHOT, replace(context, personas=personas))
        if prompts:
            written.prompts[variant] = prompts
        else:
            written.notes[variant] = NO_PERSONAS
        report(f"personas: {variant.key}")
    return written


def _persona_variants(
    settings: PersonaSettings, evidence: Evidence
) -> list[tuple[Variant, PersonaSettings, EvidenceInputs]]:
    from typing import get_args

    from zipp_dagster.persona.config import Ranking

    tables = evidence.tables
    found: list[tuple[Variant, PersonaSettings, EvidenceInputs]] = []
    if evidence.encoder_rankings is not None:
        rankings = pq.read_table(evidence.encoder_rankings)
        for name in sorted(set(rankings["encoder"].to_pylist())):
            path = evidence.scratch / f"encoder-{name}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(rankings.filter(pc.equal(rankings["encoder"], name)), path)
            changed = settings.model_copy(update={"ranking": "dot"})
            found.append((Variant("encoder", name), changed, replace(tables, rankings=[path])))
    for ranking in get_args(Ranking):
        changed = settings.model_copy(update={"ranking": ranking})
        found.append((Variant("ranking", ranking), changed, tables))
    for budget in settings.ablation_budgets:
        changed = settings.model_copy(update={"token_budget": budget})
        found.append((Variant("budget", str(budget)), changed, tables))
    for name, bare in (("names and snippets", False), ("names of communities only", True)):
        changed = settings.model_copy(update={"communities_only": bare})
        found.append((Variant("evidence", name), changed, tables))
    return found


def _personas(
    connection: duckdb.DuckDBPyConnection,
    tables: EvidenceInputs,
    users: Sequence[int],
    context: PromptContext,
    settings: PersonaSettings,
    evidence: Evidence,
    folder: Path,
) -> Personas:
    from zipp_dagster.persona.evidence import collect_evidence
    from zipp_dagster.persona.personas import build_personas, read_personas
    from zipp_dagster.persona.tokenizers import load_tokenizer

    report = collect_evidence(
        given(connection),
        tables,
        settings,
        evidence.floor,
        folder,
        partial(load_tokenizer, settings.language_model),
        users=users,
    )
    built = build_personas(report.files, context.model, settings, folder)
    return read_personas([built.file])


def _prompts(mode: str, context: PromptContext) -> dict[str, str]:
    table = Rewriting(mode).write(mode, context)
    return dict(zip(table["case_id"].to_pylist(), table["prompt"].to_pylist(), strict=True))


def downstream_table(
    written: Written,
    scores: pa.Table,
    names: Callable[[Variant], str],
    settings: ZipbenchSettings,
) -> pa.Table:
    """One row a variant (`SCHEMA`) from the scores of everything drawn (benchmark_scores' columns).

    `names` shows a variant; a dimension of one variant says that there is nothing to compare.
    """
    clip: dict[str, dict[str, tuple[int, float]]] = {}
    columns = (scores[name].to_pylist() for name in ("case_id", "user_id", "method", "clip_i"))
    for case, user, method, value in zip(*columns, strict=True):
        if value is not None:
            clip.setdefault(method, {})[case] = (user, value)
    configured = written.prompts.get(Variant("shots", "0"), {})
    order = [*written.prompts, *written.notes]
    rows: list[dict[str, Any]] = []
    for variant in order:
        row: dict[str, Any] = {"dimension": variant.dimension, "variant": names(variant)}
        row |= {"cases": 0, "users": 0}
        if variant in written.notes:
            rows.append(row | {"note": written.notes[variant]})
            continue
        prompts = written.prompts[variant]
        shared = sorted(prompts.keys() & configured.keys())
        if shared:
            different = sum(prompts[case] != configured[case] for case in shared)
            row["changed_prompts"] = different / len(shared)
        row |= _scored(
            clip.get(variant.key, {}), clip.get(variant.baseline, {}), Bootstrap.of(settings)
        )
        alone = sum(other.dimension == variant.dimension for other in order) == 1
        notes = [ONLY_ONE] if alone else []
        notes += [NO_SCORES] if not row["cases"] else []
        rows.append(row | {"note": "; ".join(notes) or None})
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _scored(
    ours: Mapping[str, tuple[int, float]],
    generic: Mapping[str, tuple[int, float]],
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    shared = sorted(ours.keys() & generic.keys())
    if not shared:
        return {}
    users = [ours[case][0] for case in shared]
    values, below = [ours[c][1] for c in shared], [generic[c][1] for c in shared]
    gain = paired_difference(values, below, users, bootstrap)
    lift = relative_lift(values, below, users, bootstrap)
    return {
        "cases": len(shared),
        "users": len(set(users)),
        "without_persona": sum(below) / len(below),
        "with_persona": sum(values) / len(values),
        "difference": gain.value,
        "low": gain.low,
        "high": gain.high,
        "lift": lift.value if lift else None,
        "lift_low": lift.low if lift else None,
        "lift_high": lift.high if lift else None,
    }


def language_model_scores(written: Written, scores: pa.Table) -> dict[str, pa.Table]:
    """Language model → its benchmark_scores (no_persona and zipp_0shot), for `llm_ablation`."""
    result = {}
    methods = scores["method"].to_pylist()
    for variant in written.prompts:
        if variant.dimension == "language model":
            named = {variant.baseline: BASELINE, variant.key: ZERO_SHOT}
            mine = scores.filter(pa.array([method in named for method in methods], pa.bool_()))
            column = pa.array([named[m] for m in mine["method"].to_pylist()], pa.string())
            place = mine.schema.get_field_index("method")
            result[variant.name] = mine.set_column(place, "method", column)
    return result
