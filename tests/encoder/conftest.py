"""A planted world, its graph, split and features on disk, and one short training run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
import torch

from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.encoder.training import TrainingReport, train
from zipp_dagster.graph.csr import InteractionGraph, build_csr
from zipp_dagster.graph.features import build_subreddit_features, load_subreddit_text
from zipp_dagster.graph.planted import PlantedWorld, planted_world
from zipp_dagster.graph.split import LinkSplit, temporal_split


@dataclass(frozen=True)
class Data:
    root: Path
    world: PlantedWorld
    graph: InteractionGraph
    split: LinkSplit

    @property
    def dirs(self) -> tuple[Path, Path, Path]:
        return self.root / "graph", self.root / "split", self.root / "features"

    @property
    def text(self):
        return load_subreddit_text(self.root / "features", self.graph)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    root = tmp_path_factory.mktemp("planted")
    for name in ("graph", "split", "features"):
        (root / name).mkdir()
    world = planted_world(users=500, subreddits=50, mean_communities=7, topics=6, seed=5)
    pq.write_table(world.interactions, root / "interactions.parquet")
    build_csr([root / "interactions.parquet"], root / "graph", duckdb.connect())
    graph = InteractionGraph.open(root / "graph")
    temporal_split(graph, root / "split", seed=0, unseen_share=0.2)
    build_subreddit_features(graph, world.subreddit_names, world.subreddit_text, root / "features")
    return Data(root, world, graph, LinkSplit.open(root / "split", graph))


@pytest.fixture(scope="session")
def settings() -> EncoderSettings:
    return EncoderSettings(hidden=16, heads=2, users_per_batch=64, epochs=16, patience=20)


@dataclass(frozen=True)
class Trained:
    directory: Path
    report: TrainingReport


@pytest.fixture(scope="session")
def trained(data: Data, settings: EncoderSettings, tmp_path_factory) -> Trained:
    out, scratch = tmp_path_factory.mktemp("model"), tmp_path_factory.mktemp("scratch")
    report = train(*data.dirs, data.world.image_embeddings, settings, out, scratch)
    return Trained(out, report)
