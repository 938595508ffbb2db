"""The training loop shares its work among processes, and runs in mixed precision."""

from __future__ import annotations

import numpy as np
import pytest

from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.encoder.model_io import load_history, load_model
from zipp_dagster.encoder.peers import Alone
from zipp_dagster.encoder.together import TrainingTask, train_together
from zipp_dagster.encoder.training import train


@pytest.mark.slow
def test_two_processes_train_one_model_that_another_run_gives_again(data, tmp_path):
    settings = EncoderSettings(hidden=16, heads=2, users_per_batch=64, epochs=3, device="cpu")
    found = []
    for name in ("once", "again"):
        out, scratch = tmp_path / name, tmp_path / f"scratch-{name}"
        out.mkdir()
        scratch.mkdir()
        task = TrainingTask(*data.dirs, data.world.image_embeddings, settings, out, scratch)
        report = train_together(task, 2)
        assert report.epochs == 3 and not list(scratch.iterdir())
        found.append({path.name: path.read_bytes() for path in sorted(out.iterdir())})
    assert found[0] == found[1]


class Recorder(Alone):
    """Keeps the gradients of a step instead of handing them round."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size, self.batches = rank, size, 0

    def average(self, module) -> None:
        self.batches += 1


def test_processes_share_out_the_users_of_a_batch_and_take_the_same_steps(data, settings, tmp_path):
    steps, targets = [], []
    for number, peers in enumerate((Recorder(0, 1), Recorder(0, 2), Recorder(1, 2))):
        out, scratch = tmp_path / str(number), tmp_path / f"scratch{number}"
        out.mkdir()
        scratch.mkdir()
        brief = settings.model_copy(update={"epochs": 2})
        report = train(*data.dirs, None, brief, out, scratch, peers=peers)
        steps.append(peers.batches)
        targets.append(report.target_edges)
        # Only the first of them writes the model.
        assert bool(list(out.iterdir())) == (peers.rank == 0)
    assert len(set(steps)) == 1
    assert targets[1] + targets[2] == pytest.approx(targets[0], rel=0.05)


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
