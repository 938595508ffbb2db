"""People who came later embed as a whole inference would have embedded them, and move nobody."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.encoder.embedding_files import embed_all
from zipp_dagster.encoder.model_io import ModelError
from zipp_dagster.encoder.new_users import embed_new_users
from zipp_dagster.graph.features import build_subreddit_features


@pytest.fixture(scope="module")
def dirs(trained, data, tmp_path_factory):
    """Model, graph, features and embeddings, as `embed_new_users` takes them."""
    out, scratch = tmp_path_factory.mktemp("embeddings"), tmp_path_factory.mktemp("scratch")
    graph_dir, _, features_dir = data.dirs
    embed_all(trained.directory, graph_dir, features_dir, out, scratch, EncoderSettings())
    return trained.directory, graph_dir, features_dir, out


@pytest.fixture(scope="module")
def some(data) -> pa.Table:
    """The interactions of the users 10 to 29, in random order."""
    ids = pa.array(np.asarray(data.graph.user_ids[10:30]))
    table = data.world.interactions
    rows = table.filter(pc.is_in(table["user_id"], ids))
    return rows.take(np.random.default_rng(0).permutation(len(rows)))


def test_known_interactions_embed_as_in_the_whole_inference(dirs, some, data):
    found = embed_new_users(some, *dirs)
    assert found.user_ids.tolist() == data.graph.user_ids[10:30].tolist()
    stored = np.load(dirs[3] / "user_embeddings.npy")[10:30].astype(np.float32)
    assert found.embeddings == pytest.approx(stored, abs=2e-3)  # stored in half precision
    attention = np.load(dirs[3] / "attention.npy")
    low, high = data.graph.indptr[10], data.graph.indptr[30]
    assert found.communities["attention"].to_numpy() == pytest.approx(
        attention[low:high].astype(np.float64), abs=1e-3
    )
    assert found.unknown_links == 0


def test_the_files_of_everybody_else_do_not_change(dirs, some):
    before = {path.name: path.read_bytes() for path in dirs[3].iterdir()}
    embed_new_users(some, *dirs)
    assert before == {path.name: path.read_bytes() for path in dirs[3].iterdir()}


def test_unknown_communities_are_left_out_and_a_user_without_others_embeds(dirs, some):
    stranger = some.slice(0, 2).set_column(
        some.column_names.index("subreddit"), "subreddit", pa.array(["nowhere", "elsewhere"])
    ).set_column(
        some.column_names.index("user_id"), "user_id", pa.array([7, 7], pa.uint64())
    )  # fmt: skip
    found = embed_new_users(pa.concat_tables([some, stranger]), *dirs)
    alone = embed_new_users(some, *dirs)
    assert found.unknown_links == 2
    assert found.user_ids[0] == 7
    assert np.isfinite(found.embeddings[0]).all()
    assert found.embeddings[1:] == pytest.approx(alone.embeddings, abs=1e-6)
    for name in ("user_id", "subreddit"):
        assert found.communities[name].equals(alone.communities[name])


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("recency", [float("nan")], "recency is nan in row 0"),
        ("posts", [-1.0], "posts is -1.0 in row 0"),
        ("score_log", [None], "score_log is null in row 0"),
    ],
)
def test_bad_numbers_are_refused_with_their_row(dirs, some, column, values, message):
    one = some.slice(0, 1)
    bad = one.set_column(one.column_names.index(column), column, pa.array(values, pa.float64()))
    with pytest.raises(ValueError, match=message):
        embed_new_users(bad, *dirs)


def test_a_repeated_link_and_a_missing_column_are_refused(dirs, some):
    with pytest.raises(ValueError, match="two rows for user"):
        embed_new_users(pa.concat_tables([some, some.slice(3, 1)]), *dirs)
    with pytest.raises(ValueError, match=r"lacks the columns \['recency'\]"):
        embed_new_users(some.drop_columns(["recency"]), *dirs)


def test_embeddings_of_other_features_are_refused(dirs, some, data, tmp_path):
    shuffled = data.world.subreddit_text[::-1].copy()
    build_subreddit_features(data.graph, data.world.subreddit_names, shuffled, tmp_path)
    with pytest.raises(ModelError, match="materialise user_embeddings again"):
        embed_new_users(some, dirs[0], dirs[1], tmp_path, dirs[3])
