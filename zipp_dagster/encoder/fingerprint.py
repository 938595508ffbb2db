"""What a training depends on, as one hash: what a checkpoint and a finished model must agree with.

What lives here: the hash of settings and data. What does not: the files that carry it (`checkpoint`,
`trained_rivals`).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zipp_dagster.encoder.config import Architecture, EncoderSettings
from zipp_dagster.encoder.models import training_record
from zipp_dagster.graph.features import load_subreddit_text
from zipp_dagster.graph.split import LinkSplit
from zipp_dagster.graph.store import InteractionGraph

IMAGE_COLUMNS = ("user_id", "embedding", "subreddit")
ROWS_AT_ONCE = 65_536


def training_fingerprint(
    graph_dir: Path,
    split_dir: Path,
    features_dir: Path,
    visual: pa.Table | None,
    settings: EncoderSettings,
    architecture: Architecture,
    processes: int = 1,
) -> str:
    """SHA-256 of all that shapes a trained model; arguments as those of `training.train`.

    Settings that only say where and how a training runs (`EncoderSettings.operational`) are not in
    it. Images count where ImageAlign is on, and then whose they are as well.

    Raises:
        GraphError: damaged inputs.
    """
    graph = InteractionGraph.open(graph_dir)
    split = LinkSplit.open(split_dir, graph)
    shaping = training_record(settings).items()
    record = {
        "architecture": architecture,
        "settings": {k: v for k, v in shaping if k not in EncoderSettings.operational},
        "subreddits": graph.subreddit_names,
        "processes": processes,
    }
    digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode())
    for array in (
        graph.indptr,
        graph.subreddit,
        graph.features,
        split.roles,
        split.user_roles,
        load_subreddit_text(features_dir, graph),
    ):
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    if visual is not None and settings.image_align_weight > 0:
        # Whose an image is follows from the ids on both sides.
        digest.update(np.ascontiguousarray(graph.user_ids).data)
        for name in IMAGE_COLUMNS:
            if name in visual.column_names:
                _add_column(digest, name, visual.column(name))
    return digest.hexdigest()


def _add_column(digest: hashlib._Hash, name: str, column: pa.ChunkedArray) -> None:
    """The column's values; how they are cut into chunks does not count."""
    digest.update(f"{name} {column.type} {len(column)}".encode())
    for start in range(0, len(column), ROWS_AT_ONCE):
        part = column.slice(start, ROWS_AT_ONCE).combine_chunks()
        if pa.types.is_list(part.type) or pa.types.is_fixed_size_list(part.type):
            lengths = pc.list_value_length(part).fill_null(-1)
            digest.update(np.ascontiguousarray(lengths.to_numpy(zero_copy_only=False)).data)
            part = part.flatten()
        if pa.types.is_primitive(part.type):
            values = part.to_numpy(zero_copy_only=False)
            digest.update(np.ascontiguousarray(values).data)
        else:
            digest.update(json.dumps(part.to_pylist()).encode())
