"""The check of community_rankings finds every way in which the table can be incomplete."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.encoder.embedding_files import embed_all
from zipp_dagster.encoder.ranking_check import check_rankings
from zipp_dagster.encoder.rankings import RankingError, write_rankings


@pytest.fixture(scope="module")
def file(trained, data, tmp_path_factory):
    out, scratch = tmp_path_factory.mktemp("embeddings"), tmp_path_factory.mktemp("scratch")
    embed_all(trained.directory, data.dirs[0], data.dirs[2], out, scratch, EncoderSettings())
    write_rankings(data.dirs[0], out, out / "rankings.parquet", kept=4, block_users=70)
    return out / "rankings.parquet"


def test_a_table_as_written_has_no_fault(file, data):
    assert not any(check_rankings(file, data.graph).values())


def changed(table: pa.Table, column: str, row: int, value) -> pa.Table:
    values = table.column(column).to_pylist()
    values[row] = value
    array = pa.array(values, table.schema.field(column).type)
    return table.set_column(table.column_names.index(column), column, array)


@pytest.mark.parametrize(
    ("fault", "plant"),
    [
        ("missing", lambda t, d: t.filter(pc.not_equal(t["user_id"], d.graph.user_ids[3]))),
        ("unknown", lambda t, d: changed(t, "user_id", len(t) - 1, 2**60)),
        ("with_gaps", lambda t, d: changed(t, "dot_rank", 5, t["dot_rank"][5].as_py() + 1)),
        ("with_gaps", lambda t, d: changed(t, "attention_rank", 5, 0)),
        ("with_too_many_rows", lambda t, d: pa.concat_tables([*[t.slice(0, 1)] * 60, t])),
        ("not_normalised", lambda t, d: changed(t, "attention", 0, 1.5)),
        ("not_normalised", lambda t, d: changed(t, "attention", 0, float("nan"))),
    ],
)
def test_a_planted_fault_is_counted(file, data, tmp_path, fault, plant):
    pq.write_table(plant(pq.read_table(file), data), tmp_path / "bad.parquet", row_group_size=100)
    assert check_rankings(tmp_path / "bad.parquet", data.graph)[fault] > 0


def test_a_file_that_does_not_say_what_it_kept_is_refused(file, data, tmp_path):
    table = pq.read_table(file).replace_schema_metadata()
    pq.write_table(table, tmp_path / "bare.parquet")
    with pytest.raises(RankingError, match="does not say how many ranks it kept"):
        check_rankings(tmp_path / "bare.parquet", data.graph)
