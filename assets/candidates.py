"""Generators and rewriters: candidates, the decisions on them, and the champions.

Both are compared with their champion on the development benchmark: people whom ZIPBench never
reports. The encoder's decision, on links, is in `promotion`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assets.champions import decision_explained, fingerprint_of, registered_as, settle, take_over
from assets.image_models import model_files_safe
from zipp_dagster.imaging.config import ImagingSettings
from zipp_dagster.platform.artifacts import CheckOutcome, Inputs, Summary, artifact, check
from zipp_dagster.platform.catalogue import Platform
from zipp_dagster.platform.files import disk_is_full
from zipp_dagster.platform.lake import Draft
from zipp_dagster.platform.registry import CHAMPION
from zipp_dagster.platform.transient import is_transient
from zipp_dagster.platform.versions import LakeError, Version
from zipp_dagster.zipbench.config import PromotionSettings, ZipbenchSettings

if TYPE_CHECKING:
    import pyarrow as pa

    from zipp_dagster.zipbench.promotion import Comparison

OWNER = "team:zipbench"
GENERATOR = "zipp-diffusion-model"
REWRITER = "zipp-rewriter"
JUDGED_BY = ("benchmark_holdout", "personas", "media", "evaluation_encoder")

Draw = Callable[[Path, str], Mapping[str, bytes]]
"""Draws every case with the model of a directory; the second argument names the side."""


@check("rewriter_usable")
def rewriter_usable(draft: Draft, inputs: Inputs, platform: Platform) -> CheckOutcome:
    """The kept file gives settings to rewrite with, and its template can be read."""
    from zipp_dagster.persona.rewriter import missing_sections, settings_of_rewriter

    try:
        settings_of_rewriter(draft.directory, platform.settings.persona)
        missing = missing_sections(draft.directory)
    except ValueError as error:
        return CheckOutcome(False, str(error))
    # Whether it rewrites well, or at all, is for the decision: a poor candidate fails no run.
    return CheckOutcome(True, f"sections missing: {', '.join(missing) or 'none'}")


def _settings_of_rewriting(platform: Platform, partition: str | None) -> str:
    from zipp_dagster.persona.rewriter import rewriter_fingerprint

    return rewriter_fingerprint(platform.settings.persona, platform.home)


@artifact(
    group="persona",
    kinds={"python", "json"},
    owner="team:persona",
    checks=[rewriter_usable],
    model_name=REWRITER,
    external_state=_settings_of_rewriting,
)
def rewriter(out: Draft, platform: Platform) -> Summary:
    """A candidate rewriter: the language model and the template that the settings name.

    Registered in MLflow as challenger; `rewriter_decision` says whether it becomes champion. It
    holds no endpoint and no key.
    """
    from zipp_dagster.persona.rewriter import write_rewriter

    document = write_rewriter(platform.settings.persona, out.directory, platform.home)
    model = document["language_model"]
    return Summary(
        metadata={"template": document["template"], "kind": model["kind"], "model": model["model"]}
    )


def compare_on_development(
    model: str,
    candidate: Version,
    inputs: Inputs,
    platform: Platform,
    out: Draft,
    rule: PromotionSettings,
    settings: ZipbenchSettings,
    draw_for: Callable[[pa.Table], Draw],
) -> Summary:
    """The decision on a candidate that draws, or writes what is drawn.

    Nothing is drawn for a first candidate, for the champion itself, or for files that are the
    champion's own. Whatever a candidate raises is the reason to keep it out; an error that may
    pass, such as a network's, is raised for another try.
    """
    from zipp_dagster.zipbench.promotion import PromotionDecision, decide_promotion

    registered = registered_as(model, candidate, platform)
    name = f"candidate {registered.version}"
    champion, notes, theirs = platform.registry.by_alias(model, CHAMPION), [], None
    if champion is not None:
        try:
            theirs = platform.lake.version(champion.asset, champion.lake_version)
        except LakeError as error:
            notes.append(f"the champion cannot be compared with: {error}")
    opponent = f"champion {champion.version}" if champion and theirs else "nobody"
    if champion is not None and champion.lake_version == candidate.id:
        decision = PromotionDecision("promoted", name, opponent, ("it is the champion already",))
    elif theirs is not None and _same_files(theirs, candidate):
        decision = PromotionDecision("kept", name, opponent, ("its files are the champion's own",))
    elif theirs is None:
        # There is no baseline that a first generator or rewriter could beat: a valid one serves.
        serves = rule.model_copy(update={"first_must_win": False})
        decision = decide_promotion(name, opponent, [], serves, settings, first=True)
    else:
        comparison, invalid = _scores(candidate, theirs, inputs, out, settings, draw_for)
        decision = decide_promotion(name, opponent, [comparison], rule, settings, invalid=invalid)
    return settle(decision, registered, champion, notes, out.asset, platform, out)


def _same_files(one: Version, other: Version) -> bool:
    """Whether both are the same model, wherever it was taken from."""
    from zipp_dagster.imaging.stored_models import SOURCE

    files = [
        {(f.path, f.sha256) for f in version.manifest.files if f.path != SOURCE}
        for version in (one, other)
    ]
    return files[0] == files[1]


def _scores(
    candidate: Version,
    champion: Version,
    inputs: Inputs,
    out: Draft,
    settings: ZipbenchSettings,
    draw_for: Callable[[pa.Table], Draw],
) -> tuple[Comparison, tuple[str, ...]]:
    """Both sides' scores on the development people, and why the candidate may not be used at all."""
    from zipp_dagster.imaging.encoders import load_evaluation_encoder
    from zipp_dagster.imaging.stored_models import stored_model
    from zipp_dagster.zipbench.development import development_benchmark, development_cases

    cases, _ = development_cases(
        inputs["benchmark_holdout"].files(), inputs["personas"].files(), settings.seed, out.scratch
    )
    references = posted_pictures(inputs, cases, out.scratch)
    draw = draw_for(cases)
    theirs = draw(champion.directory, "champion") if references else {}
    ours: Mapping[str, bytes] = {}
    invalid: list[str] = []
    try:
        ours = draw(candidate.directory, "candidate") if references else {}
    except Exception as error:
        if is_transient(error) or disk_is_full(error):
            raise
        invalid.append(f"{type(error).__name__}: {error}")
    judge = stored_model(inputs["evaluation_encoder"].directory)
    result = development_benchmark(
        cases,
        references,
        ours,
        theirs,
        load_evaluation_encoder(judge.model, judge.revision).embed_images,
        settings,
        benchmark_users=_benchmark_users(inputs),
    )
    return result.comparison("primary"), (*invalid, *(() if invalid else result.invalid))


