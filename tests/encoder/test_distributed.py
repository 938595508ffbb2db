"""The training loop shares its work among processes, and runs in mixed precision."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.multiprocessing.spawn import ProcessExitedException

from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.encoder.model_io import load_history, load_model
from zipp_dagster.encoder.peers import Alone
from zipp_dagster.encoder.together import TrainingTask, own_gpus, train_together
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


LONG_REPORT = """
import random
from pathlib import Path

from zipp_dagster.encoder import together
from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.encoder.training import TrainingReport

here = Path(".")
task = together.TrainingTask(here, here, here, None, EncoderSettings(device="cpu"), here, here)
draw = random.Random(0)
history = [{"step": step, "link_loss": draw.random()} for step in range(10_000)]
report = TrainingReport(
    "gatv2", "of the data", 1, 1, 1, 0.1, 10, 5, False, "off", 0, 7, draw.random(), 2.0, 3.0, history
)
# Read by the processes too: they start by this module.
together.train_member = lambda task: report
if __name__ == "__main__":
    assert together.train_together(task, 2) == report
    print("came back")
"""


@pytest.mark.slow
def test_a_report_longer_than_a_pipe_holds_comes_back(tmp_path):
    """A pipe holds 64 KiB: a process that sends more than that waits for a reader."""
    script = tmp_path / "long_report.py"
    script.write_text(LONG_REPORT)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert done.stdout == "came back\n", done.stderr


class DiesInOneOfTwo:
    """Ends every other process that it is sent to."""

    def __reduce__(self):
        name = "__import__('multiprocessing').current_process().name"
        return eval, (f"__import__('os')._exit(3) if int({name}.split('-')[1]) % 2 else None",)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_process_that_dies_ends_the_training(data, settings, tmp_path):
    task = TrainingTask(*data.dirs, DiesInOneOfTwo(), settings, tmp_path, tmp_path)
    with pytest.raises(ProcessExitedException, match="exit code 3"):
        train_together(task, 2)


def test_each_process_needs_a_gpu_of_its_own(monkeypatch):
    assert own_gpus("cpu", 8) is False
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert own_gpus("auto", 2) and own_gpus("cuda", 2)
    with pytest.raises(ValueError, match="train_workers is 3, but this machine has 2 GPUs"):
        own_gpus("cuda", 3)
    with pytest.raises(ValueError, match="cuda:1, one GPU, but encoder.train_workers is 2"):
        own_gpus("cuda:1", 2)


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
