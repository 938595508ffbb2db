"""Another pseudonym key makes every month again, and nothing of the old key stays current."""

from __future__ import annotations

import json
from datetime import datetime

import pyarrow.parquet as parquet
import zstandard

from assets.catalogue import catalogue
from zipp_dagster import runner
from zipp_dagster.platform.lake import Lake
from zipp_dagster.platform.plan import select

MONTHS = ("2024-01", "2024-02")


def test_a_new_key_ingests_every_month_again_under_new_pseudonyms(
    environment, mlflow_store, tmp_path, comment
):
    dumps, home = tmp_path / "dumps", tmp_path / "home"
    dumps.mkdir()
    for month in MONTHS:
        written = int(datetime.fromisoformat(f"{month}-15T00:00:00+00:00").timestamp())
        line = json.dumps(comment(id=f"c{month[-1]}", created_utc=written)).encode() + b"\n"
        (dumps / f"RC_{month}.zst").write_bytes(zstandard.ZstdCompressor().compress(line))
    mlflow_store(home / "mlflow")

    def ingest(key: str) -> tuple[list[str], set[int]]:
        with environment(
            ZIPP_HOME=home, ZIPP_REDDIT__DUMPS_DIR=dumps, ZIPP_REDDIT__PSEUDONYM_KEY=key
        ):
            result = runner.run(runner.local_platform(), select(catalogue(), "+comments"))
        assert result.failed == []
        lake = Lake(home / "lake")
        users = set()
        for month in MONTHS:
            for path in lake.current("comments", month).files():
                users.update(parquet.read_table(path)["user_id"].to_pylist())
        return [name for name in result.made if name.startswith("comments")], users

    every_month = [f"comments[{month}]" for month in MONTHS]
    made, old = ingest("the first secret key")
    assert (sorted(made), len(old)) == (every_month, 1)  # one person, one pseudonym in all months
    assert ingest("the first secret key") == ([], old)
    made, new = ingest("the second secret key")
    assert (sorted(made), len(new)) == (every_month, 1)
    assert not old & new
