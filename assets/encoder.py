"""The persona encoder: candidate, champion, and what the champion says of everybody.

What lives here: training, the champion's files, embeddings and rankings. What does not: how good
encoders are (`encoder_evaluation`).
"""

from __future__ import annotations

from typing import Any

from assets.champions import fingerprint_of, take_over
from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.fanout import FanOut
from zipp_dagster.platform.artifacts import CheckOutcome, Inputs, Summary, artifact, check
from zipp_dagster.platform.catalogue import Platform
from zipp_dagster.platform.lake import Draft
from zipp_dagster.platform.tracking import Tracker
from zipp_dagster.progress import Progress

OWNER = "team:encoder"
MODEL = "zipp-encoder"
GRAPH_INPUTS = ("interaction_graph", "link_split", "subreddit_features", "image_embeddings")


@check("weights_finite")
def weights_finite(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """The checkpoint loads without a pickle, and every weight is a finite number."""
    import numpy as np

    from zipp_dagster.encoder.model_io import ModelError, load_model

    try:
        model = load_model(draft.directory)
    except ModelError as error:
        return CheckOutcome(False, str(error))
    broken = [name for name, array in model.tensors.items() if not np.isfinite(array).all()]
    return CheckOutcome(
        not broken,
        f"not finite: {', '.join(broken)}" if broken else f"{len(model.tensors)} finite tensors",
    )


@artifact(
    group="encoder",
    kinds={"torch", "pyg"},
    owner=OWNER,
    inputs=GRAPH_INPUTS,
    optional=["image_embeddings"],
    checks=[weights_finite],
    model_name=MODEL,
    pool="gpu",
)
def gat_checkpoint(
    inputs: Inputs,
    out: Draft,
    settings: EncoderSettings,
    platform: Platform,
    tracker: Tracker,
    progress: Progress,
) -> Summary:
    """A candidate persona encoder: an edge-aware GATv2 trained on links and, with images, ImageAlign.

    Registered in MLflow as challenger; `promotion_decision` says whether it becomes champion. A
    killed training resumes from its last checkpoint.
    """
    from zipp_dagster.encoder.together import TrainingTask, train_alone
    from zipp_dagster.graph.split import split_rule
    from zipp_dagster.platform.compute import train_in_processes
    from zipp_dagster.platform.previews import curves

    task = TrainingTask(
        inputs["interaction_graph"].directory,
        inputs["link_split"].directory,
        inputs["subreddit_features"].directory,
        images_of(inputs),
        settings,
        out.directory,
        out.scratch,
    )
    if settings.train_workers == 1:
        report = train_alone(task, progress)
    else:
        report = train_in_processes(task, platform.settings.compute, progress)
    tracker.log_history(report.history, step_key="epoch")
    shown = {k: v for k, v in report.__dict__.items() if k != "history"}
    shown["split"] = split_rule(inputs["link_split"].directory)
    names = [key for key in report.history[0] if key != "epoch"] if report.history else []
    return Summary(
        metadata=shown,
        images={
            name: curves({name: [(r["epoch"], r[name]) for r in report.history]}, "epoch")
            for name in names
            if name in ("link_loss", "image_loss") or name.startswith("validation_")
        },
    )


def images_of(inputs: Inputs) -> Any:
    """The image embeddings, None where there are no images (ImageAlign is then off)."""
    return inputs["image_embeddings"].table() if inputs.available("image_embeddings") else None


@artifact(
    group="encoder",
    kinds={"safetensors", "mlflow"},
    owner=OWNER,
    inputs=["promotion_decision"],
    checks=[weights_finite],
    external_state=fingerprint_of(MODEL),
    version_by_content=True,
)
def champion_encoder(out: Draft, platform: Platform) -> Summary:
    """The encoder that everything downstream uses: where the `champion` alias in MLflow points.

    A candidate that is kept changes nothing; promotion and rollback move the alias, make this asset
    stale, and with it whatever was made by the champion before.
    """
    return take_over(MODEL, "promotion_decision", platform, out)


@check("embeddings_finite")
def embeddings_finite(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """Every user of the graph has a finite embedding, and they are not all alike."""
    import numpy as np

    from zipp_dagster.graph.store import InteractionGraph

    graph = InteractionGraph.open(inputs["interaction_graph"].directory)
    users = np.load(draft.path("user_embeddings.npy"), mmap_mode="r", allow_pickle=False)
    sample = np.asarray(users[:: max(1, len(users) // 100_000)], dtype=np.float32)
    finite, spread = bool(np.isfinite(sample).all()), float(sample.std(axis=0).mean())
    return CheckOutcome(
        finite and spread > 1e-4 and len(users) == graph.users,
        f"{len(users)} of {graph.users} users, finite: {finite}, mean spread {spread:.3f}",
        {"spread": spread},
    )


@artifact(
    group="encoder",
    kinds={"numba", "numpy"},
    owner=OWNER,
    inputs=["champion_encoder", "interaction_graph", "subreddit_features"],
    checks=[embeddings_finite],
)
def user_embeddings(
    inputs: Inputs, out: Draft, settings: EncoderSettings, compute: FanOut, progress: Progress
) -> Summary:
    """All users as vectors of the champion encoder, with the attention on each of their communities.

    Streamed over the memory-mapped graph without torch; a killed run goes on where it was.
    """
    from zipp_dagster.encoder.embedding_files import embed_all

    report = embed_all(
        inputs["champion_encoder"].directory,
        inputs["interaction_graph"].directory,
        inputs["subreddit_features"].directory,
        out.directory,
        out.scratch,
        settings,
        progress,
        compute,
    )
    return Summary(rows=report.users, metadata=dict(report.__dict__))


@artifact(
    group="encoder",
    kinds={"parquet"},
    owner=OWNER,
    inputs=["user_embeddings", "interaction_graph"],
)
def subreddit_embeddings(inputs: Inputs, out: Draft) -> Summary:
    """All communities as vectors in the same space as the users; their dot product ranks them."""
    from zipp_dagster.encoder.subreddit_table import write_subreddit_table

    rows = write_subreddit_table(
        inputs["interaction_graph"].directory,
        inputs["user_embeddings"].directory,
        out.path("part-0.parquet"),
    )
    return Summary(rows=rows)


@check("rankings_complete")
def rankings_complete(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """Everybody with a community is ranked, from 1 without a gap, and attention sums to 1."""
    from zipp_dagster.encoder.ranking_check import check_rankings
    from zipp_dagster.graph.store import InteractionGraph

    graph = InteractionGraph.open(inputs["interaction_graph"].directory)
    faults = check_rankings(draft.path("part-0.parquet"), graph)
    return CheckOutcome(
        not any(faults.values()),
        f"{graph.users} users; "
        + ", ".join(f"{name.replace('_', ' ')}: {count}" for name, count in faults.items()),
        faults,
    )


@artifact(
    group="encoder",
    kinds={"parquet"},
    owner=OWNER,
    inputs=["user_embeddings", "interaction_graph"],
    checks=[rankings_complete],
)
def community_rankings(
    inputs: Inputs, out: Draft, settings: EncoderSettings, compute: FanOut, progress: Progress
) -> Summary:
    """Each user's communities ranked by attention and by the final dot product, the best of each.

    The evidence of a persona is shared out in proportion to one of these rankings.
    """
    from zipp_dagster.encoder.rankings import write_rankings

    report = write_rankings(
        inputs["interaction_graph"].directory,
        inputs["user_embeddings"].directory,
        out.path("part-0.parquet"),
        kept=settings.rankings_kept,
        block_users=settings.inference_block_users,
        progress=progress,
        fan_out=compute,
    )
    return Summary(rows=report.rows, metadata=dict(report.__dict__))


ARTIFACTS = (
    gat_checkpoint,
    champion_encoder,
    user_embeddings,
    subreddit_embeddings,
    community_rankings,
)
