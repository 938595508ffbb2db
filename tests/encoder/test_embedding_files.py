"""The embeddings directory holds everybody, and an interrupted run ends in the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.encoder.embedding_files import embed_all

SETTINGS = EncoderSettings(inference_block_users=40, checkpoint_seconds=0)


class Killed(Exception):
    pass


@pytest.fixture()
def embed(trained, data, tmp_path):
    """Runs `embed_all` into a named directory with one scratch directory for all."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def run(name: str, settings: EncoderSettings = SETTINGS, progress=lambda *_: None):
        out = tmp_path / name
        out.mkdir()
        graph_dir, _, features_dir = data.dirs
        return out, embed_all(
            trained.directory, graph_dir, features_dir, out, scratch, settings, progress
        )

    return run


def contents(directory):
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def test_the_files_hold_embeddings_and_attention_of_every_user(embed, data):
    steps = []
    out, summary = embed("out", progress=lambda done, total, note="": steps.append((done, total)))
    users = np.load(out / "user_embeddings.npy")
    attention = np.load(out / "attention.npy").astype(np.float64)
    assert users.shape == (data.graph.users, 16)
    assert users.dtype == np.float16
    sums = np.add.reduceat(attention, np.asarray(data.graph.indptr[:-1]))
    assert sums == pytest.approx(np.ones(data.graph.users), abs=2e-3)
    assert np.load(out / "states.npy").shape == (3, data.graph.subreddits, 16)
    assert summary.unknown_subreddits == 0
    assert steps[-1] == (2 * data.graph.users, 2 * data.graph.users)


def test_the_same_run_gives_the_same_bytes_and_leaves_no_scratch(embed, tmp_path):
    assert contents(embed("a")[0]) == contents(embed("b")[0])
    assert not list((tmp_path / "scratch").iterdir())


@pytest.mark.parametrize("kill_at", [1, 7, 13, 14, 20, 27])
def test_an_interrupted_run_goes_on_by_user_range_to_the_same_bytes(embed, kill_at, data):
    """Of 2 passes of 13 or 14 blocks: in the first, between them, in the last."""
    whole = contents(embed("whole")[0])
    calls = []

    def kill(done, total, note=""):
        calls.append(done)
        if len(calls) == kill_at:
            raise Killed

    with pytest.raises(Killed):
        embed("killed", progress=kill)
    seen = []
    resumed, _ = embed("resumed", progress=lambda done, total, note="": seen.append(done))
    assert contents(resumed) == whole
    # Not from the start: whatever was done before is told in one piece.
    assert kill_at < 4 or len(seen) < len(calls) + 27 - kill_at
    assert seen[-1] == 2 * data.graph.users


def test_checkpoints_of_another_run_are_not_resumed_from(embed, trained, data):
    expected = contents(embed("expected", SETTINGS.model_copy(update={"inference_lanes": 1}))[0])
    count = []

    def kill(done, total, note=""):
        count.append(done)
        if len(count) == 9:
            raise Killed

    with pytest.raises(Killed):
        embed("killed", progress=kill)
    found, _ = embed("other", SETTINGS.model_copy(update={"inference_lanes": 1}))
    assert contents(found) == expected


def test_a_damaged_checkpoint_is_an_error_that_says_what_to_do(embed, tmp_path):
    (tmp_path / "scratch" / "lane-0-0.safetensors").write_bytes(b"cut")
    with pytest.raises(ValueError, match=r"lane-0-0.safetensors is damaged .*delete it"):
        embed("out")


SCRIPT = """
import sys
from pathlib import Path
from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.encoder.embedding_files import embed_all
import time
model, graph, features, out, scratch = map(Path, sys.argv[1:])
settings = EncoderSettings(inference_block_users=40, checkpoint_seconds=0)
def slow(done, total, note=""):
    time.sleep(0.05)
embed_all(model, graph, features, out, scratch, settings, slow)
"""


@pytest.mark.slow
def test_a_process_killed_in_the_middle_is_resumed_from(embed, trained, data, tmp_path):
    whole = contents(embed("whole")[0])
    out, scratch = tmp_path / "killed", tmp_path / "scratch"
    out.mkdir()
    graph_dir, _, features_dir = data.dirs
    arguments = [str(p) for p in (trained.directory, graph_dir, features_dir, out, scratch)]
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments], env=os.environ)
    deadline = time.monotonic() + 120
    while not list(scratch.glob("lane-1-*.safetensors")):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    resumed, _ = embed("resumed")
    assert contents(resumed) == whole
