"""Ablations in pictures: each changes one thing of the configured run, on the same few people.

What lives here: running the variants, and the tables. What does not: which variants there are
(`zipp_dagster/zipbench/downstream.py`), and ablations against the sample world's truth (`evaluation`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assets.encoder_evaluation import OWN_COMMUNITIES
from assets.imaging import HISTORY_COLUMNS
from zipp_dagster.imaging.config import ImagingSettings
from zipp_dagster.persona.config import PersonaSettings, SnippetSettings
from zipp_dagster.platform.artifacts import CheckOutcome, Inputs, Summary, artifact, check
from zipp_dagster.platform.catalogue import Platform
from zipp_dagster.platform.lake import Draft
from zipp_dagster.platform.warehouse import Warehouse
from zipp_dagster.progress import Progress
from zipp_dagster.zipbench.config import AblationSettings, ZipbenchSettings

OWNER = "team:zipbench"
DRAWN = "drawn"
"""Folder beside the table with the pictures, which later versions use again."""


@check("variants_explained")
def variants_explained(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """Every variant has a difference with its interval, or a note that says why not."""
    import pyarrow.parquet as parquet

    rows = parquet.read_table(draft.path("part-0.parquet")).to_pylist()
    bare = [r["variant"] for r in rows if r["difference"] is None and not r["note"]]
    kinds = sorted({row["dimension"] for row in rows})
    return CheckOutcome(
        bool(rows) and not bare,
        f"{len(rows)} variants of {', '.join(kinds)}; unexplained: {bare or 'none'}",
    )


@artifact(
    group="zipbench",
    kinds={"torch", "parquet"},
    owner=OWNER,
    inputs=[
        "benchmark_prompts",
        "personas",
        "persona_snippets",
        "community_rankings",
        "encoder_ablation",
        "subreddits",
        "image_posts",
        "champion_diffusion_model",
        "text_encoder",
        "generated_images",
        "media",
        "evaluation_encoder",
    ],
    optional=["media"],
    checks=[variants_explained],
    pool="gpu",
)
def downstream_ablation(
    inputs: Inputs,
    out: Draft,
    platform: Platform,
    warehouse: Warehouse,
    persona: PersonaSettings,
    floor: SnippetSettings,
    imaging: ImagingSettings,
    ablation: AblationSettings,
    settings: ZipbenchSettings,
    progress: Progress,
) -> Summary:
    """What each part is worth in the pictures: encoder, ranking, budget, shots, language model, generator.

    For a few benchmark users, personas and prompts are made anew with one thing changed, drawn with the
    same seeds, and compared with the generic rewrite, paired. Only new prompts are drawn.
    """
    import pyarrow.parquet as parquet

    from assets.zipbench import reference_images
    from zipp_dagster.imaging.encoders import load_evaluation_encoder
    from zipp_dagster.imaging.pipelines import load_pipeline
    from zipp_dagster.imaging.stored_models import stored_model
    from zipp_dagster.imaging.text_encoder import load_text_encoder
    from zipp_dagster.imaging.token_limits import token_counter
    from zipp_dagster.persona.evidence import EvidenceInputs
    from zipp_dagster.persona.language_models import load_language_model
    from zipp_dagster.persona.personas import read_personas
    from zipp_dagster.zipbench.downstream import (
        Evidence,
        Variant,
        ablation_people,
        downstream_table,
        language_model_scores,
        write_variants,
    )
    from zipp_dagster.zipbench.methods.base import PromptContext
    from zipp_dagster.zipbench.metrics import (
        SCORED,
        drawn_images,
        embed_images,
        embed_references,
        score_cases,
    )

    people = read_personas(inputs["personas"].files())
    cases = ablation_people(inputs["benchmark_prompts"].table(), people, ablation.users)
    models = [load_language_model(persona.language_model, platform.home)]
    models += [load_language_model(other, platform.home) for other in ablation.language_models]
    stored = stored_model(inputs["champion_diffusion_model"].directory)
    text = stored_model(inputs["text_encoder"].directory)
    generators: list[tuple[Any, str | None]] = [(stored.model, stored.revision)]
    generators += [(_directory(other), None) for other in ablation.generators]
    context = PromptContext(
        cases,
        people,
        inputs["image_posts"].table(HISTORY_COLUMNS),
        models[0],
        persona,
        count_tokens=token_counter(inputs["champion_diffusion_model"].directory),
        embed=load_text_encoder(text.model, text.revision).embed,
    )
    own = inputs["encoder_ablation"].path(OWN_COMMUNITIES)
    evidence = Evidence(
        EvidenceInputs(
            inputs["persona_snippets"].files(),
            inputs["community_rankings"].files(),
            inputs["subreddits"].files(),
        ),
        own if own.is_file() else None,
        floor,
        out.scratch / "personas",
    )
    with warehouse.connect() as connection:
        written = write_variants(context, models, len(generators), evidence, connection, progress)
    stored_encoder = stored_model(inputs["evaluation_encoder"].directory)
    encoder = load_evaluation_encoder(stored_encoder.model, stored_encoder.revision)
    earlier = [*inputs["generated_images"].files(), *_drawn_before(platform, out)]
    drawn = []
    for number, (model, revision) in enumerate(generators):
        loaded = load_pipeline(model, revision, imaging)
        drawn += _draw(written.to_draw(number), loaded, imaging, out, number, earlier, progress)
    references = reference_images(inputs, cases, out.scratch)
    scores = score_cases(
        cases,
        parquet.read_table(drawn, columns=SCORED),
        references,
        encoder.embed_images,
        encoder=f"{encoder.name}@{encoder.version[:8]}",
        embeddings=(
            embed_images(drawn_images(drawn), encoder.embed_images),
            embed_references(cases, references, encoder.embed_images),
        ),
    )

    def shown(variant: Variant) -> str:
        chosen = generators[int(variant.name)][0] if variant.dimension == "generator" else ""
        if not chosen:
            return variant.name
        return Path(chosen).name if variant.generator else "diffusion_model"

    table = downstream_table(written, scores, shown, settings)
    parquet.write_table(table, out.path("part-0.parquet"), compression="zstd")
    for number, (name, rows) in enumerate(language_model_scores(written, scores).items()):
        named = rows.replace_schema_metadata({LANGUAGE_MODEL: name})
        parquet.write_table(named, out.path(f"language-model-{number}.parquet"), compression="zstd")
    rows = table.to_pylist()
    return Summary(
        rows=len(rows),
        metadata={"people": len(set(cases["user_id"].to_pylist())), "pictures": scores.num_rows},
        tables={"variants": rows},
    )


LANGUAGE_MODEL = "language_model"
"""Metadata key of a language model's scores beside the table."""


