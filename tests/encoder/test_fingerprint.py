"""A training's fingerprint changes with what shapes the model, and a finished model is kept."""

from __future__ import annotations

import shutil

import numpy as np
import pyarrow as pa
import pytest

from zipp_dagster.encoder import training
from zipp_dagster.encoder.ablation import run_ablation
from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.encoder.fingerprint import training_fingerprint
from zipp_dagster.encoder.model_io import load_model
from zipp_dagster.encoder.trained_rivals import Training

BRIEF = EncoderSettings(
    hidden=8, heads=2, epochs=1, users_per_batch=128, tuning_variants=1, ablation_seeds=2
)


class Killed(Exception):
    """Stands for a kill -9."""


@pytest.fixture
def fingerprint(data):
    def of(dirs=data.dirs, visual=data.world.image_embeddings, **settings):
        return training_fingerprint(*dirs, visual, BRIEF.model_copy(update=settings), "gatv2")

    return of


def test_settings_that_shape_no_model_do_not_change_it(fingerprint):
    assert fingerprint() == fingerprint(checkpoint_seconds=5.0, device="cpu", bootstrap=77)
    assert fingerprint() != fingerprint(lr=1e-4)


def test_edge_features_and_the_owners_of_images_change_it(data, fingerprint, tmp_path):
    graph = tmp_path / "graph"
    shutil.copytree(data.dirs[0], graph)
    features = np.load(graph / "features.npy")
    features[5, 2] += 1
    np.save(graph / "features.npy", features)
    assert fingerprint(dirs=(graph, *data.dirs[1:])) != fingerprint()
    images = data.world.image_embeddings
    ids = images.column("user_id").to_numpy()[::-1]
    owners = images.set_column(images.schema.get_field_index("user_id"), "user_id", pa.array(ids))
    assert fingerprint(visual=owners) != fingerprint()
    assert fingerprint(visual=owners, image_align_weight=0.0) == fingerprint(
        visual=None, image_align_weight=0.0
    )


def test_how_a_table_is_cut_into_chunks_does_not_change_it(data, fingerprint):
    images = data.world.image_embeddings
    cut = pa.concat_tables([images.slice(0, 7), images.slice(7)])
    assert fingerprint(visual=cut) == fingerprint()


def test_a_killed_ablation_trains_nothing_twice(data, tmp_path, monkeypatch):
    real, trained, allowed = training.train, [], [4]

    def counted(*args, **options):
        if len(trained) == allowed[0]:
            raise Killed
        report = real(*args, **options)
        trained.append((options["architecture"], args[4].seed))
        return report

    monkeypatch.setattr(training, "train", counted)

    def run():
        return run_ablation(*data.dirs, None, BRIEF, tmp_path)

    with pytest.raises(Killed):
        run()
    allowed[0] = 100
    resumed = run()
    architectures = ("gatv2", "graphsage", "lightgcn")
    assert sorted(trained) == sorted((a, seed) for a in architectures for seed in (0, 1))
    again = run()
    assert len(trained) == 6, "a whole ablation trains nothing again"
    assert again.table.equals(resumed.table)


def test_a_model_of_other_settings_or_a_damaged_one_is_trained_again(data, tmp_path):
    def task(**settings):
        chosen = BRIEF.model_copy(update=settings)
        return Training(data.dirs, None, chosen, "lightgcn", tmp_path / "model")

    task().run()
    assert task().finished() and not task(seed=3).finished()
    task(seed=3).run()
    assert load_model(tmp_path / "model").config.training["seed"] == 3
    (tmp_path / "model" / "model.safetensors").write_bytes(b"cut short")
    assert not task(seed=3).finished()
    task(seed=3).run()
    assert task(seed=3).finished()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
