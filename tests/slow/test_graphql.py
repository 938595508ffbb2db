"""A real webserver and daemon, driven as the page in the browser does it: over GraphQL."""

from __future__ import annotations

import os
import subprocess
from typing import Any

import pytest

from tests.slow.conftest import TINY
from tests.slow.topology import Topology, python, until
from zipp_dagster.platform.lake import Lake
from zipp_dagster.platform.registry import CHAMPION, PREVIOUS, Registry
from zipp_dagster.sampleworld.config import WorldSettings
from zipp_dagster.sampleworld.world import generate_world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

MODEL = "zipp-encoder"
MONTHS = ["2024-01", "2024-02", "2024-03"]
DAMAGED = "2024-09"
INGESTED = ["reddit_dumps", "comments", "submissions", "rejected_lines"]
INSTANCE = """\
telemetry: {enabled: false}
nux: {enabled: false}
concurrency: {runs: {max_concurrent_runs: 1}, pools: {default_limit: 2, granularity: op}}
"""
"""One run at once: these tests run on SQLite."""

BACKFILL = """
mutation ($assets: [AssetKeyInput!], $months: [String!]) {
  launchPartitionBackfill(backfillParams: {assetSelection: $assets, partitionNames: $months}) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""
BACKFILL_STATUS = """
query ($id: String!) { partitionBackfillOrError(backfillId: $id) {
  ... on PartitionBackfill { status error { message } runs(limit: 50) {
    id status tags { key value } } } } }
"""
CHECKS = """
query ($asset: AssetKeyInput!) { assetNodeOrError(assetKey: $asset) { ... on AssetNode {
  assetChecksOrError { ... on AssetChecks { checks { name blocking
    executionForLatestMaterialization { status } } } } } } }
