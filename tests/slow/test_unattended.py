"""Nobody at the keyboard: a new dump file flows to fresh embeddings, by sensors and conditions."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.slow.conftest import TINY
from tests.slow.topology import Topology, python, until
from zipp_dagster.platform.lake import Lake
from zipp_dagster.platform.lineage import lineage_tree
from zipp_dagster.sampleworld.config import WorldSettings
from zipp_dagster.sampleworld.world import generate_world

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

LAST = "2024-03"


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three months of dump files of a world of forty people."""
    folder = tmp_path_factory.mktemp("world")
    world = WorldSettings(people=40, communities=12, months=3, image_size=16, bad_lines_per_file=1)
    generate_world(world, folder)
    return folder / "dumps"


@pytest.fixture(scope="module")
def platform(
    tmp_path_factory: pytest.TempPathFactory, later: Path, request: pytest.FixtureRequest
) -> tuple[Topology, Path]:
    """Two months made by `zipp run`; then the webserver and the daemon, everything switched on."""
    folder = tmp_path_factory.mktemp("unattended")
    dumps = folder / "dumps"
    dumps.mkdir()
    for path in later.iterdir():
        if LAST not in path.name:
            shutil.copy(path, dumps)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("ZIPP_", "DAGSTER_"))}
    environment = (
        inherited
        | {k: v for k, v in TINY.items() if "SAMPLEWORLD" not in k}
        | {
            "ZIPP_HOME": str(folder / "home"),
            "ZIPP_REDDIT__DUMPS_DIR": str(dumps),
            "ZIPP_OPERATION__WATCH": "true",
            "ZIPP_ENCODER__EPOCHS": "2",
            "DAGSTER_HOME": str(folder / "home" / "dagster"),
            # A loaded machine is slow, not broken.
            "DAGSTER_GRPC_TIMEOUT_SECONDS": "600",
        }
    )
    subprocess.run(
        [*python("zipp_dagster.cli"), "run", "--select", "+user_embeddings"],
        env=environment,
        check=True,
        capture_output=True,
    )
    running = Topology(folder, environment, "zipp_dagster.definitions")
    request.addfinalizer(running.stop)
    workspace = ["-m", "zipp_dagster.definitions"]
    running.start("webserver", *python("dagster_webserver"), "-h", "127.0.0.1", "-p",
                  str(running.ports["webserver"]), *workspace)  # fmt: skip
    running.start("daemon", *python("dagster._daemon"), "run", *workspace)
    until("the code location is loaded", lambda: running.location() == "LOADED")
    return running, dumps


def months_behind(home: Path, asset: str) -> set[str]:
    """The months of the comments that an asset's current version was made from."""
    nodes = lineage_tree(Lake(home / "lake"), asset).walk()
    return {node.partition or "" for node in nodes if node.asset == "comments"}


def test_a_new_dump_file_flows_to_fresh_embeddings(platform, later):
    running, dumps = platform
    home = running.folder / "home"
    assert months_behind(home, "user_embeddings") == {"2024-01", "2024-02"}
    for path in later.iterdir():
        if LAST in path.name:
            half = path.stat().st_size // 2
            old = time.time() - 3600
            target = dumps / path.name
            target.write_bytes(path.read_bytes()[:half])
            os.utime(target, (old, old))  # a copy that keeps the time of the original
    time.sleep(5)
    for path in later.iterdir():
        if LAST in path.name:
            shutil.copy2(path, dumps)
    until(
        "embeddings made from three months",
        lambda: months_behind(home, "user_embeddings") == {"2024-01", "2024-02", LAST},
        900,
    )
