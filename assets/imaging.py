"""Models that see, read and draw; benchmark prompts, their rewrites, and the images drawn of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zipp_dagster.imaging.config import ImagingSettings
from zipp_dagster.persona.config import PersonaSettings
from zipp_dagster.platform.artifacts import CheckOutcome, Inputs, Summary, artifact, check
from zipp_dagster.platform.catalogue import Platform
from zipp_dagster.platform.lake import Draft
from zipp_dagster.progress import Progress

OWNER = "team:imaging"
THUMBNAILS = 48


@check("embeds_documents")
def embeds_documents(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """Two unlike documents get finite, unlike vectors."""
    import numpy as np

    from zipp_dagster.imaging.stored_models import stored_model
    from zipp_dagster.imaging.text_encoder import load_text_encoder

    stored = stored_model(draft.directory)
    documents = inputs["subreddit_documents"].table()["document"].to_pylist()[:64]
    vectors = load_text_encoder(stored.model, stored.revision).embed(documents)
    finite = bool(np.isfinite(vectors).all())
    spread = float(np.asarray(vectors).std(axis=0).mean())
    return CheckOutcome(
        finite and spread > 0,
        f"{vectors.shape[1]} dimensions, finite: {finite}, spread {spread:.3f}",
    )


@artifact(
    group="imaging",
    kinds={"scikitlearn"},
    owner=OWNER,
    inputs=["subreddit_documents"],
    checks=[embeds_documents],
    model_name="zipp-text-encoder",
)
def text_encoder(inputs: Inputs, out: Draft, settings: ImagingSettings) -> Summary:
    """Documents to vectors: TF-IDF and SVD fitted on the communities, or a sentence encoder.

    Gives communities, and through them new users, features that need no training.
    """
    from zipp_dagster.imaging.pipelines import resolve_model
    from zipp_dagster.imaging.stored_models import store_model
    from zipp_dagster.imaging.text_encoder import fit_text_encoder

    if settings.text_model:
        setting = "imaging.text_model"
        source = resolve_model(settings.text_model, "", setting)
        store_model(source, settings.text_revision, out.directory, setting=setting, packaged=False)
        return Summary(metadata={"kind": "sentence encoder", "model": settings.text_model})
    documents = inputs["subreddit_documents"].table()["document"].to_pylist()
    out.path("model").mkdir()
    fit_text_encoder(documents, out.path("model"), settings.text_dim)
    return Summary(metadata={"kind": "TF-IDF and SVD", "documents": len(documents)})


def _keep(
    name: str,
    chosen: str | None,
    revision: str | None,
    setting: str,
    out: Draft,
    settings: ImagingSettings,
    progress: Progress,
) -> Summary:
    """One of the small models: the packaged one, the user's, or a freshly trained one."""
    import json

    from zipp_dagster.imaging.pipelines import resolve_model
    from zipp_dagster.imaging.stored_models import store_model

    if settings.retrain and chosen is None:
        from zipp_dagster.imaging.retrain import train_model

        source: str | Path = train_model(name, out.scratch, settings.training, progress)
    else:
        source = resolve_model(chosen, name, setting)
    packaged = chosen is None and not settings.retrain
    size = store_model(source, revision, out.directory, setting=setting, packaged=packaged)
    card = Path(source) / "card.json" if isinstance(source, Path) else None
    facts: dict[str, Any] = {"source": "packaged" if packaged else str(source), "model_bytes": size}
    if card is not None and card.is_file():
        facts |= json.loads(card.read_text())
    return Summary(metadata=facts)


