from __future__ import annotations

import json
from pathlib import Path

import pytest

from zipp_dagster.platform.files import sha256_of
from zipp_dagster.platform.lineage import Difference, diff, lineage_tree, verify
from zipp_dagster.platform.versions import FileEntry, NotMaterialised


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    path = tmp_path / "RC_2024-01.zst"
    path.write_bytes(b"comments")
    return path


def entry_of(path: Path) -> FileEntry:
    return FileEntry(str(path), path.stat().st_size, sha256_of(path))


@pytest.fixture
def bakery(publish, dump):
    """Wheat of a dump file, flour of wheat, bread of flour twice: once directly, once as dough."""
    wheat = publish("wheat", "2024-01", external_files=(entry_of(dump),), rows=5)
    flour = publish("flour", inputs=[wheat])
    dough = publish("dough", inputs=[flour])
    return {"wheat": wheat, "flour": flour, "bread": publish("bread", inputs=[flour, dough])}


def states(lake) -> list[tuple[str, str, str]]:
    return [(d.asset, Path(d.file).name, d.state) for d in verify(lake).damages]


def test_the_tree_reaches_the_dump_files(lake, bakery, dump):
    tree = lineage_tree(lake, "bread")
    assert [node.asset for node in tree.inputs] == ["flour", "dough"]
    assert [node.asset for node in tree.walk()] == ["bread", "flour", "dough", "wheat"]
    wheat = tree.inputs[0].inputs[0]
    assert (wheat.partition, wheat.rows, wheat.external_files) == ("2024-01", 5, [str(dump)])


def test_as_json_a_shared_version_lists_its_inputs_once(lake, bakery):
    document = json.loads(json.dumps(lineage_tree(lake, "bread").to_json()))
    flour, dough = document["inputs"]
    assert not flour["repeated"] and [n["asset"] for n in flour["inputs"]] == ["wheat"]
    again = dough["inputs"][0]
    assert again["repeated"] and again["inputs"] == [] and again["version"] == flour["version"]


def test_a_tree_with_many_ways_to_the_source_stays_small(lake, publish):
    below = [publish("layer0")]
    for number in range(1, 25):
        below = [publish(f"layer{number}", side, inputs=below) for side in ("left", "right")]
    tree = lineage_tree(lake, "layer24", "left")
    assert len(list(tree.walk())) == 1 + 2 * 23 + 1
    assert len(json.dumps(tree.to_json())) < 100_000


def test_a_pruned_version_stays_in_the_tree_and_is_marked(lake, publish, bakery):
    lake.point(publish("wheat", "2024-01", text="corrected"))
    (lake.root / "wheat" / "2024-01" / bakery["wheat"].id).rename(lake.root / "gone")
    nodes = {node.asset: node for node in lineage_tree(lake, "bread").walk()}
    assert not nodes["wheat"].kept and nodes["flour"].kept


def test_the_lineage_of_what_was_never_made_is_an_error(lake):
    with pytest.raises(NotMaterialised, match="bread has not been materialised"):
        lineage_tree(lake, "bread")


def test_an_intact_lake_is_green_and_every_byte_was_read(lake, bakery, dump):
    result = verify(lake)
    assert result.passed and result.damages == ()
    assert (result.versions, result.files) == (4, 5)
    assert result.bytes == 4 * len("bread") + dump.stat().st_size


def test_an_empty_lake_is_green(lake):
    assert verify(lake).passed


def test_one_flipped_byte_is_found(lake, bakery):
    path = bakery["flour"].directory / "data.txt"
    data = bytearray(path.read_bytes())
    data[2] ^= 1
    path.write_bytes(data)
    assert states(lake) == [("flour", "data.txt", "changed")]
    assert not verify(lake).passed


def test_a_missing_an_unlisted_and_an_unreadable_file_are_found(lake, bakery):
    (bakery["flour"].directory / "data.txt").unlink()
    (bakery["bread"].directory / "extra.txt").write_text("smuggled in")
    (bakery["wheat"].directory / "manifest.json").write_text("{")
    assert sorted(states(lake)) == [
        ("bread", "extra.txt", "unlisted"),
        ("flour", "data.txt", "missing"),
        ("wheat", "manifest.json", "damaged"),
    ]
    assert not verify(lake).passed


