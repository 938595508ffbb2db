"""From dump files to the interaction table, through Dagster, on a world of forty people."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from assets.catalogue import catalogue
from zipp_dagster import runner
from zipp_dagster.platform.lake import Lake
from zipp_dagster.platform.lineage import lineage_tree, verify
from zipp_dagster.platform.plan import select
from zipp_dagster.reddit.dumps import DumpError
from zipp_dagster.sampleworld.config import WorldSettings
from zipp_dagster.sampleworld.world import generate_world

WORLD = {"people": 40, "communities": 12, "image_size": 16, "bad_lines_per_file": 1}
JANUARY, FEBRUARY = "2024-01", "2024-02"


@dataclass
class Watch:
    """An observer that remembers."""

    started_: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def started(self, asset: str, partition: str | None) -> None:
        self.started_.append(asset)

    def progressed(self, done: int, total: int, note: str = "") -> None:
        pass

    def finished(self, outcome) -> None:
        self.errors += [r.outcome.description for r in outcome.failed_blocking_checks]

    def failed(self, asset: str, partition: str | None, error: BaseException) -> None:
        self.errors.append(f"{asset}: {error}")


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """A folder with the dumps of two months."""
    folder = tmp_path_factory.mktemp("world")
    generate_world(WorldSettings.model_validate(WORLD | {"months": 2}), folder)
    return folder / "dumps"


def copy_months(world: Path, folder: Path, *months: str) -> Path:
    folder.mkdir(exist_ok=True)
    for month in months:
        for path in world.glob(f"*{month}*"):
            shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def place(environment, mlflow_store) -> Callable:
    """`with place(home, …):` a ZIPP_HOME with a few settings."""

    @contextmanager
    def at(home: Path, **settings: object):
        mlflow_store(home / "mlflow")
        small = {"ZIPP_WAREHOUSE__THREADS": 1, "ZIPP_WAREHOUSE__MEMORY_LIMIT": "512MB"}
        with environment(ZIPP_HOME=home, **small, **settings):
            yield

    return at


def run(expression: str = "+interactions", **options) -> tuple[runner.RunResult, Watch]:
    watch = Watch()
    chosen = select(catalogue(), expression)
    result = runner.run(runner.local_platform(), chosen, observer=watch, **options)
    return result, watch


@pytest.fixture(scope="module")
def ingested(world, place, tmp_path_factory):
    """January in a folder of the user's, ingested up to the interactions."""
    root = tmp_path_factory.mktemp("ingested")
    dumps = copy_months(world, root / "dumps", JANUARY)
    with place(root / "home", ZIPP_REDDIT__DUMPS_DIR=dumps):
        result, watch = run()
        yield dumps, Lake(root / "home" / "lake"), result, watch


def test_the_first_run_makes_every_selected_asset(ingested):
    _, lake, result, watch = ingested
    assert (result.failed, watch.errors, result.fresh) == ([], [], [])
    monthly = {"comments[2024-01]", "submissions[2024-01]", "int_activity_monthly[2024-01]"}
    assert monthly | {"benchmark_holdout", "image_posts", "interactions"} <= set(result.made)
    assert lake.current("interactions").manifest.rows > 40
    assert lake.current("sample_world").skipped == "real dumps are read: reddit.dumps_dir is set"
    assert lake.current("media", JANUARY).skipped is not None


def test_every_run_is_in_the_dagster_instance_with_lineage_and_checks(ingested):
    import dagster as dg

    from zipp_dagster.operation.instance import open_instance

    _, lake, result, _ = ingested
    instance = open_instance(lake.root.parent)
    assert {instance.get_run_by_id(run).status.value for run in result.runs} == {"SUCCESS"}
    event = instance.get_latest_materialization_event(dg.AssetKey("interactions"))
    metadata = event.asset_materialization.metadata
    current = lake.current("interactions")
    assert metadata["zipp/version"].value == current.id
    assert metadata["zipp/inputs"].value == [ref.to_json() for ref in current.manifest.inputs]
    assert metadata["dagster/row_count"].value == current.manifest.rows
    sources = metadata["dagster/column_lineage"].value.deps_by_column["comments"]
    assert {dep.asset_key.to_user_string() for dep in sources} == {"int_activity_monthly"}
    assert instance.get_dynamic_partitions("months") == [JANUARY]