def posted_pictures(inputs: Inputs, cases: pa.Table, scratch: Path) -> Mapping[str, bytes]:
    """SHA-256 → picture, for the cases' reference pictures; empty where there is no media.

    They lie in a file below `scratch`, not in memory.
    """
    from zipp_dagster.imaging.stored_images import StoredImages

    if not inputs.available("media"):
        return {}
    wanted = {sha for sha in cases["reference_sha256"].to_pylist() if sha}
    return StoredImages(inputs["media"].files(), ["sha256"], wanted).spooled(scratch)


def _benchmark_users(inputs: Inputs) -> set[int]:
    from zipp_dagster.zipbench.development import BENCHMARK

    rows = inputs["benchmark_holdout"].table().select(["user_id", "split"]).to_pylist()
    return {row["user_id"] for row in rows if row["split"] == BENCHMARK}


def drawn_prompts(
    generator: Path, prompts: Mapping[str, str], settings: ImagingSettings, scratch: Path
) -> Mapping[str, bytes]:
    """case_id → PNG, drawn by a kept generator with the benchmark's own seeds and sampler."""
    from zipp_dagster.imaging.generation import generate
    from zipp_dagster.imaging.image_files import ImageRequest
    from zipp_dagster.imaging.pipelines import load_pipeline
    from zipp_dagster.imaging.seeds import case_seed
    from zipp_dagster.imaging.stored_images import StoredImages
    from zipp_dagster.imaging.stored_models import stored_model

    stored = stored_model(generator)
    requests = [
        ImageRequest(case, "development", prompt, case_seed(case, settings.seed))
        for case, prompt in prompts.items()
    ]
    if not requests:
        return {}
    loaded = load_pipeline(stored.model, stored.revision, settings)
    report = generate(requests, loaded, settings, scratch / "drawn", scratch / "batches")
    return StoredImages(report.files, ["case_id"])