@check("model_files_safe")
def model_files_safe(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """Weights are safetensors with finite numbers, or a hub revision is pinned; there is no pickle."""
    import numpy as np
    from safetensors.numpy import load_file

    from zipp_dagster.imaging.stored_models import PICKLES, stored_model

    stored = stored_model(draft.directory)
    if isinstance(stored.model, str):
        return CheckOutcome(bool(stored.revision), f"{stored.model} at {stored.revision}")
    files = [path for path in Path(stored.model).rglob("*") if path.is_file()]
    pickles = [path.name for path in files if path.suffix in PICKLES]
    weights = [path for path in files if path.suffix == ".safetensors"]
    broken = [
        path.name
        for path in weights
        if not all(np.isfinite(array).all() for array in load_file(path).values())
    ]
    return CheckOutcome(
        bool(weights) and not pickles and not broken,
        f"{len(weights)} weight files; pickles: {pickles or 'none'}; not finite: {broken or 'none'}",
    )


@artifact(
    group="imaging",
    kinds={"transformers", "safetensors"},
    owner=OWNER,
    checks=[model_files_safe],
    model_name="zipp-vision-encoder",
)
def vision_encoder(out: Draft, settings: ImagingSettings, progress: Progress) -> Summary:
    """The CLIP-class model that turns people's images into the vectors of ImageAlign.

    It shares its training with the generator, so the benchmark never judges by it.
    """
    return _keep(
        "clip",
        settings.vision_model,
        settings.vision_revision,
        "imaging.vision_model",
        out,
        settings,
        progress,
    )


@artifact(
    group="imaging",
    kinds={"torch", "safetensors"},
    owner=OWNER,
    checks=[model_files_safe],
    model_name="zipp-evaluation-encoder",
)
def evaluation_encoder(out: Draft, settings: ImagingSettings, progress: Progress) -> Summary:
    """The judge of likeness in the benchmark: an image encoder of its own training run.

    Self-supervised on pictures alone: no captions, no labels, nothing shared with the generator.
    """
    return _keep(
        "evaluation_encoder",
        settings.evaluation_model,
        settings.evaluation_revision,
        "imaging.evaluation_model",
        out,
        settings,
        progress,
    )


@artifact(
    group="imaging",
    kinds={"torch", "safetensors"},
    owner=OWNER,
    checks=[model_files_safe],
    model_name="zipp-factor-classifier",
)
def factor_classifier(out: Draft, settings: ImagingSettings, progress: Progress) -> Summary:
    """The judge of the small generator: which subject, palette, medium and mood a picture shows.

    Trained apart from everything that it judges. Only the sample world has such factors.
    """
    return _keep("factor_classifier", None, None, "imaging", out, settings, progress)


@artifact(
    group="imaging",
    kinds={"diffusers", "safetensors"},
    owner=OWNER,
    checks=[model_files_safe],
    model_name="zipp-diffusion-model",
)
def diffusion_model(out: Draft, settings: ImagingSettings, progress: Progress) -> Summary:
    """The frozen generator: the packaged small Stable Diffusion, a directory, or a hub revision.

    Every method of the benchmark draws with it, with the same seeds and sampler.
    """
    return _keep(
        "generator", settings.model, settings.revision, "imaging.model", out, settings, progress
    )


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

    table, report = benchmark_cases(
        inputs["benchmark_holdout"].files(), inputs["personas"].files(), settings.seed
    )
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
    inputs=["benchmark_prompts", "personas", "image_posts", "diffusion_model"],
    checks=[subjects_kept],
    pool="llm",
)
def rewritten_prompts(
    inputs: Inputs, out: Draft, settings: PersonaSettings, platform: Platform, progress: Progress
) -> Summary:
    """Each base prompt rewritten by every method: nobody's persona, the own one, with past prompts.

    The mismatched method uses another person's persona: what the own persona must beat.
    """
    import pyarrow.parquet as parquet

    from zipp_dagster.imaging.token_limits import token_counter
    from zipp_dagster.persona.language_models import load_language_model
    from zipp_dagster.persona.personas import read_personas
    from zipp_dagster.persona.rewriting import rewrite_cases

    table, report = rewrite_cases(
        inputs["benchmark_prompts"].table(),
        read_personas(inputs["personas"].files()),
        inputs["image_posts"].table().select(["user_id", "post_id", "title", "created_at"]),
        load_language_model(settings.language_model, platform.home),
        settings,
        count_tokens=token_counter(inputs["diffusion_model"].directory),
        progress=progress,
    )
    parquet.write_table(table, out.path("part-0.parquet"), compression="zstd")
    return Summary(rows=table.num_rows, metadata=dict(report.__dict__))


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
    inputs=["rewritten_prompts", "diffusion_model", "sample_world"],
    optional=["sample_world"],
    checks=[images_valid],
    pool="gpu",
)
def generated_images(
    inputs: Inputs, out: Draft, platform: Platform, settings: ImagingSettings, progress: Progress
) -> Summary:
    """The images of all methods, one seed a case for all of them, drawn by the frozen generator.

    Identical requests are drawn once; images of the version before are reused; a killed run resumes.
    """
    from zipp_dagster.imaging.generation import ImageRequest, generate
    from zipp_dagster.imaging.pipelines import load_pipeline
    from zipp_dagster.imaging.seeds import case_seed
    from zipp_dagster.imaging.stored_models import stored_model
    from zipp_dagster.platform.previews import contact_sheet

    stored = stored_model(inputs["diffusion_model"].directory)
    loaded = load_pipeline(stored.model, stored.revision, settings)
    requests = [
        ImageRequest(
            row["case_id"], row["method"], row["prompt"], case_seed(row["case_id"], settings.seed)
        )
        for row in inputs["rewritten_prompts"].rows()
    ]
    before = platform.lake.find(out.asset)
    report = generate(
        requests,
        loaded,
        settings,
        out.directory,
        out.scratch,
        progress,
        existing=before.files() if before else (),
    )
    numbers = {k: v for k, v in report.__dict__.items() if k != "files"}
    images = {}
    if inputs.available("sample_world"):
        images["cases, their methods side by side"] = contact_sheet(_first(out, THUMBNAILS))
    return Summary(rows=report.requests, metadata=numbers, images=images)


def _first(out: Draft, count: int) -> list[bytes]:
    import pyarrow.parquet as parquet

    rows = parquet.read_table(out.files()[0], columns=["image"])["image"][:count]
    return [bytes(value) for value in rows.to_pylist()]


ARTIFACTS = (
    text_encoder,
    vision_encoder,
    evaluation_encoder,
    factor_classifier,
    diffusion_model,
    benchmark_prompts,
    rewritten_prompts,
    generated_images,
)
