"""`imaging.retrain` makes models of one's own in place of the packaged ones."""

from __future__ import annotations

import hashlib

import pytest

from zipp_dagster.imaging.models_path import MODELS
from zipp_dagster.imaging.stored_models import stored_model
from zipp_dagster.platform.lake import Lake

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PACKAGED = {
    "diffusion_model": "generator",
    "evaluation_encoder": "evaluation_encoder",
    "factor_classifier": "factor_classifier",
    "vision_encoder": "clip",
}
FEW_STEPS = {
    "PRECISION": "fp32",
    **{
        f"{part}_STEPS": 3 for part in ("TEXT", "VISION", "VAE", "UNET", "EVALUATION", "CLASSIFIER")
    },
    **{f"{part}_BATCH": 4 for part in ("TEXT", "VISION", "VAE", "UNET", "JUDGE")},
    "POOL_BLOCKS": 1,
    "POOL_BLOCK": 32,
}


def hashes(directory):
    """Of each weight file, by its place in the model's directory."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.rglob("*.safetensors")
    }


def test_retraining_makes_every_model_anew_and_only_once(tmp_path, zipp):
    settings = {"ZIPP_IMAGING__RETRAIN": "true"}
    settings |= {f"ZIPP_IMAGING__TRAINING__{name}": value for name, value in FEW_STEPS.items()}
    command = ("run", "--select", ",".join(PACKAGED))
    first = zipp(tmp_path, *command, **settings)
    _, errors = first.communicate(timeout=500)
    assert first.returncode == 0, errors
    lake = Lake(tmp_path / "lake")
    for asset, packaged in PACKAGED.items():
        version = lake.current(asset)
        assert version.manifest.metadata["source"] != "packaged"
        ours, theirs = hashes(stored_model(version.directory).model), hashes(MODELS / packaged)
        assert ours.keys() == theirs.keys()
        # Three steps move every network; what is fitted and not trained may come out the same.
        assert any(ours[file] != theirs[file] for file in ours)
    again = zipp(tmp_path, *command, **settings)
    output, errors = again.communicate(timeout=200)
    assert again.returncode == 0, errors
    assert "nothing to do" in output + errors
