"""Who is evaluated: everybody, or a fixed sample where everybody would be too many.

What lives here: the sample. What does not: the scores (`evaluation`, `retrieval`).

The sample has the users of the smallest hashes, so that all encoders, seeds and later runs are
judged on the same people, and new people move few in or out.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.encoder.evaluation import LinkTask
from zipp_dagster.encoder.visual import UserImages
from zipp_dagster.graph.hashing import user_keys
from zipp_dagster.graph.split import LinkSplit
from zipp_dagster.graph.store import InteractionGraph

STREAM = 51


def sample_users(
    graph: InteractionGraph, users: Int[np.ndarray, " users"], settings: EncoderSettings
) -> Int[np.ndarray, " sample"]:
    """At most `evaluation_users` of these users (graph indices), in their order."""
    if len(users) <= settings.evaluation_users:
        return users
    keys = user_keys(np.asarray(graph.user_ids[users]), settings.seed, STREAM)
    smallest = np.argpartition(keys, settings.evaluation_users)[: settings.evaluation_users]
    return users[np.sort(smallest)]


def evaluated_links(
    graph: InteractionGraph, split: LinkSplit, settings: EncoderSettings
) -> tuple[LinkTask, str]:
    """The test links of the users who are evaluated, and how many of all they are, in words."""
    task = LinkTask.of(graph, split)
    users = np.unique(task.user)
    chosen = sample_users(graph, users, settings)
    note = f"Evaluated: {len(chosen)} of {len(users)} users with a held-out link."
    if len(chosen) == len(users):
        return task, note
    return task.subset(np.flatnonzero(np.isin(task.user, chosen, kind="sort"))), note


def evaluated_posters(
    graph: InteractionGraph, split: LinkSplit, images: UserImages, settings: EncoderSettings
) -> Int[np.ndarray, " posters"]:
    """The users with images who are evaluated: so many unseen ones, and so many seen to fit on."""
    posters = np.flatnonzero(images.count)
    seen = split.seen[posters]
    parts = [sample_users(graph, posters[where], settings) for where in (seen, ~seen)]
    return np.sort(np.concatenate(parts))
