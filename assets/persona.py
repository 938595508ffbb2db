"""Evidence and personas. How right they are is measured in `assets.evaluation`."""

from __future__ import annotations

from functools import partial

from zipp_dagster.fanout import FanOut, loaded
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
    compute: FanOut,
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
    report = write_snippets(
        warehouse.connect,
        tables,
        settings,
        out.directory,
        partial(load_tokenizer, model),
        progress,
        compute,
        warehouse.need,
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
    compute: FanOut,
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
    report = collect_evidence(
        warehouse.connect,
        tables,
        settings,
        floor,
        out.directory,
        partial(load_tokenizer, settings.language_model),
        progress=progress,
        fan_out=compute,
        need=warehouse.need,
    )
    numbers = {k: v for k, v in report.__dict__.items() if k != "files"}
    return Summary(rows=report.rows, metadata=numbers)


def _reasons(draft: Draft) -> list[str | None]:
    import pyarrow.parquet as parquet

    column = parquet.read_table(draft.files(), columns=["quarantined"])["quarantined"]
    return [None if reason is None else str(reason) for reason in column.to_pylist()]


@check("few_quarantined")
def few_quarantined(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """At most a fifth of the personas is unsafe or unreadable; each has its reason.

    Not counted: people of whom the evidence says nothing, and those who say to be under 18.
    """
    from zipp_dagster.persona.guards import MINOR, NOTHING_KNOWN

    reasons = _reasons(draft)
    without_fault = (None, NOTHING_KNOWN, MINOR, f"{MINOR}; {NOTHING_KNOWN}")
    unsafe = sum(reason not in without_fault for reason in reasons)
    total = len(reasons)
    kept = sum(reason is None for reason in reasons)
    return CheckOutcome(
        total > 0 and unsafe <= 0.2 * total,
        f"{unsafe} of {total} personas are unsafe or unreadable; {total - kept} are quarantined",
        {"unsafe_share": unsafe / max(total, 1), "quarantined_share": 1 - kept / max(total, 1)},
    )


@check("answers_parse", blocking=False)
def answers_parse(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """The model answers with a persona that fits the schema, at most twice asked, in 95 % of cases."""
    from zipp_dagster.persona.writer import UNANSWERED, UNPARSEABLE

    reasons = _reasons(draft)
    lost = sum((reason or "").startswith((UNPARSEABLE, UNANSWERED)) for reason in reasons)
    rate = 1 - lost / max(len(reasons), 1)
    return CheckOutcome(
        rate >= 0.95,
        f"{lost} of {len(reasons)} answers are missing or do not parse",
        {"parse_rate": rate},
        "warn",
    )


@check("guards_hold")
def guards_hold(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """No persona in use names, quotes or locates somebody, or claims what no evidence bears."""
    from zipp_dagster.persona.audit import count_violations

    # Bounds that a setting moves were held while building; what is unsafe is so under any setting.
    any_length = PersonaSettings(summary_chars=(0, 10**9), min_latin_share=0.0)
    violations = count_violations(draft.files(), inputs["persona_evidence"].files(), any_length)
    total = sum(violations.values())
    return CheckOutcome(total == 0, f"{total} violations", dict(violations))


def _writing(platform: Platform, partition: str | None) -> str:
    """The text of the template and the files of a local model: settings hold only their paths."""
    from zipp_dagster.persona.model_files import model_files
    from zipp_dagster.persona.templates import load_template

    settings = platform.settings.persona
    try:
        template = load_template(settings.template).version
    except ValueError:
        template = "no template"  # whoever makes personas says which
    return f"{template} {model_files(settings.language_model, platform.home)}".strip()


@artifact(
    group="persona",
    kinds={"python", "parquet"},
    owner=OWNER,
    inputs=["persona_evidence", "image_posts", "media"],
    optional=["image_posts", "media"],
    checks=[guards_hold, few_quarantined, answers_parse],
    pool="llm",
    external_state=_writing,
)
def personas(
    inputs: Inputs,
    out: Draft,
    settings: PersonaSettings,
    platform: Platform,
    compute: FanOut,
    progress: Progress,
) -> Summary:
    """Who somebody is, in a few sentences: demographics, interests, and tastes by subject.

    Written by the language model of the settings from evidence alone, and by one that sees from the
    pictures that somebody posted; what a guard refuses is kept with the reason and never used.
    """
    from zipp_dagster.persona.loading import load_writer, need_of
    from zipp_dagster.persona.personas import write_personas

    visible = inputs.available("image_posts") and inputs.available("media")
    pictures = [inputs[name].files() if visible else [] for name in ("image_posts", "media")]
    report = write_personas(
        inputs["persona_evidence"].files(),
        partial(loaded, load_writer, settings, platform.home, *pictures),
        settings,
        out.directory,
        progress,
        compute,
        need_of(settings.language_model),
    )
    report.file.rename(out.path("part-0.parquet"))
    numbers = {k: v for k, v in report.__dict__.items() if k != "file"}
    return Summary(rows=report.users, metadata=numbers)


ARTIFACTS = (persona_snippets, persona_evidence, personas)
