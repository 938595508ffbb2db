"""The project's own SQL models over folders of Parquet files, without a lake around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from zipp_dagster.platform.contracts import load_contract
from zipp_dagster.platform.sql_models import SqlModel, input_rows, load_models, run_model
from zipp_dagster.platform.warehouse import Warehouse
from zipp_dagster.settings import Settings

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Ran:
    """What a model wrote, and into how many ranges of users it was divided."""

    rows: int
    ranges: int


@dataclass(frozen=True)
class SqlChain:
    """Runs models one by one; tables are `<name>/<month or _>/part-*.parquet` below some folders.

    What a model writes goes below the last of the folders.
    """

    folders: Sequence[Path]
    warehouse: Warehouse
    settings: Settings

    @cached_property
    def models(self) -> dict[str, SqlModel]:
        """All models by name."""
        return {model.name: model for model in load_models(ROOT / "dbt_like_sql")}

    def run(self, name: str, month: str | None) -> Ran:
        """Runs a model for one month, or over all of them."""
        model = self.models[name]
        out = self.folders[-1] / name / (month or "_")
        out.mkdir(parents=True)
        inputs = {table: self.files(table, month) for table in model.inputs}
        variables = {
            variable: month if path == "partition" else self.settings.value(path)
            for variable, path in model.contract.settings.items()
        }
        # There are no pictures here: the table of images is an empty one.
        empty = {"media": load_contract(ROOT / "assets" / "contracts" / "media.yml")}
        ranges = 1
        if model.contract.ranges:
            weight = model.contract.range_weight
            ranges = self.warehouse.ranges(input_rows(model, inputs), weight)
        rows = run_model(model, inputs, empty, variables, self.warehouse.connect, out, ranges)
        return Ran(rows, ranges)

    def files(self, name: str, month: str | None = None) -> list[Path]:
        """The Parquet files of a table, of one month or of all."""
        return [
            file
            for folder in self.folders
            for file in sorted((folder / name).glob(f"{month or '*'}/part-*.parquet"))
        ]
