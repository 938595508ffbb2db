"""Interactions to what the encoder reads: graph, link split, text features, image embeddings."""

from __future__ import annotations

from functools import partial

from zipp_dagster.fanout import FanOut, loaded, need_of_model
from zipp_dagster.graph.config import GraphSettings
from zipp_dagster.imaging.config import ImagingSettings
from zipp_dagster.platform.artifacts import CheckOutcome, Inputs, Summary, artifact, check
from zipp_dagster.platform.lake import Draft
from zipp_dagster.platform.warehouse import Warehouse
from zipp_dagster.progress import Progress

OWNER = "team:graph"


@check("arrays_consistent")
def arrays_consistent(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """All arrays have the promised lengths, every index is in range, every feature is finite."""
    from zipp_dagster.graph.store import GraphError, InteractionGraph

    try:
        graph = InteractionGraph.open(draft.directory)
        graph.verify()
    except GraphError as error:
        return CheckOutcome(False, str(error))
    return CheckOutcome(
        True, f"{graph.users} users, {graph.subreddits} communities, {graph.edges} edges"
    )


@artifact(
    group="graph",
    kinds={"numpy", "duckdb"},
    owner=OWNER,
    inputs=["interactions"],
    checks=[arrays_consistent],
)
def interaction_graph(
    inputs: Inputs, out: Draft, warehouse: Warehouse, settings: GraphSettings, progress: Progress
) -> Summary:
    """Who is active where: users × communities as memory-mapped CSR arrays with four edge features.

    Read by the link split, training and whole-graph inference. Rebuilt when `interactions` changes.
    """
    from zipp_dagster.graph.csr import build_csr
    from zipp_dagster.graph.store import InteractionGraph
    from zipp_dagster.platform.previews import histogram

    with warehouse.connect() as connection:
        report = build_csr(
            inputs["interactions"].files(),
            out.directory,
            connection,
            min_subreddit_users=settings.min_subreddit_users,
            batch_rows=settings.batch_rows,
            progress=progress,
        )
    degrees = InteractionGraph.open(out.directory).degrees
    return Summary(
        rows=report.edges,
        metadata=dict(report.__dict__),
        images={"communities per user": histogram(degrees.tolist(), "communities", log=True)},
    )


@check("no_target_among_messages")
def no_target_among_messages(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """Every held-out link is out of the training messages, and no unseen user is in training."""
    import numpy as np

    from zipp_dagster.graph.split import MESSAGE, LinkSplit
    from zipp_dagster.graph.store import InteractionGraph

    graph = InteractionGraph.open(inputs["interaction_graph"].directory)
    split = LinkSplit.open(draft.directory, graph)
    training = split.training_messages(graph)
    leaked = int((training & (np.asarray(split.roles) != MESSAGE)).sum())
    unseen = int((training & ~np.repeat(split.seen, graph.degrees)).sum())
    return CheckOutcome(
        leaked == 0 and unseen == 0,
        f"{leaked} held-out links and {unseen} links of unseen users among the training messages",
    )


@artifact(
    group="graph",
    kinds={"numpy"},
    owner=OWNER,
    inputs=["interaction_graph"],
    checks=[no_target_among_messages],
)
def link_split(inputs: Inputs, out: Draft, settings: GraphSettings) -> Summary:
    """Which links are messages, validation and test, and which users training never sees.

    Temporal by default: each user's last-joined community is the test. Targets leave the messages
    and the user features.
    """
    from zipp_dagster.graph.split import random_split, temporal_split
    from zipp_dagster.graph.store import InteractionGraph

    make = temporal_split if settings.split == "temporal" else random_split
    report = make(
        InteractionGraph.open(inputs["interaction_graph"].directory),
        out.directory,
        seed=settings.seed,
        min_communities=settings.min_communities,
        unseen_share=settings.unseen_share,
    )
    return Summary(metadata=dict(report.__dict__))


@check("every_community_has_features")
def every_community_has_features(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """Feature rows match the graph, are finite, and at most a tenth have no text."""
    import numpy as np

    text = np.load(draft.path("subreddit_text.npy"), allow_pickle=False)
    finite = bool(np.isfinite(text).all())
    without = float((np.linalg.norm(text, axis=1) == 0).mean())
    return CheckOutcome(
        finite and without <= 0.1,
        f"{len(text)} communities, {without:.1%} without text, finite: {finite}",
        {"without_text_share": without},
    )


@artifact(
    group="graph",
    kinds={"numpy"},
    owner=OWNER,
    inputs=["interaction_graph", "subreddit_documents", "text_encoder"],
    checks=[every_community_has_features],
)
def subreddit_features(inputs: Inputs, out: Draft, settings: ImagingSettings) -> Summary:
    """One text vector a community, from its document: what the encoder knows of it besides links.

    Users' features are the mean over their communities, so that new users need no training.
    """
    from zipp_dagster.graph.features import build_subreddit_features
    from zipp_dagster.graph.store import InteractionGraph
    from zipp_dagster.imaging.stored_models import stored_model
    from zipp_dagster.imaging.text_encoder import load_text_encoder

    documents = inputs["subreddit_documents"].table()
    stored = stored_model(inputs["text_encoder"].directory)
    encoder = load_text_encoder(stored.model, stored.revision)
    report = build_subreddit_features(
        InteractionGraph.open(inputs["interaction_graph"].directory),
        documents["subreddit"].to_pylist(),
        encoder.embed(documents["document"].to_pylist()),
        out.directory,
    )
    return Summary(metadata=dict(report.__dict__))


@artifact(
    group="graph",
    kinds={"torch", "parquet"},
    owner=OWNER,
    inputs=["image_posts", "media", "vision_encoder"],
    pool="gpu",
)
def image_embeddings(
    inputs: Inputs,
    out: Draft,
    warehouse: Warehouse,
    settings: ImagingSettings,
    compute: FanOut,
    progress: Progress,
) -> Summary:
    """The visible image posts as unit vectors of the vision encoder; held-out posts are not in it.

    ImageAlign pulls a user's graph embedding towards those of the images that the user posted.
    """
    from zipp_dagster.imaging.encoders import load_vision_encoder
    from zipp_dagster.imaging.pipelines import pick_device
    from zipp_dagster.imaging.post_embeddings import embed_posts
    from zipp_dagster.imaging.stored_models import stored_model

    stored = stored_model(inputs["vision_encoder"].directory)
    with warehouse.connect() as connection:
        rows = embed_posts(
            connection,
            inputs["image_posts"].files(),
            inputs["media"].files(),
            partial(loaded, load_vision_encoder, stored.model, stored.revision),
            out.path("part-0.parquet"),
            progress=progress,
            fan_out=compute,
            need=need_of_model(pick_device(settings.device)),
        )
    return Summary(rows=rows)


@artifact(
    group="graph",
    kinds={"duckdb", "parquet"},
    owner=OWNER,
    inputs=["image_embeddings"],
)
def visual_profiles(inputs: Inputs, out: Draft, warehouse: Warehouse) -> Summary:
    """A user's mean image embedding, of unit length: what their pictures have in common.

    Read by the image-retrieval evaluation and by anybody who looks for similar tastes.
    """
    from zipp_dagster.imaging.post_embeddings import average_by_user

    with warehouse.connect() as connection:
        rows = average_by_user(
            connection, inputs["image_embeddings"].files(), out.path("part-0.parquet")
        )
    return Summary(rows=rows)


ARTIFACTS = (
    interaction_graph,
    link_split,
    subreddit_features,
    image_embeddings,
    visual_profiles,
)
