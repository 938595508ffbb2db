from __future__ import annotations

from pathlib import Path

import pytest

from zipp_dagster.platform.warehouse import Warehouse


def warehouse(folder: Path, memory_limit: str = "1GB", row_bytes: int = 100) -> Warehouse:
    return Warehouse(memory_limit, 1, folder / "a folder & more", row_bytes)


@pytest.mark.parametrize(
    ("text", "size"),
    [("2GB", 2e9), ("512MB", 512e6), ("1.5 TB", 1.5e12), ("1GiB", 2**30), ("4 MiB", 2**22)],
)
def test_a_memory_limit_is_read_as_duckdb_reads_it(tmp_path, text, size):
    assert warehouse(tmp_path, text).memory_bytes == size


def test_a_memory_limit_that_is_no_size_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="'much' is no size such as 2GB"):
        _ = warehouse(tmp_path, "much").memory_bytes


@pytest.mark.parametrize(("rows", "ranges"), [(0, 1), (5_000_000, 1), (5_000_001, 2), (10**9, 200)])
def test_the_groups_of_a_range_fit_into_half_of_the_memory(tmp_path, rows, ranges):
    assert warehouse(tmp_path).ranges(rows) == ranges


def test_a_model_with_few_groups_needs_fewer_ranges(tmp_path):
    assert [warehouse(tmp_path).ranges(10**8, weight) for weight in (1, 0.3, 0.01)] == [20, 6, 1]


def test_both_ways_to_connect_keep_to_the_limits(tmp_path):
    import sqlalchemy

    place = warehouse(tmp_path, "300MB")
    names = ("memory_limit", "threads", "temp_directory")
    query = "SELECT " + ", ".join(f"current_setting('{name}')" for name in names)
    wanted = ("286.1 MiB", 1, str(place.spill_directory))
    with place.connect() as connection:
        [(memory, threads, folder)] = connection.execute(query).fetchall()
        # A folder of its own, gone with the connection: machines may share the spill directory.
        assert (memory, threads, str(Path(folder).parent)) == wanted
    assert not Path(folder).exists()
    with sqlalchemy.create_engine(place.url).connect() as connection:
        assert [tuple(row) for row in connection.exec_driver_sql(query)] == [wanted]