@artifact(
    group="zipbench",
    kinds={"diffusers", "mlflow"},
    owner=OWNER,
    inputs=["diffusion_model", *JUDGED_BY],
    optional=["media"],
    checks=[decision_explained],
    pool="gpu",
)
def diffusion_decision(
    inputs: Inputs,
    out: Draft,
    platform: Platform,
    imaging: ImagingSettings,
    rule: PromotionSettings,
    settings: ZipbenchSettings,
) -> Summary:
    """Whether the candidate generator becomes champion: who draws closer to what people posted.

    Both draw the development people's own titles, with the same seeds; a first candidate serves
    without a picture being drawn. Never fails because a candidate is poor or broken.
    """

    def draw_for(cases: Any) -> Draw:
        titles = dict(
            zip(cases["case_id"].to_pylist(), cases["reference_prompt"].to_pylist(), strict=True)
        )
        return lambda model, side: drawn_prompts(model, titles, imaging, out.scratch / side)

    candidate = inputs["diffusion_model"].version
    return compare_on_development(
        GENERATOR, candidate, inputs, platform, out, rule, settings, draw_for
    )


@artifact(
    group="imaging",
    kinds={"diffusers", "safetensors", "mlflow"},
    owner="team:imaging",
    inputs=["diffusion_decision"],
    checks=[model_files_safe],
    external_state=fingerprint_of(GENERATOR),
    version_by_content=True,
)
def champion_diffusion_model(out: Draft, platform: Platform) -> Summary:
    """The generator that everything downstream draws with: where the `champion` alias points.

    Another candidate changes nothing until it is promoted; promotion and rollback make this asset,
    and every picture of the champion before, stale.
    """
    return take_over(GENERATOR, "diffusion_decision", platform, out)


@artifact(
    group="zipbench",
    kinds={"python", "mlflow"},
    owner=OWNER,
    inputs=["rewriter", "champion_diffusion_model", *JUDGED_BY],
    optional=["media"],
    checks=[decision_explained],
    pool="llm",
)
def rewriter_decision(
    inputs: Inputs,
    out: Draft,
    platform: Platform,
    imaging: ImagingSettings,
    rule: PromotionSettings,
    settings: ZipbenchSettings,
) -> Summary:
    """Whether the candidate rewriter becomes champion: whose prompts draw closer to what people posted.

    Both rewrite the development people's base prompts with their personas, and the champion generator
    draws them. A first candidate serves unseen. Never fails because a candidate is poor or broken.
    """

    def draw_for(cases: Any) -> Draw:
        import pyarrow as pa

        from zipp_dagster.imaging.token_limits import token_counter
        from zipp_dagster.persona.language_models import load_language_model
        from zipp_dagster.persona.personas import read_personas
        from zipp_dagster.persona.rewriter import settings_of_rewriter
        from zipp_dagster.persona.rewriting import rewrite_cases

        generator = inputs["champion_diffusion_model"].directory
        personas = read_personas(inputs["personas"].files())
        count = token_counter(generator)
        columns: dict[str, list[Any]] = {
            name: [] for name in ("user_id", "post_id", "title", "created_at")
        }
        no_history = pa.table(columns)

        def draw(model: Path, side: str) -> Mapping[str, bytes]:
            own = settings_of_rewriter(model, platform.settings.persona)
            table, _ = rewrite_cases(
                cases,
                personas,
                no_history,
                load_language_model(own.language_model, platform.home),
                own,
                methods=("zipp_0shot",),
                count_tokens=count,
            )
            prompts = dict(
                zip(table["case_id"].to_pylist(), table["prompt"].to_pylist(), strict=True)
            )
            return drawn_prompts(generator, prompts, imaging, out.scratch / side)

        return draw

    candidate = inputs["rewriter"].version
    return compare_on_development(
        REWRITER, candidate, inputs, platform, out, rule, settings, draw_for
    )


@artifact(
    group="persona",
    kinds={"json", "mlflow"},
    owner="team:persona",
    inputs=["rewriter_decision"],
    checks=[rewriter_usable],
    external_state=fingerprint_of(REWRITER),
    version_by_content=True,
)
def champion_rewriter(out: Draft, platform: Platform) -> Summary:
    """The rewriter that writes every method's prompts: where the `champion` alias points.

    Another template or language model in the settings is a candidate first; until it is promoted, the
    champion writes.
    """
    return take_over(REWRITER, "rewriter_decision", platform, out)


ARTIFACTS = (
    rewriter,
    diffusion_decision,
    champion_diffusion_model,
    rewriter_decision,
    champion_rewriter,
)
