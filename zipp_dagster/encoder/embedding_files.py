"""The embeddings of all users and communities as files, filled block by block, resumable.

What lives here: `embed_all` and the layout. What does not: the passes (`inference`).

Layout of an embeddings directory: `user_embeddings.npy` float16 [U, D], `subreddit_embeddings.npy`
float32 [S, D], `attention.npy` float16 [E] (of each user's edges, sums to 1), `states.npy` float32
[L+1, S, hidden] (what `new_users` needs for users who come later), `inference.json`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.lib.format import open_memmap

from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.encoder.inference import GraphInference
from zipp_dagster.encoder.inference_progress import InferenceProgress
from zipp_dagster.encoder.model_io import ModelError, StoredModel, load_model
from zipp_dagster.graph.features import load_subreddit_text
from zipp_dagster.graph.store import Block, InteractionGraph
from zipp_dagster.progress import Progress, silent


@dataclass(frozen=True)
class InferenceSummary:
    """What was embedded, for metadata. Times are not part of the files."""

    users: int
    subreddits: int
    edges: int
    dimensions: int
    unknown_subreddits: int
    seconds: float


def embed_all(
    model_dir: Path,
    graph_dir: Path,
    features_dir: Path,
    out_dir: Path,
    scratch_dir: Path,
    settings: EncoderSettings,
    progress: Progress = silent,
) -> InferenceSummary:
    """Embed every user and community of a graph and keep each edge's attention.

    Writes the embeddings directory described above. A run that was killed leaves its files and each
    lane's place in `scratch_dir`; the next one goes on from there and ends in the same bytes.

    Args:
        model_dir: a model directory of architecture gatv2.
        graph_dir: a graph directory.
        features_dir: its community features.
        out_dir: an existing, empty directory.
        scratch_dir: an existing directory that outlives a kill.
        settings: block size, lanes, seconds between checkpoints.
        progress: told users × passes.

    Raises:
        GraphError: a damaged graph or features file.
        ModelError: a damaged model, or one that does not fit, or an embedding that is not finite.
    """
    began = perf_counter()
    graph = InteractionGraph.open(graph_dir)
    text = load_subreddit_text(features_dir, graph)
    model = load_model(model_dir)
    inference = GraphInference(
        model,
        graph,
        text,
        block_users=settings.inference_block_users,
        lanes=settings.inference_lanes,
    )
    width = inference.hidden
    users_file, attention_file = scratch_dir / "user_embeddings.npy", scratch_dir / "attention.npy"

    def flush() -> None:
        users.flush()
        attention.flush()

    fingerprint = _fingerprint(model, graph, text, settings)
    checkpoints = InferenceProgress(scratch_dir, fingerprint, settings.checkpoint_seconds, flush)
    resumed = checkpoints.started() and users_file.exists() and attention_file.exists()
    if not resumed:
        checkpoints.clear()
    mode = "r+" if resumed else "w+"
    users = open_memmap(users_file, mode=mode, dtype=np.float16, shape=(graph.users, width))
    attention = open_memmap(attention_file, mode=mode, dtype=np.float16, shape=(graph.edges,))

    def sink(block: Block, embeddings: np.ndarray, alpha: np.ndarray) -> None:
        narrow = embeddings.astype(np.float16)
        if not np.isfinite(narrow).all():
            raise ModelError(
                f"An embedding of users {block.start} to {block.stop} does not fit float16; "
                f"the model in {model_dir} has diverged: train it again with a lower encoder.lr."
            )
        users[block.start : block.stop] = narrow
        attention[graph.indptr[block.start] : graph.indptr[block.stop]] = alpha

    subreddits = inference.run(sink, progress, checkpoints)
    flush()
    np.save(out_dir / "subreddit_embeddings.npy", subreddits)
    np.save(out_dir / "states.npy", np.stack(inference.states))
    sizes = {
        "users": graph.users,
        "subreddits": graph.subreddits,
        "edges": graph.edges,
        "dimensions": width,
        "unknown_subreddits": inference.unknown,
    }
    (out_dir / "inference.json").write_text(json.dumps(sizes, indent=1) + "\n")
    # A rename within one file system; a kill before the last one only makes the next run start anew.
    checkpoints.clear()
    for path in (users_file, attention_file):
        shutil.move(path, out_dir / path.name)
    return InferenceSummary(**sizes, seconds=perf_counter() - began)


def _fingerprint(
    model: StoredModel, graph: InteractionGraph, text: np.ndarray, settings: EncoderSettings
) -> str:
    """Changes with whatever the bytes of the result depend on.

    The graph's arrays enter by size and time of change: hashing gigabytes would take longer than
    the minute of work that a checkpoint saves.
    """
    digest = hashlib.sha256(np.ascontiguousarray(text).data)
    for name in sorted(model.tensors):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(model.tensors[name]).data)
    files = [path.stat() for path in sorted(graph.directory.iterdir())]
    record = {
        "graph": [(stat.st_size, stat.st_mtime_ns) for stat in files],
        "names": hashlib.sha256("\n".join(graph.subreddit_names).encode()).hexdigest(),
        "block_users": settings.inference_block_users,
        "lanes": settings.inference_lanes,
    }
    digest.update(json.dumps(record, sort_keys=True).encode())
    return digest.hexdigest()
