"""Training learns the planted interests, and a killed run resumes to the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from zipp_dagster.encoder import training
from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.encoder.leak_check import largest_change_without_targets
from zipp_dagster.encoder.model_io import ModelError, load_history, load_model
from zipp_dagster.encoder.training import learning_rate, train

FILES = ("model.safetensors", "config.json", "subreddits.json", "history.json")


class Killed(Exception):
    """Stands for a kill -9 between two steps."""


def test_a_trained_model_is_a_directory_without_pickles(trained):
    assert sorted(path.name for path in trained.directory.iterdir()) == sorted(FILES)
    model = load_model(trained.directory)
    assert model.config.architecture == "gatv2"
    assert model.image_head() is not None
    assert json.loads((trained.directory / "config.json").read_text())["training"]["epochs"] == 16


def test_the_report_and_the_history_agree(trained):
    history = load_history(trained.directory)
    assert history == trained.report.history
    assert max(row["validation_hits10"] for row in history) == trained.report.validation_hits
    assert history[-1]["link_loss"] < history[0]["link_loss"]
    assert trained.report.image_align.startswith("on: ")


@pytest.mark.parametrize("kill_at", [1, 6, 11])
def test_a_killed_run_resumes_to_the_same_bytes(data, tmp_path, monkeypatch, kill_at):
    settings = EncoderSettings(
        hidden=8, heads=2, epochs=3, users_per_batch=64, validation_every=1, checkpoint_seconds=0
    )
    images = data.world.image_embeddings
    for name in ("whole", "killed", "scratch", "other"):
        (tmp_path / name).mkdir()
    train(*data.dirs, images, settings, tmp_path / "whole", tmp_path / "other")

    real, calls = training._step, []

    def dying(*args):
        calls.append(1)
        if len(calls) > kill_at:
            raise Killed
        return real(*args)

    monkeypatch.setattr(training, "_step", dying)
    with pytest.raises(Killed):
        train(*data.dirs, images, settings, tmp_path / "killed", tmp_path / "scratch")
    monkeypatch.setattr(training, "_step", real)
    report = train(*data.dirs, images, settings, tmp_path / "killed", tmp_path / "scratch")
    assert report.resumed_at_step == kill_at
    for name in FILES:
        whole, resumed = (tmp_path / part / name for part in ("whole", "killed"))
        assert whole.read_bytes() == resumed.read_bytes(), name
    assert not list((tmp_path / "scratch").iterdir())


SCRIPT = """
import sys
from pathlib import Path
import torch
from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.encoder.training import train
torch.set_num_threads(1)
settings = EncoderSettings(hidden=8, heads=2, epochs=12, users_per_batch=64, checkpoint_seconds=0)
report = train(*map(Path, sys.argv[1:4]), None, settings, *map(Path, sys.argv[4:]))
print(report.resumed_at_step)
"""


@pytest.mark.slow
def test_a_process_killed_while_it_trains_is_resumed_to_the_same_bytes(data, tmp_path):
    def start(name: str) -> subprocess.Popen[str]:
        places = [tmp_path / name, tmp_path / f"{name}-scratch"]
        for place in places:
            place.mkdir(exist_ok=True)
        arguments = [str(place) for place in (*data.dirs, *places)]
        return subprocess.Popen(
            [sys.executable, "-c", SCRIPT, *arguments],
            env=os.environ,
            stdout=subprocess.PIPE,
            text=True,
        )

    first = start("killed")
    deadline = time.monotonic() + 300
    while not list((tmp_path / "killed-scratch").glob("*.safetensors")):
        assert first.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    resumed, whole = start("killed"), start("whole")
    assert int(resumed.communicate()[0]) > 0
    assert int(whole.communicate()[0]) == 0
    for name in FILES:
        assert (tmp_path / "whole" / name).read_bytes() == (
            tmp_path / "killed" / name
        ).read_bytes(), name


def test_a_checkpoint_of_other_settings_is_not_resumed_from(data, tmp_path, monkeypatch):
    settings = EncoderSettings(
        hidden=8, heads=2, epochs=1, users_per_batch=128, checkpoint_seconds=0
    )
    (tmp_path / "out").mkdir(), (tmp_path / "scratch").mkdir()

    def dying(*args):
        raise Killed

    monkeypatch.setattr(training, "_validate", dying)
    with pytest.raises(Killed):
        train(*data.dirs, None, settings, tmp_path / "out", tmp_path / "scratch")
    assert list((tmp_path / "scratch").iterdir())
    monkeypatch.undo()
    other = settings.model_copy(update={"lr": 1e-3})
    report = train(*data.dirs, None, other, tmp_path / "out", tmp_path / "scratch")
    assert report.resumed_at_step == 0


def test_a_damaged_checkpoint_is_an_error_that_says_what_to_do(data, tmp_path):
    (tmp_path / "training.safetensors").write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match="delete it to train from the start"):
        train(*data.dirs, None, EncoderSettings(epochs=1), tmp_path, tmp_path)


def test_without_images_image_align_is_off_and_says_why(data, tmp_path):
    settings = EncoderSettings(hidden=8, heads=2, epochs=1)
    report = train(*data.dirs, None, settings, tmp_path, tmp_path)
    assert report.image_align == "off: there are no image embeddings"
    assert load_model(tmp_path).image_head() is None


def test_early_stopping_keeps_the_best_weights(data, tmp_path):
    settings = EncoderSettings(
        hidden=8, heads=2, epochs=40, users_per_batch=128, patience=1, validation_every=1, lr=0.3
    )
    report = train(*data.dirs, None, settings, tmp_path, tmp_path)
    assert report.stopped_early
    assert report.epochs == report.best_epoch + 1


def test_targets_of_validation_and_test_do_not_reach_the_embeddings(trained, data):
    """Rule 2: rewriting every held-out edge changes nothing that the encoder computes."""
    assert largest_change_without_targets(trained.directory, *data.dirs) == 0


def test_a_split_whose_targets_are_messages_is_found_out(trained, data, monkeypatch):
    from zipp_dagster.encoder import leak_check

    whole = leak_check.GraphInference
    monkeypatch.setattr(
        leak_check, "GraphInference", lambda *a, keep, **k: whole(*a, keep=keep | True, **k)
    )
    assert largest_change_without_targets(trained.directory, *data.dirs) > 0.01


def test_the_rate_warms_up_and_decays():
    settings = EncoderSettings(lr=1.0, warmup_share=0.1)
    rates = [learning_rate(step, 100, settings) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[10] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.05, abs=0.01)


def test_a_damaged_model_is_refused(trained, tmp_path):
    for name in FILES:
        (tmp_path / name).write_bytes((trained.directory / name).read_bytes())
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ModelError, match="is damaged"):
        load_model(tmp_path)


@pytest.mark.parametrize("architecture", ["gatv2", "graphsage", "lightgcn"])
def test_two_runs_with_two_threads_end_in_the_same_bytes(data, tmp_path, architecture):
    settings = EncoderSettings(hidden=8, heads=2, epochs=2, threads=2)
    for name in ("a", "b", "scratch"):
        (tmp_path / name).mkdir()
    for name in ("a", "b"):
        train(
            *data.dirs, data.world.image_embeddings, settings, tmp_path / name,
            tmp_path / "scratch", architecture=architecture,
        )  # fmt: skip
    first, second = (tmp_path / name / "model.safetensors" for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
