"""Pictures that are drawn for the report alone."""

from __future__ import annotations

from zipp_dagster.imaging.config import ImagingSettings
from zipp_dagster.platform.artifacts import CheckOutcome, Inputs, Summary, artifact, check
from zipp_dagster.platform.catalogue import Platform
from zipp_dagster.platform.lake import Draft
from zipp_dagster.progress import Progress

OWNER = "team:zipbench"


@check("grid_complete")
def grid_complete(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """Every picture of the grids was drawn, with the prompt that made it."""
    import pyarrow.parquet as parquet

    rows = parquet.read_table(draft.files()).to_pylist()
    empty = sum(not row["prompt"] or not row["image"] for row in rows)
    return CheckOutcome(empty == 0, f"{len(rows)} pictures, {empty} without image or prompt")


@artifact(
    group="zipbench",
    kinds={"diffusers", "parquet"},
    owner=OWNER,
    inputs=[
        "benchmark_prompts",
        "personas",
        "champion_rewriter",
        "champion_diffusion_model",
        "sample_world",
    ],
    optional=["sample_world"],
    checks=[grid_complete],
    pool="gpu",
)
def gallery_images(
    inputs: Inputs,
    out: Draft,
    platform: Platform,
    imaging: ImagingSettings,
    progress: Progress,
) -> Summary:
    """One prompt as six people's personas draw it, and six prompts as one persona draws them.

    For the eye only: nothing is scored. People and prompts are chosen by a rule.
    """
    import pyarrow as pa
    import pyarrow.parquet as parquet

    from zipp_dagster.imaging.generation import ImageRequest, generate
    from zipp_dagster.imaging.pipelines import load_pipeline
    from zipp_dagster.imaging.seeds import case_seed
    from zipp_dagster.imaging.stored_models import stored_model
    from zipp_dagster.imaging.token_limits import token_counter
    from zipp_dagster.persona.language_models import load_language_model
    from zipp_dagster.persona.personas import read_personas
    from zipp_dagster.persona.rewriter import settings_of_rewriter
    from zipp_dagster.persona.rewriting import rewrite_prompt
    from zipp_dagster.platform.previews import contact_sheet
    from zipp_dagster.zipbench.grids import SCHEMA, choose_cells

    personas = read_personas(inputs["personas"].files())
    cells = choose_cells(inputs["benchmark_prompts"].table(), personas)
    persona = settings_of_rewriter(inputs["champion_rewriter"].directory, platform.settings.persona)
    model = load_language_model(persona.language_model, platform.home)
    count = token_counter(inputs["champion_diffusion_model"].directory)
    prompts = [
        rewrite_prompt(
            cell.base_prompt, personas[cell.user_id][1], model, persona, count_tokens=count
        )[0]
        for cell in cells
    ]
    stored = stored_model(inputs["champion_diffusion_model"].directory)
    drawn = generate(
        # One seed a base prompt: what differs between people is the persona alone.
        [
            ImageRequest(cell.name, "zipp_0shot", prompt, case_seed(cell.base_prompt, imaging.seed))
            for cell, prompt in zip(cells, prompts, strict=True)
        ],
        load_pipeline(stored.model, stored.revision, imaging),
        imaging,
        out.scratch / "drawn",
        out.scratch / "batches",
        progress,
    )
    images = parquet.read_table(drawn.files)["image"].to_pylist() if cells else []
    rows = [
        {**cell.__dict__, "prompt": prompt, "image": image}
        for cell, prompt, image in zip(cells, prompts, images, strict=True)
    ]
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    parquet.write_table(table, out.path("part-0.parquet"), compression="zstd")
    shown = {}
    if inputs.available("sample_world") and images:
        shown["one prompt, six people; one person, six prompts"] = contact_sheet(images, columns=6)
    return Summary(rows=len(rows), images=shown)


ARTIFACTS = (gallery_images,)
