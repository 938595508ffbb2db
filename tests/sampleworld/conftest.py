"""Small worlds that the tests of the sample world share: written once a session, never changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from zipp_dagster.sampleworld.config import WorldSettings
from zipp_dagster.sampleworld.truth import Truth, read_truth
from zipp_dagster.sampleworld.world import WorldReport, generate_world


@dataclass
class World:
    settings: WorldSettings
    folder: Path
    report: WorldReport

    @cached_property
    def truth(self) -> Truth:
        return read_truth(self.folder / "truth")

    def truth_taste(self, author: str, context: str) -> dict[str, str]:
        return self.truth.taste(author, context)


MakeWorld = Callable[..., World]


@pytest.fixture(scope="session")
def make_world(tmp_path_factory: pytest.TempPathFactory) -> MakeWorld:
    def make(**changes: object) -> World:
        settings = WorldSettings.model_validate(
            {"people": 30, "communities": 12, "months": 2, "image_size": 32} | changes
        )
        folder = tmp_path_factory.mktemp("world")
        return World(settings, folder, generate_world(settings, folder))

    return make


@pytest.fixture(scope="session")
def tiny(make_world: MakeWorld) -> World:
    return make_world()


@pytest.fixture(scope="session")
def coupled(make_world: MakeWorld) -> World:
    return make_world(people=400, communities=60, months=3, image_posts_per_person=1.0)


@pytest.fixture(scope="session")
def null(make_world: MakeWorld) -> World:
    return make_world(
        people=400, communities=60, months=3, image_posts_per_person=1.0, taste_coupling=0.0
    )
