"""The only assets that open the sample world's ground truth: how right personas and scores are.

Nothing before evaluation may import this module: an import contract holds that.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assets import sources
from zipp_dagster.fanout import FanOut
from zipp_dagster.persona.config import PersonaSettings, SnippetSettings
from zipp_dagster.platform.artifacts import CheckOutcome, Inputs, Skip, Summary, artifact, check
from zipp_dagster.platform.catalogue import Platform
from zipp_dagster.platform.lake import Draft
from zipp_dagster.platform.warehouse import Warehouse
from zipp_dagster.progress import Progress
from zipp_dagster.studio.config import RaterSettings
from zipp_dagster.zipbench.config import ZipbenchSettings

NO_TRUTH = "there is no ground truth: the people of real dumps are not known"


def _truth(inputs: Inputs) -> Any:
    from zipp_dagster.sampleworld.truth import read_truth

    if not inputs.available("sample_world"):
        raise Skip(NO_TRUTH)
    return read_truth(inputs["sample_world"].path("truth"))


def _with_pseudonyms(table: Any, platform: Platform) -> Any:
    """A truth table with `user_id` in place of the author's name."""
    import pyarrow as pa

    key = sources.pseudonymizer(platform)
    ids = pa.array([key.user(name) for name in table["author"].to_pylist()], pa.uint64())
    return table.drop_columns(["author"]).append_column("user_id", ids)


def _persona_truth(truth: Any, platform: Platform) -> Any:
    """The truth about tastes, interests and demographics, by pseudonym."""
    import pyarrow as pa

    from zipp_dagster.persona.quality import TruthTables
    from zipp_dagster.sampleworld import vocabulary

    phrases = {
        "palette": vocabulary.PALETTES,
        "medium": vocabulary.MEDIA,
        "mood": vocabulary.MOODS,
    }
    tastes = [
        {
            "user_id": row["user_id"],
            "context": row["context"],
            "phrases": list(values[row[factor]]),
        }
        for row in _with_pseudonyms(truth.tastes, platform).to_pylist()
        for factor, values in phrases.items()
    ]
    people = _with_pseudonyms(truth.people, platform).to_pylist()
    interests = [
        {"user_id": row["user_id"], "name": hobby} for row in people for hobby in row["hobbies"]
    ]
    fields = ("age_band", "gender", "region", "country", "language", "profession")
    demographics = [
        {"user_id": row["user_id"], "field": field, "value": row[field]}
        for row in people
        for field in fields
    ]
    user = pa.field("user_id", pa.uint64())
    text = pa.string()
    return TruthTables(
        pa.Table.from_pylist(
            tastes, pa.schema([user, ("context", text), ("phrases", pa.list_(text))])
        ),
        pa.Table.from_pylist(interests, pa.schema([user, ("name", text)])),
        pa.Table.from_pylist(demographics, pa.schema([user, ("field", text), ("value", text)])),
    )


