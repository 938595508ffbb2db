"""Evidence and personas. How right they are is measured in `assets.evaluation`."""

from __future__ import annotations

from zipp_dagster.persona.config import PersonaSettings, SnippetSettings
from zipp_dagster.platform.artifacts import CheckOutcome, Inputs, Summary, artifact, check
from zipp_dagster.platform.catalogue import Platform
from zipp_dagster.platform.lake import Draft
from zipp_dagster.platform.warehouse import Warehouse
from zipp_dagster.progress import Progress

OWNER = "team:persona"


@check("nothing_held_out")
def nothing_held_out(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """No snippet is a held-out post."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as parquet

    held_out = pa.array(inputs["benchmark_holdout"].table()["post_id"].to_pylist(), pa.string())
    shared = sum(
        pc.sum(pc.is_in(batch.column(0), held_out)).as_py() or 0
        for file in draft.files()
        for batch in parquet.ParquetFile(file).iter_batches(1 << 20, columns=["snippet_id"])
    )
    return CheckOutcome(shared == 0, f"{shared} snippets are held-out posts")


def _tokenizer(platform: Platform, partition: str | None) -> str:
    from zipp_dagster.persona.tokenizers import tokenizer_name

    return tokenizer_name(platform.settings.persona.language_model)


@artifact(
    group="persona",
    kinds={"duckdb", "parquet"},
    owner=OWNER,
    inputs=["stg_comments", "stg_submissions", "subreddits", "benchmark_holdout"],
    checks=[nothing_held_out],
    external_state=_tokenizer,
)
def persona_snippets(
    inputs: Inputs,
    out: Draft,
    warehouse: Warehouse,
    settings: SnippetSettings,
    platform: Platform,
    progress: Progress,
) -> Summary:
    """What people wrote, cleaned, scored and counted once: what evidence is chosen from.

    Names, addresses and links are taken out; sensitive and over-18 communities stay out, and people
    below the activity floor. Past image titles stay out too: they are the shots of rewriting. Tokens
    are the writing model's; another ranking or budget counts nothing anew.
    """
    from zipp_dagster.persona.snippets import SnippetInputs, write_snippets
    from zipp_dagster.persona.tokenizers import load_tokenizer, tokenizer_name

    tables = SnippetInputs(
        comments=inputs["stg_comments"].files(),
        subreddits=inputs["subreddits"].files(),
        submissions=inputs["stg_submissions"].files(),
        holdout=inputs["benchmark_holdout"].files(),
    )
    model = platform.settings.persona.language_model
    with warehouse.connect() as connection:
        report = write_snippets(
            connection, tables, settings, out.directory, load_tokenizer(model), progress
        )
    numbers = {k: v for k, v in report.__dict__.items() if k != "files"}
    return Summary(rows=report.snippets, metadata=numbers | {"tokenizer": tokenizer_name(model)})


@artifact(
    group="persona",
    kinds={"duckdb", "parquet"},
    owner=OWNER,
    inputs=["persona_snippets", "community_rankings", "subreddits", "benchmark_holdout"],
    checks=[nothing_held_out],
    external_state=_tokenizer,
)
def persona_evidence(
    inputs: Inputs,
    out: Draft,
    warehouse: Warehouse,
    settings: PersonaSettings,
    floor: SnippetSettings,
    progress: Progress,
) -> Summary:
    """What a persona may be made from: the best snippets of a user's top communities, in a budget.

    Exactly what the language model will be shown, and why each line is in.
    """
    from zipp_dagster.persona.evidence import EvidenceInputs, collect_evidence
    from zipp_dagster.persona.tokenizers import load_tokenizer

    tables = EvidenceInputs(
        snippets=inputs["persona_snippets"].files(),
        rankings=inputs["community_rankings"].files(),
        subreddits=inputs["subreddits"].files(),
    )
    tokenizer = load_tokenizer(settings.language_model)
    with warehouse.connect() as connection:
        report = collect_evidence(
            connection, tables, settings, floor, out.directory, tokenizer, progress=progress
        )
    numbers = {k: v for k, v in report.__dict__.items() if k != "files"}
    return Summary(rows=report.rows, metadata=numbers)


@check("few_quarantined")
def few_quarantined(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """At most a fifth of the personas is quarantined; each has its reason."""
    import pyarrow.parquet as parquet

    column = parquet.read_table(draft.files(), columns=["quarantined"])["quarantined"]
    total, kept = len(column), column.null_count
    share = 1 - kept / max(total, 1)
    return CheckOutcome(
        total > 0 and share <= 0.2,
        f"{total - kept} of {total} personas are quarantined",
        {"quarantined_share": share},
    )


@check("guards_hold")
def guards_hold(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """No persona in use shows a name, an address or a link, or quotes eight words of the evidence."""
    from zipp_dagster.persona.audit import count_violations

    violations = count_violations(draft.files(), inputs["persona_evidence"].files())
    total = sum(violations.values())
    return CheckOutcome(total == 0, f"{total} violations", dict(violations))


@artifact(
    group="persona",
    kinds={"python", "parquet"},
    owner=OWNER,
    inputs=["persona_evidence"],
    checks=[guards_hold, few_quarantined],
    pool="llm",
)
def personas(inputs: Inputs, out: Draft, settings: PersonaSettings, progress: Progress) -> Summary:
    """Who somebody is, in a few sentences: demographics, interests, and tastes by subject.

    Written by the language model of the settings from evidence alone; what a guard refuses is kept
    with the reason and never used.
    """
    from zipp_dagster.persona.language_models import load_language_model
    from zipp_dagster.persona.personas import build_personas

    report = build_personas(
        inputs["persona_evidence"].files(),
        load_language_model(settings.language_model),
        settings,
        out.directory,
        progress,
    )
    report.file.rename(out.path("part-0.parquet"))
    numbers = {k: v for k, v in report.__dict__.items() if k != "file"}
    return Summary(rows=report.users, metadata=numbers)


ARTIFACTS = (persona_snippets, persona_evidence, personas)