"""


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, mlflow_store, request: pytest.FixtureRequest
) -> Topology:
    """Webserver and daemon on a home with three months of dumps, a damaged one, and two models."""
    folder = tmp_path_factory.mktemp("graphql")
    home = folder / "home"
    world = WorldSettings(people=40, communities=12, months=3, image_size=16, bad_lines_per_file=1)
    generate_world(world, folder)
    (folder / "dumps" / f"RC_{DAMAGED}.zst").write_bytes(b"this is no zstandard frame" * 100)
    (home / "dagster").mkdir(parents=True)
    (home / "dagster" / "dagster.yaml").write_text(INSTANCE)
    mlflow_store(home / "mlflow")
    registry = Registry.local(home / "mlflow", None, "zipp")
    for number in (1, 2):
        files = folder / f"model-{number}"
        files.mkdir()
        (files / "config.json").write_text("{}")
        with registry.run("encoder", {}, {}) as tracker:
            registry.register(tracker, MODEL, files, asset="gat_checkpoint",
                              lake_version=f"lake-{number}", metrics={}, tags={})  # fmt: skip
    registry.promote(MODEL, 1, who="ann", why="first")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("ZIPP_", "DAGSTER_"))}
    environment = (
        inherited
        | {k: v for k, v in TINY.items() if "SAMPLEWORLD" not in k}
        | {
            "ZIPP_HOME": str(home),
            "ZIPP_REDDIT__DUMPS_DIR": str(folder / "dumps"),
            "DAGSTER_HOME": str(home / "dagster"),
            # A loaded machine is slow, not broken.
            "DAGSTER_GRPC_TIMEOUT_SECONDS": "600",
        }
    )
    subprocess.run([*python("zipp_dagster.cli"), "bootstrap"], env=environment, check=True)
    running = Topology(folder, environment)
    request.addfinalizer(running.stop)
    space = folder / "workspace.yaml"
    port = running.ports["code"]
    space.write_text(
        f"load_from:\n- grpc_server: {{host: 127.0.0.1, port: {port}, location_name: zipp}}\n"
    )
    running.start("code", *python("dagster"), "code-server", "start", "-h", "127.0.0.1", "-p",
                  str(port), "-m", "zipp_dagster.definitions")  # fmt: skip
    running.start("webserver", *python("dagster_webserver"), "-h", "127.0.0.1", "-p",
                  str(running.ports["webserver"]), "-w", str(space))  # fmt: skip
    running.start("daemon", *python("dagster._daemon"), "run", "-w", str(space))
    until("the code location is loaded", lambda: running.location() == "LOADED")
    return running


def lake(server: Topology) -> Lake:
    return Lake(server.folder / "home" / "lake")


def keys(*names: str) -> list[dict[str, Any]]:
    return [{"path": [name]} for name in names]


def test_an_asset_is_materialised_and_the_page_shows_its_checks(server):
    for asset in ("sample_world", "erasures"):
        run = server.launch("full_pipeline", keys(asset))
        assert server.ended(run)["status"] == "SUCCESS"
    assert lake(server).current("erasures")
    found = server.ask(CHECKS, asset=keys("erasures")[0])["assetNodeOrError"]
    checks = found["assetChecksOrError"]["checks"]
    assert checks
    assert {c["executionForLatestMaterialization"]["status"] for c in checks} == {"SUCCEEDED"}


def backfill(server: Topology, months: list[str], assets: list[str]) -> dict[str, Any]:
    begun = server.ask(BACKFILL, assets=keys(*assets), months=months)["launchPartitionBackfill"]
    assert begun["__typename"] == "LaunchBackfillSuccess", begun

    def ended() -> Any:
        now = server.ask(BACKFILL_STATUS, id=begun["backfillId"])["partitionBackfillOrError"]
        return now if now["status"].startswith(("COMPLETED", "FAILED", "CANCELED")) else None

    return dict(until("the backfill ends", ended, 600))


def told(server: Topology, done: dict[str, Any]) -> str:
    """What went wrong in a backfill."""
    failed = [run["id"] for run in done["runs"] if run["status"] == "FAILURE"]
    return "\n".join([str(done["error"]), *(server.why(run) for run in failed)])


def test_a_backfill_makes_three_months_one_run_each(server):
    done = backfill(server, MONTHS, INGESTED)
    assert done["status"] == "COMPLETED_SUCCESS", told(server, done)
    partitions = [
        tag["value"]
        for run in done["runs"]
        for tag in run["tags"]
        if tag["key"] == "dagster/partition"
    ]
    assert sorted(partitions) == MONTHS
    assert {run["status"] for run in done["runs"]} == {"SUCCESS"}
    assert lake(server).partitions("rejected_lines") == MONTHS


def test_a_failed_blocking_check_skips_what_is_downstream_and_stops_no_other_month(server):
    done = backfill(server, [DAMAGED, MONTHS[0]], INGESTED)
    by_month = {
        tag["value"]: run
        for run in done["runs"]
        for tag in run["tags"]
        if tag["key"] == "dagster/partition"
    }
    assert set(by_month) == {MONTHS[0], DAMAGED}, told(server, done)
    assert by_month[MONTHS[0]]["status"] == "SUCCESS", told(server, done)
    damaged = by_month[DAMAGED]
    assert damaged["status"] == "FAILURE"
    steps = server.steps(damaged["id"])
    assert steps["reddit_dumps"] == "FAILURE"
    made = {name for name, status in steps.items() if status == "SUCCESS"}
    assert made.isdisjoint(INGESTED)
    assert {steps.get(name, "SKIPPED") for name in INGESTED[1:]} <= {"SKIPPED"}
    # Kept for inspection, never current.
    assert DAMAGED not in lake(server).partitions("reddit_dumps")
    assert lake(server).versions("reddit_dumps", DAMAGED)[0].manifest.rejected
    assert lake(server).partitions("rejected_lines") == MONTHS


def test_a_version_is_promoted_and_rolled_back(server):
    registry = Registry.local(server.folder / "home" / "mlflow", None, "zipp")

    def champions() -> tuple[int, int]:
        found = [registry.by_alias(MODEL, alias) for alias in (CHAMPION, PREVIOUS)]
        return tuple(entry.version if entry else 0 for entry in found)  # type: ignore[return-value]

    assert champions() == (1, 0)
    promotion = {"model": MODEL, "version": 2, "why": "better", "who": "the page"}
    run = server.launch("promote_model", config={"promote_version": promotion})
    assert server.ended(run)["status"] == "SUCCESS", server.why(run)
    assert champions() == (2, 1)
    rollback = {"model": MODEL, "why": "odd rankings", "who": "the page"}
    run = server.launch("roll_back_model", config={"roll_back_version": rollback})
    assert server.ended(run)["status"] == "SUCCESS"
    assert champions() == (1, 2)
    moves = [(m.before, m.after, m.who) for m in registry.moves(MODEL)]
    assert moves[-2:] == [(1, 2, "the page"), (2, 1, "the page")]
    wrong = promotion | {"version": 9}
    run = server.launch("promote_model", config={"promote_version": wrong})
    assert server.ended(run)["status"] == "FAILURE" and champions() == (1, 2)
