"""A planted world as a graph on disk, small enough for every test."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zipp_dagster.graph.csr import InteractionGraph, build_csr
from zipp_dagster.graph.planted import PlantedWorld, planted_world


@pytest.fixture(scope="session")
def world() -> PlantedWorld:
    return planted_world(users=300, subreddits=40, mean_communities=6, seed=3)


@pytest.fixture()
def build(tmp_path: Path):
    """Builds a graph of a table; returns its directory."""

    def make(table: pa.Table, name: str = "graph", **options: object) -> Path:
        source, out = tmp_path / f"{name}.parquet", tmp_path / name
        pq.write_table(table, source)
        out.mkdir()
        build_csr([source], out, duckdb.connect(), **options)
        return out

    return make


@pytest.fixture()
def graph(build, world: PlantedWorld) -> InteractionGraph:
    return InteractionGraph.open(build(world.interactions))
