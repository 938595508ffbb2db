"""Benchmark prompts, their rewrites, and the images drawn of them."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from zipp_dagster.fanout import FanOut, Need, need_of_model
from zipp_dagster.imaging.config import ImagingSettings
from zipp_dagster.persona.config import PersonaSettings
from zipp_dagster.platform.artifacts import CheckOutcome, Inputs, Summary, artifact, check
from zipp_dagster.platform.catalogue import Platform
from zipp_dagster.platform.lake import Draft
from zipp_dagster.progress import Progress
from zipp_dagster.zipbench.config import MethodSettings

if TYPE_CHECKING:
    from zipp_dagster.zipbench.methods.base import PastPicture

OWNER = "team:imaging"
THUMBNAIL_CASES = 8
HISTORY_COLUMNS = ["user_id", "post_id", "title", "created_at", "sha256"]
LEFT_OUT, COSTS = "left-out.json", "costs.parquet"
"""Beside the images: methods that could not draw and why; what each person cost."""


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
    """At most one rewrite in twenty lost its subject or got no answer: the base prompt stands in."""
    import pyarrow.parquet as parquet

    flags = parquet.read_table(draft.files(), columns=["flags"])["flags"].to_pylist()
    lost = sum(not {"subject_lost", "unanswered"}.isdisjoint(flag.split()) for flag in flags)
    return CheckOutcome(
        lost <= 0.05 * len(flags),
        f"{lost} of {len(flags)} rewrites lost their subject or got no answer",
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
        "text_encoder",
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

    from zipp_dagster.imaging.stored_models import stored_model
    from zipp_dagster.imaging.text_encoder import load_text_encoder
    from zipp_dagster.imaging.token_limits import token_counter
    from zipp_dagster.persona.language_models import load_language_model
    from zipp_dagster.persona.personas import read_personas
    from zipp_dagster.persona.rewriter import settings_of_rewriter
    from zipp_dagster.zipbench.methods.base import PromptContext
    from zipp_dagster.zipbench.methods.run import write_prompts

    champion = inputs["champion_rewriter"].directory
    settings = settings_of_rewriter(champion, platform.settings.persona)
    encoder = stored_model(inputs["text_encoder"].directory)
    context = PromptContext(
        inputs["benchmark_prompts"].table(),
        read_personas(inputs["personas"].files()),
        inputs["image_posts"].table(HISTORY_COLUMNS),
        load_language_model(settings.language_model, platform.home),
        settings,
        count_tokens=token_counter(inputs["champion_diffusion_model"].directory),
        embed=load_text_encoder(encoder.model, encoder.revision).embed,
        personal_users=methods.personal_users,
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
    import json

    import pyarrow.parquet as parquet

    from zipp_dagster.imaging.checks import find_faults
    from zipp_dagster.imaging.stored_images import row_groups
    from zipp_dagster.zipbench.methods.drawing import with_image_step

    drawn = parquet.read_table(draft.files(), columns=["method", "request_key"])
    special = with_image_step(drawn["method"].to_pylist())
    # Where there is nothing to learn of a person, such a method draws what the generator draws.
    keys = ["" if row["method"] in special else row["request_key"] for row in drawn.to_pylist()]
    pictures = (
        value.as_py() for part in row_groups(draft.files(), ["image"]) for value in part["image"]
    )
    faults = find_faults(pictures, keys)
    left_out = json.loads(draft.path(LEFT_OUT).read_text())
    methods = inputs["rewritten_prompts"].table(["method"])["method"].to_pylist()
    wanted = sum(method not in left_out["methods"] for method in methods)
    wanted -= sum(left_out["images"].values())
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
    inputs=[
        "rewritten_prompts",
        "benchmark_prompts",
        "image_posts",
        "media",
        "champion_diffusion_model",
        "sample_world",
    ],
    optional=["media", "sample_world"],
    checks=[images_valid],
    pool="gpu",
)
def generated_images(
    inputs: Inputs,
    out: Draft,
    platform: Platform,
    settings: ImagingSettings,
    methods: MethodSettings,
    compute: FanOut,
    progress: Progress,
) -> Summary:
    """The images of all methods, one seed a case for all of them.

    Most are drawn by the frozen generator; FABRIC, ViPer, DrUM and LoRA change it for each of some
    people. A request (model, prompt, seed, sampler settings, and the person's history where it
    matters) is drawn once and never again: images of all kept versions are reused, a killed run
    resumes. One shard holds part of one method.
    """
    import json

    import pyarrow.parquet as parquet

    from zipp_dagster.imaging.generation import Elsewhere, generate
    from zipp_dagster.imaging.image_files import ImageRequest
    from zipp_dagster.imaging.lanes import is_small
    from zipp_dagster.imaging.pipelines import load_pipeline, pick_device
    from zipp_dagster.imaging.seeds import case_seed
    from zipp_dagster.imaging.stored_models import stored_model
    from zipp_dagster.platform.previews import contact_sheet
    from zipp_dagster.zipbench.methods.drawing import draw_personal, with_image_step

    stored = stored_model(inputs["champion_diffusion_model"].directory)
    loaded = load_pipeline(stored.model, stored.revision, settings)
    requests = [
        ImageRequest(
            row["case_id"], row["method"], row["prompt"], case_seed(row["case_id"], settings.seed)
        )
        for row in inputs["rewritten_prompts"].rows()
    ]
    special = with_image_step(request.method for request in requests)
    earlier = _earlier_images(platform, out)
    load = partial(load_pipeline, stored.model, stored.revision, settings)
    need = need_of_model(pick_device(settings.device))
    report = generate(
        [request for request in requests if request.method not in special],
        loaded,
        settings,
        out.directory,
        out.scratch,
        progress,
        existing=earlier,
        elsewhere=Elsewhere(compute, load, need) if compute.elsewhere else None,
    )
    cases = inputs["benchmark_prompts"].table().select(["case_id", "user_id"]).to_pylist()
    owner = {row["case_id"]: row["user_id"] for row in cases}
    pairs = [(owner[r.case_id], r) for r in requests if r.method in special]
    histories, titles = _histories(inputs, {user for user, _ in pairs})
    personal = draw_personal(
        pairs,
        histories,
        titles,
        loaded,
        settings,
        methods,
        out.directory,
        out.scratch,
        progress,
        existing=earlier,
        # A small generator is mostly Python between its operations.
        elsewhere=Elsewhere(compute, load, Need(in_python=True) if is_small(loaded) else need)
        if compute.elsewhere or is_small(loaded)
        else None,
    )
    people = {m: p for m, p in personal.people_left_out.items() if m not in personal.left_out}
    images_left_out = {
        method: sum(request.method == method and user in without for user, request in pairs)
        for method, without in people.items()
    }
    left_out = {"methods": personal.left_out, "images": images_left_out}
    out.path(LEFT_OUT).write_text(json.dumps(left_out))
    parquet.write_table(personal.cost_table(), out.path(COSTS), compression="zstd")
    numbers = {k: v for k, v in report.__dict__.items() if k != "files"}
    numbers |= {
        "personal_requests": personal.requests,
        "personal_drawn": personal.drawn,
        "personal_prepare_seconds": personal.prepare_seconds,
        "personal_costs": personal.per_method(),
        "left_out": personal.left_out,
        "people_left_out": {m: dict(Counter(p.values())) for m, p in people.items()},
    }
    images = {}
    if inputs.available("sample_world"):
        columns = len({request.method for request in requests} - special)
        sheet = contact_sheet(_cases_side_by_side(report.files), columns=columns)
        images["cases (rows) by method (columns)"] = sheet
    return Summary(
        rows=report.requests + personal.requests,
        metadata=numbers,
        images=images,
        tables={"cost a person": [{"method": m} | c for m, c in personal.per_method().items()]},
    )


def _histories(inputs: Inputs, people: set[int]) -> tuple[dict[int, list[PastPicture]], list[str]]:
    """The visible pictures of some people, newest first, and the visible titles of all others."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as dataset

    from zipp_dagster.zipbench.methods.base import PastPicture

    if not people or not inputs.available("media"):
        return {}, []
    posts = inputs["image_posts"].table(HISTORY_COLUMNS)
    mine = pc.is_in(posts["user_id"], pa.array(sorted(people), pa.uint64()))
    rows = posts.filter(mine).sort_by([("created_at", "descending"), ("post_id", "descending")])
    wanted = sorted({sha for sha in rows["sha256"].to_pylist() if sha is not None})
    files = [str(path) for path in inputs["media"].files()]
    found = dataset.dataset(files).to_table(
        columns=["sha256", "image"], filter=dataset.field("sha256").isin(wanted)
    )
    pictures = dict(zip(found["sha256"].to_pylist(), found["image"].to_pylist(), strict=True))
    histories: dict[int, list[PastPicture]] = {}
    for row in rows.to_pylist():
        if row["sha256"] in pictures:
            past = PastPicture(row["title"], pictures[row["sha256"]])
            histories.setdefault(row["user_id"], []).append(past)
    return histories, posts.filter(pc.invert(mine))["title"].to_pylist()


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
    from zipp_dagster.imaging.stored_images import first_rows

    by_case: dict[str, list[bytes]] = {}
    for path in files:
        if path.name.endswith("-00000.parquet"):
            first = first_rows(path, THUMBNAIL_CASES, ["case_id", "image"])
            for row in first.to_pylist():
                by_case.setdefault(row["case_id"], []).append(row["image"])
    most = max((len(images) for images in by_case.values()), default=0)
    return [image for images in by_case.values() if len(images) == most for image in images]


ARTIFACTS = (
    benchmark_prompts,
    rewritten_prompts,
    generated_images,
)
