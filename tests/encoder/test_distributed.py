"""The training loop shares its work among processes, and runs in mixed precision."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from zipp_dagster.encoder.model_io import load_history, load_model
from zipp_dagster.encoder.training import train

RANK = """
import sys
from pathlib import Path
import torch.distributed as dist
from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.encoder.training import train

rank, root, out = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
dist.init_process_group("gloo", init_method=f"file://{out}/meet", rank=rank, world_size=2)

def average(module):
    for parameter in module.parameters():
        if parameter.grad is not None:
            dist.all_reduce(parameter.grad)
            parameter.grad /= 2

for name in ("model", "scratch"):
    (out / f"{name}{rank}").mkdir()
settings = EncoderSettings(hidden=16, heads=2, users_per_batch=64, epochs=2, device="cpu")
train(
    root / "graph", root / "split", root / "features", None, settings, out / f"model{rank}",
    out / f"scratch{rank}", rank=rank, world_size=2, sync=average,
)
"""


@pytest.mark.slow
def test_two_processes_that_average_their_gradients_end_in_one_model(data, tmp_path):
    command = [sys.executable, "-c", RANK]
    processes = [
        subprocess.Popen([*command, str(rank), str(data.root), str(tmp_path)], env=os.environ)
        for rank in range(2)
    ]
    assert [process.wait(timeout=300) for process in processes] == [0, 0]
    first, second = (load_model(tmp_path / f"model{rank}").tensors for rank in range(2))
    for name, tensor in first.items():
        assert (tensor == second[name]).all(), name


def test_mixed_precision_trains_to_finite_weights(data, settings, tmp_path):
    out, scratch = tmp_path / "model", tmp_path / "scratch"
    out.mkdir()
    scratch.mkdir()
    half = settings.model_copy(update={"precision": "bf16", "epochs": 4})
    train(*data.dirs, data.world.image_embeddings, half, out, scratch)
    rows = load_history(out)
    assert rows[-1]["link_loss"] < rows[0]["link_loss"]
    # Autocast computes in half precision; what is kept is float32.
    tensors = load_model(out).tensors
    assert all(t.dtype == np.float32 for name, t in tensors.items())
