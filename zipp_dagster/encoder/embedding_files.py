"""The embeddings of all users and communities as files, filled block by block, resumable.

What lives here: `embed_all` and the layout. What does not: the passes (`inference`).

Layout of an embeddings directory: `user_embeddings.npy` float16 [U, D], `subreddit_embeddings.npy`
float32 [S, D], `attention.npy` float16 [E] (of each user's edges, sums to 1), `states.npy` float32
[L+1, S, hidden] (what `new_users` needs for users who come later), `inference.json`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from jaxtyping import Float32
from numpy.lib.format import open_memmap
from threadpoolctl import threadpool_limits

from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.encoder.inference import GraphInference
from zipp_dagster.encoder.inference_progress import InferenceProgress, OpenSoftmax
from zipp_dagster.encoder.model_io import ModelError, StoredModel, load_model
from zipp_dagster.fanout import FanOut, Local, own_errors
from zipp_dagster.graph.features import load_subreddit_text
from zipp_dagster.graph.store import Block, InteractionGraph, map_array
from zipp_dagster.progress import Progress, in_words, silent


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
    fan_out: FanOut | None = None,
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
        fan_out: each lane of a pass is an item; as many threads as lanes by default.

    Raises:
        GraphError: a damaged graph or features file.
        ModelError: a damaged model, or one that does not fit, or an embedding that is not finite.
    """
    began = perf_counter()
    fan_out = fan_out or Local(settings.inference_lanes)
    inference = _open(model_dir, graph_dir, features_dir, settings)
    graph, width = inference.graph, inference.hidden
    users_file, attention_file = scratch_dir / "user_embeddings.npy", scratch_dir / "attention.npy"
    fingerprint = _fingerprint(load_model(model_dir), graph, features_dir, settings)
    checkpoints = InferenceProgress(scratch_dir, fingerprint, settings.checkpoint_seconds)
    if not (checkpoints.started() and users_file.exists() and attention_file.exists()):
        checkpoints.clear()
        open_memmap(users_file, mode="w+", dtype=np.float16, shape=(graph.users, width))
        open_memmap(attention_file, mode="w+", dtype=np.float16, shape=(graph.edges,))

    def run_lanes(layer: int) -> list[OpenSoftmax]:
        states = tuple(inference.states[: layer + 1])
        items = [
            LaneOfPass(
                model_dir, graph_dir, features_dir, scratch_dir, settings, fingerprint, states, lane
            )
            for lane in range(len(inference.ranges))
        ]
        passes = _Passes(progress, layer, inference.layers, graph.users)
        with own_errors():
            return fan_out.map_reporting(embed_lane, items, passes)

    subreddits = inference.run(_no_sink, checkpoints=checkpoints, run_lanes=run_lanes)
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


@dataclass(frozen=True)
class LaneOfPass:
    """One lane of one pass, and all that another process needs for it.

    `states` are those of the communities before the pass: their number says which pass it is.
    """

    model_dir: Path
    graph_dir: Path
    features_dir: Path
    scratch_dir: Path
    settings: EncoderSettings
    fingerprint: str
    states: tuple[Float32[np.ndarray, "subreddits dim"], ...]
    lane: int


def embed_lane(item: LaneOfPass, progress: Progress) -> OpenSoftmax:
    """Streams one lane's users; in the last pass, their embeddings and attention go to the files.

    Goes on where the lane was before it was killed.
    """
    inference = _open(item.model_dir, item.graph_dir, item.features_dir, item.settings)
    inference.states = list(item.states)
    graph = inference.graph
    with (
        RowFile(item.scratch_dir / "user_embeddings.npy") as users,
        RowFile(item.scratch_dir / "attention.npy") as attention,
    ):

        def sink(block: Block, embeddings: np.ndarray, alpha: np.ndarray) -> None:
            narrow = embeddings.astype(np.float16)
            if not np.isfinite(narrow).all():
                raise ModelError(
                    f"An embedding of users {block.start} to {block.stop} does not fit float16; "
                    f"the model in {item.model_dir} has diverged: train it again with a lower "
                    "encoder.lr."
                )
            users.write(block.start, narrow)
            attention.write(int(graph.indptr[block.start]), alpha.astype(np.float16))

        def flush() -> None:
            users.flush()
            attention.flush()

        checkpoints = InferenceProgress(
            item.scratch_dir, item.fingerprint, item.settings.checkpoint_seconds, flush
        )
        layer = len(item.states) - 1
        softmax = inference.run_lane(layer, item.lane, sink, progress, checkpoints)
        flush()
    return softmax


class RowFile:
    """Rows of an existing .npy file, written in place.

    By position, not through a memory map: machines that share a file system may write neighbouring
    rows, and a map would write whole pages.
    """

    def __init__(self, path: Path) -> None:
        mapped = map_array(path)
        self._offset, self._row_bytes = mapped.offset, mapped[:1].nbytes
        self._file = os.open(path, os.O_WRONLY)

    def write(self, row: int, values: np.ndarray) -> None:
        """Writes values as rows from `row` on."""
        left = np.ascontiguousarray(values).data.cast("B")
        at = self._offset + row * self._row_bytes
        while left:
            written = os.pwrite(self._file, left, at)
            left, at = left[written:], at + written

    def flush(self) -> None:
        """Brings everything to disk."""
        os.fsync(self._file)

    def __enter__(self) -> RowFile:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)


class _Passes:
    """Progress of one pass as part of all: users × passes, and the time that is left."""

    def __init__(self, progress: Progress, layer: int, layers: int, users: int) -> None:
        self._progress, self._before, self._total = progress, layer * users, layers * users
        self._began, self._first = perf_counter(), -1

    def __call__(self, done: int, total: int, note: str = "") -> None:
        if self._first < 0:
            self._first = done
        speed = (done - self._first) / max(perf_counter() - self._began, 1e-9)
        done += self._before
        left = f", {in_words((self._total - done) / speed)} left" if speed else ""
        self._progress(done, self._total, f"users × passes{left}")


def _open(
    model_dir: Path, graph_dir: Path, features_dir: Path, settings: EncoderSettings
) -> GraphInference:
    graph = InteractionGraph.open(graph_dir)
    with threadpool_limits(1, user_api="blas"):
        return GraphInference(
            load_model(model_dir),
            graph,
            load_subreddit_text(features_dir, graph),
            block_users=settings.inference_block_users,
            lanes=settings.inference_lanes,
        )


def _no_sink(block: Block, embeddings: np.ndarray, alpha: np.ndarray) -> None:
    raise AssertionError("the lanes have sinks of their own")


def _fingerprint(
    model: StoredModel, graph: InteractionGraph, features_dir: Path, settings: EncoderSettings
) -> str:
    """Changes with whatever the bytes of the result depend on.

    The graph's arrays enter by size and time of change: hashing gigabytes would take longer than
    the minute of work that a checkpoint saves.
    """
    text = load_subreddit_text(features_dir, graph)
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