@check("shares_in_range")
def shares_in_range(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """Every share lies between 0 and 1, or is missing because nothing was claimed."""
    import pyarrow.parquet as parquet

    rows = parquet.read_table(draft.files()).to_pylist()
    bad = [r["kind"] for r in rows if r["value"] is not None and not 0 <= r["value"] <= 1]
    return CheckOutcome(
        bool(rows) and not bad, f"{len(rows)} measures; out of range: {bad or 'none'}"
    )


@artifact(
    group="persona",
    kinds={"python", "parquet"},
    owner="team:persona",
    inputs=["personas", "sample_world"],
    optional=["sample_world"],
    checks=[shares_in_range],
)
def persona_quality(
    inputs: Inputs, out: Draft, platform: Platform, settings: ZipbenchSettings
) -> Summary:
    """How right the personas are: tastes, interests and demographics against the sample world's truth.

    Evaluation only. Skipped for real people, whose truth nobody has.
    """
    import pyarrow.parquet as parquet

    from zipp_dagster.persona.personas import read_personas
    from zipp_dagster.persona.quality import score_personas

    truth = _truth(inputs)
    personas = {u: p for u, (_, p) in read_personas(inputs["personas"].files()).items()}
    table = score_personas(personas, _persona_truth(truth, platform), settings.seed)
    parquet.write_table(table, out.path("part-0.parquet"), compression="zstd")
    rows = table.to_pylist()
    numbers = {f"{r['kind']}_{r['metric']}": r["value"] for r in rows if r["value"] is not None}
    return Summary(rows=len(rows), metadata=numbers, tables={"against the truth": rows})


@artifact(
    group="persona",
    kinds={"duckdb", "python", "parquet"},
    owner="team:persona",
    inputs=["persona_snippets", "community_rankings", "subreddits", "sample_world"],
    optional=["sample_world"],
    checks=[shares_in_range],
)
def persona_ablation(
    inputs: Inputs,
    out: Draft,
    platform: Platform,
    warehouse: Warehouse,
    settings: PersonaSettings,
    floor: SnippetSettings,
    compute: FanOut,
    progress: Progress,
) -> Summary:
    """What the ranking, the token budget and the snippets bring: right and found, for each variant.

    Every ranking with every budget, with snippets and by names alone, on the same people and against
    the sample world's truth, by the lexical model. Evaluation only; skipped for real people.
    """
    import tempfile

    import numpy as np
    import pyarrow.parquet as parquet

    from zipp_dagster.persona.ablation import ablation_table
    from zipp_dagster.persona.evidence import EvidenceInputs
    from zipp_dagster.persona.lexical import LexicalModel

    truth = _persona_truth(_truth(inputs), platform)
    files = inputs["persona_snippets"].files()
    known = sorted(set(parquet.read_table(files, columns=["user_id"])["user_id"].to_pylist()))
    order = np.random.default_rng(settings.seed).permutation(len(known))
    users = sorted(known[int(i)] for i in order[: settings.ablation_users])
    tables = EvidenceInputs(
        files, inputs["community_rankings"].files(), inputs["subreddits"].files()
    )
    with warehouse.connect() as connection, tempfile.TemporaryDirectory() as scratch:
        table = ablation_table(
            connection,
            tables,
            users,
            LexicalModel,
            truth,
            settings,
            floor,
            settings.ablation_budgets,
            Path(scratch),
            settings.seed,
            progress,
            compute,
        )
    parquet.write_table(table, out.path("part-0.parquet"), compression="zstd")
    rows = table.to_pylist()
    shown = ("ranking", "token_budget", "snippets", "kind", "metric", "value", "low", "high")
    return Summary(
        rows=len(rows),
        metadata={"people": len(users), "population": "the sample world (synthetic)"},
        tables={"variants": [{k: row[k] for k in shown} for row in rows]},
    )


@check("weights_balanced")
def weights_balanced(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """Raked weights meet their marginals, and are worth at least a twentieth of the users."""
    import pyarrow.parquet as parquet

    rows = [r for r in parquet.read_table(draft.files()).to_pylist() if r["dimension"] is None]
    off = [r["method"] for r in rows if r["marginal_error"] is None or r["marginal_error"] > 1e-3]
    thin = [r["method"] for r in rows if not r["ess"] or r["ess"] < 0.05 * r["n"]]
    return CheckOutcome(
        bool(rows) and not off and not thin,
        f"{len(rows)} raked scores; off their marginals: {off or 'none'}; too few in effect: {thin or 'none'}",
    )


@check("people_known", blocking=False)
def people_known(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """Most people are known in every dimension that is weighted: unknown ones keep their share."""
    import pyarrow.parquet as parquet

    from zipp_dagster.zipbench.demographics import WELL_KNOWN

    rows = [r for r in parquet.read_table(draft.files()).to_pylist() if r["dimension"] is None]
    least = min((row["known"] for row in rows if row["known"] is not None), default=0.0)
    few = sorted({row["method"] for row in rows if (row["known"] or 0.0) < WELL_KNOWN})
    return CheckOutcome(
        bool(rows) and not few,
        f"known of at least {least:.0%} of the people in every dimension; too few: {few or 'none'}",
        {"known_share": least},
        "warn",
    )


def _synthetic(inputs: Inputs, platform: Platform, settings: ZipbenchSettings) -> Any:
    """The sample world's people and its invented target population, labelled so."""
    from zipp_dagster.zipbench.demographics import Population

    truth = _truth(inputs)
    target = truth.target_population
    marginals = {name: target["marginals"][name] for name in settings.raking_dimensions}
    groups = _with_pseudonyms(truth.people, platform).select(["user_id", *marginals])
    return groups, Population(target["label"], marginals)


def _claimed(inputs: Inputs, settings: ZipbenchSettings) -> Any:
    """What personas claim of real people, and the United Nations' population of 2024.

    A claim below the confidence floor counts as unknown: its person is weighted by the other
    dimensions only.
    """
    import pyarrow as pa

    from zipp_dagster.persona.personas import read_personas
    from zipp_dagster.persona.schema import AGE_BANDS
    from zipp_dagster.zipbench.demographics import Population
    from zipp_dagster.zipbench.population import UN_WPP_2024, real_population

    def ages(band: str) -> tuple[int, int | None]:
        first, _, last = band.rstrip("+").partition("-")
        return int(first), int(last) if last else None

    targets = real_population(settings.wpp_age_file, {band: ages(band) for band in AGE_BANDS})
    targets = {name: targets[name] for name in settings.raking_dimensions if name in targets}
    rows = []
    for user, (_, persona) in read_personas(inputs["personas"].files()).items():
        claims = dict(persona.demographics.items())
        row: dict[str, Any] = {"user_id": user}
        for name, shares in targets.items():
            claim = claims[name]
            sure = claim.confidence >= settings.minimum_confidence and claim.value in shares
            row[name] = claim.value if sure else None
        rows.append(row)
    fields = [("user_id", pa.uint64()), *((name, pa.string()) for name in targets)]
    return pa.Table.from_pylist(rows, schema=pa.schema(fields)), Population(UN_WPP_2024, targets)


@artifact(
    group="zipbench",
    kinds={"numpy", "parquet"},
    owner="team:zipbench",
    inputs=["benchmark_scores", "personas", "sample_world"],
    optional=["sample_world"],
    checks=[weights_balanced, people_known],
)
def demographic_scores(
    inputs: Inputs, out: Draft, platform: Platform, settings: ZipbenchSettings
) -> Summary:
    """Scores weighted to a target population (raking), and scores of groups of twenty or more.

    The sample world's target population is invented, and labelled so. Real people are weighted by
    what their personas claim to UN World Population Prospects 2024; unknowns keep their share.
    """
    import pyarrow.parquet as parquet

    from zipp_dagster.zipbench.demographics import demographic_scores
    from zipp_dagster.zipbench.raking import RakingError

    synthetic = inputs.available("sample_world")
    groups, population = (
        _synthetic(inputs, platform, settings) if synthetic else _claimed(inputs, settings)
    )
    scores = inputs["benchmark_scores"].table()
    if scores["clip_i"].null_count == scores.num_rows:
        raise Skip("no case has a reference image, so there is no image score to weight")
    try:
        table = demographic_scores(scores, groups, population, settings, metrics=("clip_i",))
    except RakingError as error:
        raise Skip(f"these benchmark users cannot be weighted to the target: {error}") from error
    parquet.write_table(table, out.path("part-0.parquet"), compression="zstd")
    rows = table.to_pylist()
    shown = (
        "method",
        "raw",
        "raked",
        "trimmed",
        "low",
        "high",
        "delta_percent",
        "ess",
        "known",
        "n",
    )
    weighted = [{k: row[k] for k in shown} for row in rows if row["dimension"] is None]
    return Summary(
        rows=len(rows),
        metadata={"population": population.name},
        tables={"raw, raked, trimmed": weighted},
    )


@check("planted_recovered", blocking=False)
def planted_recovered(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """The simulated study finds the win rates that the raters' true tastes imply."""
    import json

    found = json.loads(draft.path("planted.json").read_text())
    missed = [
        f"{row['method']} against {row['opponent']}"
        for row in found
        if row["low"] is not None and not row["low"] <= row["planted"] <= row["high"]
    ]
    said = "; ".join(
        f"{row['method']} against {row['opponent']}: planted {row['planted']:.3f}, "
        f"found {row['win_rate']:.3f} "
        + ("of too few" if row["low"] is None else f"[{row['low']:.3f}, {row['high']:.3f}]")
        for row in found
    )
    # A 95 % interval misses once in twenty: a warning, never a block.
    return CheckOutcome(bool(found) and not missed, said or "no votes", severity="warn")


@artifact(
    group="zipbench",
    kinds={"torch", "parquet"},
    owner="team:zipbench",
    inputs=["benchmark_prompts", "generated_images", "factor_classifier", "sample_world"],
    optional=["sample_world"],
    checks=[planted_recovered],
)
def simulated_votes(
    inputs: Inputs,
    out: Draft,
    platform: Platform,
    settings: ZipbenchSettings,
    raters: RaterSettings,
) -> Summary:
    """Votes of simulated raters, where there are no people: each votes by a true taste, with noise.

    Labelled as simulated everywhere. The votes take the same way as people's, through the studio's
    store, so that every run shows that the study works. Skipped for real dumps.
    """
    import json

    import pyarrow.parquet as parquet

    from zipp_dagster.imaging.encoders import load_factor_classifier
    from zipp_dagster.imaging.stored_models import stored_model
    from zipp_dagster.studio.simulated import DRAWN, comparable_pairs, recovered, simulate_study
    from zipp_dagster.zipbench.metrics import drawn_images

    truth = _truth(inputs)
    classifier = load_factor_classifier(stored_model(inputs["factor_classifier"].directory).model)
    posts = {row["post_id"]: row for row in truth.posts.to_pylist()}

    def liked(case_id: str) -> Any:
        """The owner's true taste for the subject of a case."""
        post = posts[case_id]
        return truth.taste(post["author"], post["context"])

    drawn = inputs["generated_images"]
    people = comparable_pairs(
        inputs["benchmark_prompts"].rows(),
        drawn.table(DRAWN).to_pylist(),
        drawn_images(drawn.files()),
        liked,
        classifier.predict,
    )
    votes, planted = simulate_study(people, raters)
    parquet.write_table(votes, out.path("part-0.parquet"), compression="zstd")
    rows = recovered(votes, planted, settings)
    out.path("planted.json").write_text(json.dumps(rows, indent=1))
    return Summary(
        rows=votes.num_rows, metadata={"raters": len(people)}, tables={"planted and found": rows}
    )


ARTIFACTS = (persona_quality, persona_ablation, demographic_scores, simulated_votes)