def test_the_lineage_of_the_interactions_reaches_every_dump_file_and_is_intact(ingested):
    dumps, lake, _, _ = ingested
    files = {f for node in lineage_tree(lake, "interactions").walk() for f in node.external_files}
    assert files == {str(path) for path in dumps.iterdir()}
    assert verify(lake).passed


def test_the_second_run_makes_nothing(ingested):
    result, watch = run()
    assert (result.made, result.failed, result.runs, watch.started_) == ([], [], [], [])
    assert "interactions" in result.fresh


def test_a_new_month_makes_that_month_and_what_is_made_of_all_months(ingested, world):
    dumps, lake, _, _ = ingested
    before = lake.current("int_activity_monthly", JANUARY)
    copy_months(world, dumps, FEBRUARY)
    result, watch = run()
    assert (result.failed, watch.errors) == ([], [])
    monthly = {name for name in result.made if "[" in name}
    assert monthly and all(name.endswith(f"[{FEBRUARY}]") for name in monthly)
    whole = set(result.made) - monthly
    assert whole == {
        n for n in catalogue().upstream("interactions") if not catalogue()[n].partitioned
    } - {
        "erasures",
        "sample_world",
    }
    assert lake.current("int_activity_monthly", JANUARY) == before


def test_the_sample_world_is_generated_where_no_dumps_are_named(place, tmp_path):
    names = {f"ZIPP_SAMPLEWORLD__{key.upper()}": value for key, value in WORLD.items()}
    with place(tmp_path / "home", ZIPP_SAMPLEWORLD__MONTHS=2, **names):
        result, watch = run("+reddit_dumps")
        assert watch.errors == []
        assert result.made == ["sample_world", "reddit_dumps[2024-01]", "reddit_dumps[2024-02]"]
        again, _ = run("+reddit_dumps")
        assert again.made == []
    version = Lake(tmp_path / "home" / "lake").current("reddit_dumps", JANUARY)
    assert version.manifest.metadata["source"] == "sample world"


@pytest.mark.parametrize("folder", ["missing", "empty"])
def test_a_folder_without_dumps_is_one_clear_error_before_anything_runs(place, tmp_path, folder):
    dumps = tmp_path / folder
    if folder == "empty":
        dumps.mkdir()
    with (
        place(tmp_path / "home", ZIPP_REDDIT__DUMPS_DIR=dumps),
        pytest.raises(DumpError, match=f"{dumps}"),
    ):
        run()
    assert Lake(tmp_path / "home" / "lake").assets() == []


@pytest.mark.parametrize(
    ("fault", "words"),
    [("no zstd at all", "RC_2024-01.zst"), ("cut off in the middle", "RC_2024-01.zst")],
)
def test_a_corrupt_dump_is_one_clear_error_and_nothing_of_it_is_published(
    world, place, tmp_path, fault, words
):
    dumps = copy_months(world, tmp_path / "dumps", JANUARY)
    path = dumps / "RC_2024-01.zst"
    whole = path.read_bytes()
    path.write_bytes(b"not a dump" * 9 if fault == "no zstd at all" else whole[: len(whole) // 2])
    with place(tmp_path / "home", ZIPP_REDDIT__DUMPS_DIR=dumps):
        result, watch = run()
        (error,) = watch.errors
        assert words in error
        assert "comments[2024-01]" in result.failed and "interactions" in result.failed
        lake = Lake(tmp_path / "home" / "lake")
        assert lake.find("comments", JANUARY) is None and lake.find("interactions") is None
        assert list(lake.root.glob(".drafts/*")) == []
        if fault == "cut off in the middle":
            path.write_bytes(whole)
            repaired, watch = run("+stg_comments")
            assert watch.errors == [] and "stg_comments[2024-01]" in repaired.made
