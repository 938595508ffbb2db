from __future__ import annotations

from pathlib import Path

import pytest

from assets.catalogue import catalogue
from tests.erasing.place import SELECTION, WORLD, copied, most_active, settings
from zipp_dagster import runner
from zipp_dagster.platform.plan import select
from zipp_dagster.sampleworld.config import WorldSettings
from zipp_dagster.sampleworld.world import generate_world


@pytest.fixture(scope="module")
def template(tmp_path_factory, environment, mlflow_store) -> tuple[Path, Path]:
    """A home on which everything was made once, and the dump folder."""
    folder = tmp_path_factory.mktemp("template")
    generate_world(WorldSettings.model_validate(WORLD), folder)
    home = folder / "home"
    mlflow_store(home / "mlflow")
    with settings(environment, home, folder / "dumps"):
        platform = runner.local_platform()
        result = runner.run(platform, select(catalogue(), SELECTION))
        assert result.failed == []
    return home, folder / "dumps"


@pytest.fixture
def place(template, environment, tmp_path):
    with copied(template, environment, tmp_path) as place:
        yield place


@pytest.fixture
def somebody(place) -> str:
    return most_active(place)
