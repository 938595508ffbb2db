"""One tiny checkpoint of each class for the whole package's tests."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

_SPEC = importlib.util.spec_from_file_location(
    "tiny_models", Path(__file__).with_name("tiny_models.py")
)
tiny_models = importlib.util.module_from_spec(_SPEC)
sys.modules["tiny_models"] = tiny_models
_SPEC.loader.exec_module(tiny_models)


@pytest.fixture(scope="package", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="package")
def sd_directory(tmp_path_factory):
    return tiny_models.tiny_sd(tmp_path_factory.mktemp("sd") / "model")


@pytest.fixture(scope="package")
def sdxl_directory(tmp_path_factory):
    return tiny_models.tiny_sdxl(tmp_path_factory.mktemp("sdxl") / "model")


@pytest.fixture(scope="package")
def sd3_directory(tmp_path_factory):
    return tiny_models.tiny_sd3(tmp_path_factory.mktemp("sd3") / "model")


@pytest.fixture(scope="package")
def flux_directory(tmp_path_factory):
    return tiny_models.tiny_flux(tmp_path_factory.mktemp("flux") / "model")


@pytest.fixture(scope="package")
def clip_directory(tmp_path_factory):
    return tiny_models.tiny_clip(tmp_path_factory.mktemp("clip") / "model")
