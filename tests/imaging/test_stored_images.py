from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets.imaging import LEFT_OUT, images_valid
from tests.zipbench.worlds import cases_table
from zipp_dagster.imaging import image_files
from zipp_dagster.imaging.checks import find_faults
from zipp_dagster.imaging.image_files import (
    TABLE,
    ImageRequest,
    encode_png,
    save_batch,
    write_shards,
)
from zipp_dagster.imaging.stored_images import StoredImages, first_rows, row_groups, several
from zipp_dagster.platform.artifacts import Input, Inputs
from zipp_dagster.platform.lake import Draft
from zipp_dagster.zipbench.metrics import (
    SCORED,
    drawn_images,
    embed_images,
    embed_references,
    score_cases,
)

SIZE = 1 << 10


def stored(tmp_path, pictures=50, methods=("a", "b"), shard_size=40, size=SIZE):
    """Shards of random "pictures", as a drawing run writes them."""
    rng = np.random.default_rng(0)
    requests, keys, places = [], [], {}
    scratch, out = tmp_path / "scratch", tmp_path / "out"
    scratch.mkdir(), out.mkdir()
    for start in range(0, pictures, 5):
        batch = {}
        for number in range(start, min(start + 5, pictures)):
            for method in methods:
                requests.append(ImageRequest(f"c{number}", method, f"a fox {number}", number))
                keys.append(f"{method}-{number}")
                batch[keys[-1]] = rng.bytes(size)
        places |= dict.fromkeys(batch, save_batch(batch, scratch))
    cut = {request.prompt: False for request in requests}
    return write_shards(requests, keys, places, cut, out, shard_size), requests


def test_row_groups_are_of_bytes_and_rows_and_pictures_are_the_same(tmp_path, monkeypatch):
    whole, _ = stored(tmp_path)
    assert [pq.ParquetFile(path).num_row_groups for path in whole] == [1, 1, 1, 1]
    monkeypatch.setattr(image_files, "ROW_GROUP_BYTES", 16 * SIZE)
    (tmp_path / "small").mkdir()
    small, requests = stored(tmp_path / "small")
    assert [pq.ParquetFile(path).num_row_groups for path in small] == [3, 1, 3, 1]
    largest = max(part["image"].nbytes for part in row_groups(small, ["image"]))
    assert largest < 2 * 16 * SIZE
    table = pq.read_table(small)
    assert table.equals(pq.read_table(whole)) and table.schema.equals(TABLE)
    assert table["case_id"].to_pylist() == [
        request.case_id for method in "ab" for request in requests if request.method == method
    ]


def test_pictures_by_name_are_those_of_the_table_in_its_order(tmp_path, monkeypatch):
    monkeypatch.setattr(image_files, "ROW_GROUP_BYTES", 16 * SIZE)
    files, _ = stored(tmp_path)
    table = pq.read_table(files).to_pylist()
    expected = {f"{row['case_id']}/{row['method']}": row["image"] for row in table}
    images = StoredImages(files, ["case_id", "method"], unique=True)
    assert list(images) == list(expected) and dict(images) == expected
    names = ["c7/b", "c0/a", "c49/b", "c7/b"]
    assert several(images, names) == several(expected, names) == [expected[n] for n in names]
    some = StoredImages(files, ["request_key"], {"a-3", "b-49", "gone"})
    assert list(some) == ["a-3", "b-49"] and "gone" not in some
    assert dict(some.spooled(tmp_path / "spool")) == dict(some)
    assert list((tmp_path / "spool").iterdir()) == []  # the file has no name
    assert first_rows(files[0], 20, ["image"])["image"].to_pylist() == [
        row["image"] for row in table[:20]
    ]


def test_two_pictures_of_one_name_are_an_error_where_names_must_differ(tmp_path):
    table = pa.table({"case_id": ["c", "c"], "image": pa.array([b"1", b"2"], pa.binary())})
    pq.write_table(table, tmp_path / "part-0.parquet")
    assert StoredImages([tmp_path / "part-0.parquet"], ["case_id"])["c"] == b"2"
    with pytest.raises(ValueError, match=r"two pictures bear one name \(c\)"):
        StoredImages([tmp_path / "part-0.parquet"], ["case_id"], unique=True)


