"""SIGKILL in the middle of drawing and of training: nothing is lost, nothing is done twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

DRAWING = """
import json, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from zipp_dagster.imaging import generation
from zipp_dagster.imaging.config import ImagingSettings
from zipp_dagster.imaging.image_files import ImageRequest
from zipp_dagster.imaging.pipelines import load_pipeline

model, home, log = (Path(a) for a in sys.argv[1:4])
settings = ImagingSettings(
    device="cpu", dtype="float32", steps=2, image_size=16, batch_size=4, shard_size=16
)
requests = [ImageRequest(f"c{i}", f"m{i % 2}", f"a cat, number {i}", i) for i in range(40)]
real = generation.save_batch

def saved(pictures, scratch):
    path = real(pictures, scratch)
    with log.open("a") as out:
        out.write("".join(key + "\\n" for key in pictures))
    time.sleep(0.05)
    return path

generation.save_batch = saved
summary = generation.generate(
    requests, load_pipeline(model, None, settings), settings, home / "out", home / "scratch"
)
print(json.dumps({"drawn": summary.drawn, "resumed": summary.resumed}))
"""

TRAINING = """
import sys, time
from pathlib import Path
from zipp_dagster.imaging.config import TrainingSettings
from zipp_dagster.imaging.train import train_models

settings = TrainingSettings(
    text_steps=2, vision_steps=2, vae_steps=2, unet_steps=40, evaluation_steps=60,
    classifier_steps=2, text_batch=4, vision_batch=4, vae_batch=2, unet_batch=4, judge_batch=4,
    pool_blocks=2, pool_block=8, pool_growth=2, save_every_s=0.05, precision="fp32",
)
outcomes = train_models(Path(sys.argv[1]), settings, ["text", "evaluation_encoder", "unet"])
assert all(outcome.finished for outcome in outcomes.values())
"""


def start(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def kill_when(process, happened) -> bool:
    """Kills the process as soon as `happened()`; False where it ended before."""
    while process.poll() is None and not happened():
        time.sleep(0.005)
    if process.poll() is not None:
        return False
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return True


def finish(process) -> str:
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    return output


def test_a_generation_killed_three_times_draws_each_image_once(sd_directory, tmp_path):
    log = tmp_path / "saved.txt"
    log.touch()
    kills = 0
    for wanted in (8, 16, 28):
        process = start(DRAWING, sd_directory, tmp_path / "killed", log)
        kills += kill_when(process, lambda wanted=wanted: log.read_text().count("\n") >= wanted)
    assert kills == 3
    last = json.loads(finish(start(DRAWING, sd_directory, tmp_path / "killed", log)))
    saved = log.read_text().split()
    assert len(saved) == len(set(saved)) == 40
    assert last["drawn"] + last["resumed"] == 40
    assert last["resumed"] >= 28
    finish(start(DRAWING, sd_directory, tmp_path / "whole", tmp_path / "other.txt"))
    for path in sorted((tmp_path / "whole" / "out").iterdir()):
        assert pq.read_table(path).equals(pq.read_table(tmp_path / "killed" / "out" / path.name))


def test_a_training_killed_in_two_stages_ends_with_the_weights_of_an_unbroken_one(tmp_path):
    kills = 0
    for stage in ("evaluation_encoder", "unet"):
        history = tmp_path / "killed" / stage / "history.jsonl"
        process = start(TRAINING, tmp_path / "killed")
        kills += kill_when(process, history.exists)
    assert kills == 2
    finish(start(TRAINING, tmp_path / "killed"))
    finish(start(TRAINING, tmp_path / "whole"))
    for stage in ("text", "evaluation_encoder", "unet"):
        whole, killed = (
            load_file(tmp_path / which / stage / "state.safetensors")
            for which in ("whole", "killed")
        )
        assert whole.keys() == killed.keys()
        assert all(torch.equal(whole[key], killed[key]) for key in whole), stage
