"""Encoders on anybody's CSV: what is counted, what is scored, and what is refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.encoder.csv_links import TableError, read_links
from zipp_dagster.encoder.tables import evaluate_tables

SETTINGS = EncoderSettings(hidden=16, heads=2, users_per_batch=64, tuning_variants=1)


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def planted_links(users: int, groups: int, items: int) -> list[list[str]]:
    """Each user's items, in random order: all but a few of one group of items."""
    rng = np.random.default_rng(3)
    links = []
    for user in range(users):
        chosen = rng.permutation(items)[: items - 3]
        links.append([f"group {user % groups}, item {item}" for item in chosen])
    return links


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = tmp_path_factory.mktemp("tables")
    train, test = ["user,item,count"], ["item,user"]
    for user, items in enumerate(planted_links(users=120, groups=6, items=12)):
        train += [f'user é{user},"{item}",{1 + user % 4}' for item in items[:-1]]
        test.append(f'"{items[-1]}",user é{user}')
    # What must be counted and left out.
    train.append(train[1])
    test += [test[1], '"group 0, item 0",nobody', "nothing,user é1"]
    known = train[1].rsplit(",", 1)[0].split(",", 1)
    test.append(f"{known[1]},{known[0]}")
    train_file, test_file = write(folder / "a.csv", *train), write(folder / "b.csv", *test)
    seen: list[tuple[int, int]] = []
    result = evaluate_tables(
        train_file, test_file, SETTINGS, lambda done, total, note="": seen.append((done, total))
    )
    return result | {"progress": seen}


def test_the_document_counts_users_items_links_and_what_was_left_out(planted: dict) -> None:
    assert planted["users"] == 120
    assert planted["items"] == 72
    assert planted["train_links"] == 120 * 8
    assert planted["test_links"] == 120
    assert planted["dropped"] == {
        "train_repeated_rows": 1,
        "test_repeated_rows": 1,
        "test_rows_unknown_user": 1,
        "test_rows_unknown_item": 1,
        "test_links_in_train": 1,
    }


def test_every_encoder_finds_planted_groups_that_popularity_cannot(planted: dict) -> None:
    rows = {row["encoder"]: row for row in planted["results"]}
    trained = ["lightgcn", "graphsage", "gatv2"]
    assert list(rows) == ["popularity", "tfidf_svd", "tfidf_nmi", *trained]
    for row in rows.values():
        assert list(row) == ["encoder", "hits10", "hits50", "mrr", "seconds"]
        assert 0 < row["mrr"] <= 1 and row["hits10"] <= row["hits50"] and row["seconds"] >= 0
    # Four items of the own group are left, so a rank of at most 4 is certain to be possible.
    for name in ("tfidf_svd", "tfidf_nmi", *trained):
        assert rows[name]["hits10"] > 0.9
        assert rows[name]["mrr"] > 0.35 > 2 * rows["popularity"]["mrr"]


def test_every_encoder_has_the_same_number_of_tuning_runs(planted: dict) -> None:
    counts = Counter(run["encoder"] for run in planted["tuning"])
    assert set(counts.values()) == {6}
    assert len(counts) == 5


def test_progress_never_goes_back_and_ends_complete(planted: dict) -> None:
    done = [entry[0] for entry in planted["progress"]]
    assert done == sorted(done) and planted["progress"][-1] == (600, 600)


def test_counts_of_repeated_rows_are_added_and_a_missing_count_is_one(tmp_path: Path) -> None:
    links = read_links(write(tmp_path / "a.csv", "Item, User ,count", "x,u,2", "y,u,1", "x,u,3"))
    assert (links.users, links.items, links.repeated) == (["u"], ["x", "y"], 1)
    assert links.counts.tolist() == [5, 1]
    assert read_links(write(tmp_path / "b.csv", "user,item", "u,x")).counts.tolist() == [1]


def test_a_byte_order_mark_and_other_columns_are_no_hindrance(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("\ufeffuser,year,item\r\nu,2020,x\r\n\r\n".encode())
    assert read_links(path).items == ["x"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("user,item,count\n", "no rows"),
        ("user,thing\na,b\n", r"line 1: there is no column 'item'"),
        ("user,user,item\na,b,c\n", "two columns named 'user'"),
        ("user,item,count\na,b,1\na,c,many\n", "line 3: count 'many' is not a number"),
        ("user,item,count\na,b,nan\n", "line 2: count nan must be above 0"),
        ("user,item,count\na,b,-1\n", "line 2: count -1 must be above 0"),
        ("user,item,count\na,b\n", "line 2: 2 values, but the header has 3"),
        ("user,item\n,b\n", "line 2: user is empty"),
        ('user,item\na,"b\n', "line 2: not CSV"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "links.csv"
    path.write_text(text)
    with pytest.raises(TableError, match=message) as caught:
        read_links(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_utf8_or_not_there_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "links.csv"
    path.write_bytes(b"user,item\na,\xff\n")
    with pytest.raises(TableError, match="not UTF-8"):
        read_links(path)
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_links(tmp_path / "none.csv")


def test_without_a_new_link_there_is_nothing_to_rank(tmp_path: Path) -> None:
    train = write(tmp_path / "a.csv", "user,item", "u,x", "u,y", "u,z", "v,x")
    test = write(tmp_path / "b.csv", "user,item", "u,x", "w,x", "u,q")
    with pytest.raises(TableError, match="no new link is left.*test links in train: 1"):
        evaluate_tables(train, test, SETTINGS)


def test_a_table_too_small_to_tune_on_is_refused(tmp_path: Path) -> None:
    train = write(tmp_path / "a.csv", "user,item", "u,x", "u,y", "v,x", "v,z")
    test = write(tmp_path / "b.csv", "user,item", "u,z")
    with pytest.raises(TableError, match="nothing can be held out"):
        evaluate_tables(train, test, SETTINGS)