def test_a_pointer_to_nothing_is_found(lake, bakery):
    bakery["bread"].directory.rename(lake.root.parent / "elsewhere")
    assert ("bread", "current", "missing") in states(lake)
    assert not verify(lake).passed


def test_a_dump_file_that_was_moved_away_is_noted_and_one_that_changed_is_damage(
    lake, bakery, dump
):
    data = dump.read_bytes()
    dump.unlink()
    assert states(lake) == [("wheat", dump.name, "absent")] and verify(lake).passed
    dump.write_bytes(data.replace(b"c", b"d", 1))
    assert states(lake) == [("wheat", dump.name, "changed")] and not verify(lake).passed


def test_a_corrected_dump_damages_neither_the_version_that_read_it_nor_the_one_before(
    lake, publish, bakery, dump
):
    dump.write_bytes(b"corrected comments")
    publish("wheat", "2024-01", text="corrected", external_files=(entry_of(dump),))
    assert states(lake) == [("wheat", dump.name, "absent")] and verify(lake).passed
    dump.write_bytes(b"flipped")
    assert ("wheat", dump.name, "changed") in states(lake) and not verify(lake).passed


def rebuilt(publish, bakery, **changes):
    """Wheat made anew with some changes, and everything that follows from it."""
    before = bakery["wheat"].manifest
    fields = {"external_files": before.external_files, "rows": 5} | changes
    wheat = publish("wheat", "2024-01", **fields)
    flour = publish("flour", inputs=[wheat])
    dough = publish("dough", inputs=[flour])
    return publish("bread", inputs=[flour, dough])


@pytest.mark.parametrize(
    ("changes", "kind", "what", "before", "after"),
    [
        ({"code_version": "code-2"}, "code", "code", "code-1", "code-2"),
        ({"config": {"mill": {"speed": 3}}}, "config", "mill", "null", '{"speed": 3}'),
        (
            {"external_files": (FileEntry("/other/RC_2024-01.zst", 1, "ab" * 32),)},
            "external",
            "/other/RC_2024-01.zst",
            None,
            "abababababab",
        ),
    ],
    ids=["code", "config", "external"],
)
def test_a_difference_is_explained_by_its_root_and_by_nothing_in_between(
    lake, publish, bakery, dump, changes, kind, what, before, after
):
    after_version = rebuilt(publish, bakery, **changes)
    before = before or sha256_of(dump)[:12]
    assert diff(lake, bakery["bread"], after_version) == [
        Difference("wheat", "2024-01", kind, what, before, after)
    ]


def test_a_dump_in_another_folder_with_the_same_bytes_is_no_difference_of_files(
    lake, publish, bakery, dump, tmp_path
):
    moved = FileEntry("/moved/" + dump.name, dump.stat().st_size, sha256_of(dump))
    (entry,) = diff(lake, bakery["bread"], rebuilt(publish, bakery, external_files=(moved,)))
    assert (entry.asset, entry.kind, entry.what) == ("wheat", "external", "state outside the lake")


def test_a_single_setting_is_named_with_its_values(lake, publish):
    old = publish("bread", config={"oven": {"degrees": 200, "fan": True}})
    new = publish("bread", config={"oven": {"degrees": 210, "fan": True}})
    assert diff(lake, old, new) == [
        Difference("bread", None, "config", "oven.degrees", "200", "210")
    ]


def test_an_input_that_came_or_went_is_a_difference_of_inputs(lake, publish, bakery):
    more = publish("wheat", "2024-02")
    new = publish("flour", inputs=[bakery["wheat"], more])
    assert diff(lake, bakery["flour"], new) == [
        Difference("flour", None, "input", "wheat[2024-02]", "none", more.id)
    ]
    assert diff(lake, new, bakery["flour"])[0].after == "none"


def test_where_a_changed_input_was_pruned_the_input_itself_is_the_answer(lake, publish, bakery):
    after = rebuilt(publish, bakery, code_version="code-2")
    bakery["wheat"].directory.rename(lake.root / "gone")
    (entry,) = diff(lake, bakery["bread"], after)
    assert (entry.asset, entry.kind, entry.what) == ("flour", "input", "wheat[2024-01]")


def test_a_version_does_not_differ_from_itself_or_from_its_repetition(lake, publish, bakery):
    assert diff(lake, bakery["bread"], bakery["bread"]) == []
    first, second = (publish("salt", data_version="same") for _ in range(2))
    assert diff(lake, first, second) == []