def _directory(model: str) -> Path:
    path = Path(model).expanduser()
    if not path.is_dir():
        raise FileNotFoundError(
            f"ablation.generators: {model!r} is no directory; save a pipeline there, such as "
            "DiffusionPipeline.from_pretrained(…).save_pretrained(directory)"
        )
    return path


def _drawn_before(platform: Platform, out: Draft) -> list[Path]:
    """Pictures of kept versions of this asset."""
    versions = platform.lake.versions(out.asset)
    return [path for v in versions for path in sorted(v.directory.glob(f"{DRAWN}/*/*.parquet"))]


def _draw(
    rows: list[tuple[str, str, str]],
    loaded: Any,
    imaging: ImagingSettings,
    out: Draft,
    number: int,
    earlier: list[Path],
    progress: Progress,
) -> list[Path]:
    """One generator's pictures, with each case's own seed."""
    from zipp_dagster.imaging.generation import generate
    from zipp_dagster.imaging.image_files import ImageRequest
    from zipp_dagster.imaging.seeds import case_seed

    requests = [
        ImageRequest(case, key, prompt, case_seed(case, imaging.seed)) for case, key, prompt in rows
    ]
    folder = out.directory / DRAWN / str(number)
    report = generate(
        requests, loaded, imaging, folder, out.scratch / "batches", progress, existing=earlier
    )
    return report.files


@check("rows_explained")
def rows_explained(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """Every language model has a lift with its interval, or a note that says why not."""
    import pyarrow.parquet as parquet

    rows = parquet.read_table(draft.files()).to_pylist()
    bare = [r["language_model"] for r in rows if r["lift"] is None and not r["note"]]
    return CheckOutcome(
        bool(rows) and not bare, f"{len(rows)} models; unexplained: {bare or 'none'}"
    )


@artifact(
    group="zipbench",
    kinds={"parquet"},
    owner=OWNER,
    inputs=["benchmark_scores", "rewritten_prompts", "downstream_ablation"],
    checks=[rows_explained],
)
def llm_ablation(inputs: Inputs, out: Draft, settings: ZipbenchSettings) -> Summary:
    """What a persona adds, by language model: one row for each that rewrites prompts.

    With several configured (`ablation.language_models`), all on the same few people; with one, on all
    benchmark users, and the table says so.
    """
    import pyarrow.parquet as parquet

    from zipp_dagster.zipbench.language_model_ablation import language_model_ablation
    from zipp_dagster.zipbench.registry import BASELINE

    files = sorted(inputs["downstream_ablation"].directory.glob("language-model-*.parquet"))
    tables = [parquet.read_table(path) for path in files]
    scores = {table.schema.metadata[LANGUAGE_MODEL.encode()].decode(): table for table in tables}
    if len(scores) < 2:
        prompts = inputs["rewritten_prompts"].rows()
        # The oracle asks no language model: it is no row of this table.
        names = sorted({row["language_model"] for row in prompts if row["method"] == BASELINE})
        scores = dict.fromkeys(names, inputs["benchmark_scores"].table())
    table = language_model_ablation(scores, settings)
    parquet.write_table(table, out.path("part-0.parquet"), compression="zstd")
    return Summary(rows=table.num_rows, tables={"language models": table.to_pylist()})


ARTIFACTS = (downstream_ablation, llm_ablation)
