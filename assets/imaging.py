"""Benchmark prompts, their rewrites, and the images drawn of them."""

from __future__ import annotations

from pathlib import Path

from zipp_dagster.imaging.config import ImagingSettings
from zipp_dagster.persona.config import PersonaSettings
from zipp_dagster.platform.artifacts import CheckOutcome, Inputs, Summary, artifact, check
from zipp_dagster.platform.catalogue import Platform
from zipp_dagster.platform.lake import Draft
from zipp_dagster.progress import Progress
from zipp_dagster.zipbench.config import MethodSettings

OWNER = "team:imaging"
THUMBNAIL_CASES = 8


@check("cases_complete")
def cases_complete(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """Every case has prompts, and nobody is their own mismatched person."""
    import pyarrow.parquet as parquet

    rows = parquet.read_table(draft.files()).to_pylist()
    empty = sum(not row["base_prompt"] or not row["reference_prompt"] for row in rows)
    own = sum(row["user_id"] == row["mismatched_user_id"] for row in rows)
    return CheckOutcome(
        bool(rows) and empty == 0 and own == 0,
        f"{len(rows)} cases; {empty} without a prompt; {own} mismatched with themselves",
    )


@artifact(
    group="imaging",
    kinds={"parquet"},
    owner=OWNER,
    inputs=["benchmark_holdout", "personas"],
    checks=[cases_complete],
)
def benchmark_prompts(inputs: Inputs, out: Draft, settings: PersonaSettings) -> Summary:
    """The benchmark's cases: a base prompt, the user's own held-out prompt, and a mismatched person.

    The base prompt is the held-out title without its style words, the same for all methods.
    """
    import pyarrow.parquet as parquet

    from zipp_dagster.persona.prompts import benchmark_cases
    from zipp_dagster.zipbench.development import BENCHMARK, split_of_holdout

    holdout = split_of_holdout(
        inputs["benchmark_holdout"].files(), BENCHMARK, out.scratch / "benchmark.parquet"
    )
    table, report = benchmark_cases([holdout], inputs["personas"].files(), settings.seed)
    parquet.write_table(table, out.path("part-0.parquet"), compression="zstd")
    return Summary(rows=table.num_rows, metadata=dict(report.__dict__))


@check("subjects_kept")
def subjects_kept(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """At most one rewrite in twenty lost its subject and fell back to the base prompt."""
    import pyarrow.parquet as parquet

    flags = parquet.read_table(draft.files(), columns=["flags"])["flags"].to_pylist()
    lost = sum("subject_lost" in flag.split() for flag in flags)
    return CheckOutcome(
        lost <= 0.05 * len(flags), f"{lost} of {len(flags)} rewrites lost their subject"
    )


@artifact(
    group="imaging",
    kinds={"python"},
    owner=OWNER,
    inputs=[
        "benchmark_prompts",
        "personas",
        "image_posts",
        "champion_rewriter",
        "champion_diffusion_model",
    ],
    checks=[subjects_kept],
    pool="llm",
)
def rewritten_prompts(
    inputs: Inputs,
    out: Draft,
    methods: MethodSettings,
    platform: Platform,
    progress: Progress,
) -> Summary:
    """Each base prompt rewritten by every registered method: nobody's persona, the own one, another's.

    The champion rewriter writes them. The mismatched method uses another person's persona: what the
    own persona must beat. The registry is `zipp_dagster/zipbench/registry.py`.
    """
    import pyarrow.parquet as parquet

    from zipp_dagster.imaging.token_limits import token_counter
    from zipp_dagster.persona.language_models import load_language_model
    from zipp_dagster.persona.personas import read_personas
    from zipp_dagster.persona.rewriter import settings_of_rewriter
    from zipp_dagster.zipbench.methods.base import PromptContext
    from zipp_dagster.zipbench.methods.run import write_prompts

    champion = inputs["champion_rewriter"].directory
    settings = settings_of_rewriter(champion, platform.settings.persona)
    context = PromptContext(
        inputs["benchmark_prompts"].table(),
        read_personas(inputs["personas"].files()),
        inputs["image_posts"].table().select(["user_id", "post_id", "title", "created_at"]),
        load_language_model(settings.language_model, platform.home),
        settings,
        count_tokens=token_counter(inputs["champion_diffusion_model"].directory),
    )
    table, report = write_prompts(context, methods.run, progress)
    parquet.write_table(table, out.path("part-0.parquet"), compression="zstd")
    return Summary(
        rows=table.num_rows,
        metadata={"language_model": context.model.name, **report.metadata()},
    )


@check("images_valid")
def images_valid(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """Every requested image was drawn, none is blank, and few are the same as another prompt's."""
    import pyarrow.parquet as parquet

    from zipp_dagster.imaging.checks import find_faults

    drawn = parquet.read_table(draft.files(), columns=["request_key", "image"])
    faults = find_faults(drawn["image"].to_pylist(), drawn["request_key"].to_pylist())
    wanted = inputs["rewritten_prompts"].table().num_rows
    return CheckOutcome(
        drawn.num_rows == wanted
        and faults.blank + faults.undecodable == 0
        and faults.duplicates <= 0.01 * wanted,
        f"{drawn.num_rows} of {wanted} images, {faults.blank} blank, {faults.undecodable} undecodable, "
        f"{faults.duplicates} alike though their prompts differ",
        dict(faults.__dict__),
    )


@artifact(
    group="imaging",
    kinds={"diffusers", "parquet"},
    owner=OWNER,
    inputs=["rewritten_prompts", "champion_diffusion_model", "sample_world"],
    optional=["sample_world"],
    checks=[images_valid],
    pool="gpu",
)
def generated_images(
    inputs: Inputs, out: Draft, platform: Platform, settings: ImagingSettings, progress: Progress
) -> Summary:
    """The images of all methods, one seed a case for all of them, drawn by the frozen generator.

    A request (model, prompt, seed, sampler settings) is drawn once and never again: images of all
    kept versions are reused, a killed run resumes. One shard holds part of one method.
    """
    from zipp_dagster.imaging.generation import generate
    from zipp_dagster.imaging.image_files import ImageRequest
    from zipp_dagster.imaging.pipelines import load_pipeline
    from zipp_dagster.imaging.seeds import case_seed
    from zipp_dagster.imaging.stored_models import stored_model
    from zipp_dagster.platform.previews import contact_sheet
    from zipp_dagster.zipbench.methods.run import frozen_generator_only

    stored = stored_model(inputs["champion_diffusion_model"].directory)
    loaded = load_pipeline(stored.model, stored.revision, settings)
    frozen_generator_only(row["method"] for row in inputs["rewritten_prompts"].rows())
    requests = [
        ImageRequest(
            row["case_id"], row["method"], row["prompt"], case_seed(row["case_id"], settings.seed)
        )
        for row in inputs["rewritten_prompts"].rows()
    ]
    report = generate(
        requests,
        loaded,
        settings,
        out.directory,
        out.scratch,
        progress,
        existing=_earlier_images(platform, out),
    )
    numbers = {k: v for k, v in report.__dict__.items() if k != "files"}
    images = {}
    if inputs.available("sample_world"):
        methods = len({request.method for request in requests})
        sheet = contact_sheet(_cases_side_by_side(report.files), columns=methods)
        images["cases (rows) by method (columns)"] = sheet
    return Summary(rows=report.requests, metadata=numbers, images=images)


def _earlier_images(platform: Platform, out: Draft) -> list[Path]:
    """Files that may hold images of the same requests: kept versions, and runs that were killed.

    There is no other cache, so `zipp prune` and an erasure that removes old versions reach all.
    """
    files = [
        path
        for version in platform.lake.versions(out.asset)
        if all(entry["passed"] or not entry["blocking"] for entry in version.manifest.checks)
        for path in version.files()
    ]
    others = sorted(out.scratch.parent.glob("*/*.parquet"))
    return files + [path for path in others if path.parent != out.scratch]


def _cases_side_by_side(files: list[Path]) -> list[bytes]:
    """The images of the first cases, one row a case and one column a method."""
    import pyarrow.parquet as parquet

    by_case: dict[str, list[bytes]] = {}
    for path in files:
        if path.name.endswith("-00000.parquet"):
            table = parquet.read_table(path, columns=["case_id", "image"]).slice(0, THUMBNAIL_CASES)
            for row in table.to_pylist():
                by_case.setdefault(row["case_id"], []).append(row["image"])
    most = max((len(images) for images in by_case.values()), default=0)
    return [image for images in by_case.values() if len(images) == most for image in images]


ARTIFACTS = (
    benchmark_prompts,
    rewritten_prompts,
    generated_images,
)