READ = """
import sys
from pathlib import Path
import numpy as np
import pyarrow.parquet as pq
from zipp_dagster.imaging import image_files, stored_images
from zipp_dagster.imaging.checks import find_faults
from zipp_dagster.zipbench import gallery
from zipp_dagster.zipbench.judges import base
from zipp_dagster.zipbench.metrics import drawn_images, embed_images

files = sorted(Path(sys.argv[1]).glob("part-*.parquet"))
stored_images._HELD_BYTES = 16 << 20

def peak():
    # Not ru_maxrss: a child begins with what its parent had.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) >> 10

before = peak()
if sys.argv[2] == "whole":
    pictures = pq.read_table(files)["image"].to_pylist()
else:
    images = drawn_images(files)
    embed = lambda some: np.array([[len(one), one[0] + 1.0] for one in some])
    assert len(embed_images(images, embed).names) == len(images)
    parts = stored_images.row_groups(files, ["image"])
    find_faults(value.as_py() for part in parts for value in part["image"])
    class Judge:
        name = "first byte"
        def score(self, prompts, some):
            return np.array([float(one[0]) for one in some])
    cases = {name.split("/")[0]: (name, "", "") for name in images}
    base.judge_methods(Judge(), images, cases, [("a", "b")], 0.95)
    keys = ["case_id", "method"]
    spooled = stored_images.StoredImages(files, keys).spooled(Path(sys.argv[1]))
    assert all(len(spooled[name]) for name in spooled)
print(peak() - before)
"""


def test_reading_all_pictures_takes_memory_of_some(tmp_path, monkeypatch):
    """256 MiB of pictures: read whole they take that and more; read as the assets do, a fraction."""
    monkeypatch.setattr(image_files, "ROW_GROUP_BYTES", 4 << 20)
    stored(tmp_path, pictures=2048, shard_size=4096, size=64 << 10)
    grown = {}
    for how in ("whole", "as the assets do"):
        command = [sys.executable, "-c", READ, str(tmp_path / "out"), how]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        grown[how] = int(done.stdout)
    assert grown["whole"] > 400 and grown["as the assets do"] < 200, grown


ASSETS = Path(__file__).parents[2] / "assets"
WITH_PICTURES = ("generated_images", "media")


def test_no_asset_reads_a_table_of_pictures_whole():
    whole = re.compile(rf"""\[["']({"|".join(WITH_PICTURES)})["']\]\.(table|rows)\(\)""")
    found = [
        f"{path.name}: {match.group()}"
        for path in sorted(ASSETS.glob("*.py"))
        for match in whole.finditer(path.read_text())
    ]
    assert not found, "name the columns, or read pictures with zipp_dagster.imaging.stored_images"


def test_the_check_of_generated_images_and_their_scores_are_those_of_the_whole_table(
    tmp_path, monkeypatch
):
    """The check and the scores over small row groups, against one read of everything."""
    monkeypatch.setattr(image_files, "ROW_GROUP_BYTES", 1 << 11)
    rng = np.random.default_rng(1)
    pictures = [encode_png(rng.integers(0, 255, (8, 8, 3), np.uint8)) for _ in range(100)]
    pictures[3], pictures[4] = pictures[2], encode_png(np.zeros((8, 8, 3), np.uint8))
    requests = [ImageRequest(f"c{n // 2}", "ab"[n % 2], f"a fox {n}", n) for n in range(100)]
    keys = [str(n) for n in range(100)]
    (tmp_path / "scratch").mkdir()
    places = {
        key: save_batch({key: picture}, tmp_path / "scratch")
        for key, picture in zip(keys, pictures, strict=True)
    }
    out = tmp_path / "draft"
    out.mkdir()
    write_shards(requests, keys, places, {r.prompt: False for r in requests}, out, 40)
    draft = Draft("generated_images", None, out, tmp_path / "unused")
    draft.path(LEFT_OUT).write_text('{"methods": {}, "images": {}}')
    table = pq.read_table(draft.files())
    assert sum(pq.ParquetFile(path).num_row_groups for path in draft.files()) > 4
    prompts = Input("rewritten_prompts", [])
    monkeypatch.setattr(prompts, "table", lambda columns: table.select(columns), raising=False)
    outcome = images_valid.function(draft, Inputs({"rewritten_prompts": prompts}))
    expected = find_faults(table["image"].to_pylist(), table["request_key"].to_pylist())
    assert dict(outcome.metadata) == dict(expected.__dict__)
    assert (expected.blank, expected.duplicates) == (1, 1) and not outcome.passed

    def embed(some):
        return np.array([[len(one), sum(one[-40:])] for one in some], float)

    names = {f"c{n}": f"sha{n}" for n in range(50)}
    cases = cases_table([(case, n, sha) for n, (case, sha) in enumerate(names.items())])
    references = {sha: pictures[n] for n, sha in enumerate(names.values())}
    whole = score_cases(cases, table, references, embed)
    made = embed_images(drawn_images(draft.files()), embed)
    posted = embed_references(cases, references, embed)
    streamed = score_cases(
        cases, table.select(SCORED), references, embed, embeddings=(made, posted)
    )
    assert streamed.equals(whole)
