from __future__ import annotations

import io
from hashlib import sha256

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from zipp_dagster.reddit.image_facts import ImageFacts, difference_hash, inspect_image
from zipp_dagster.reddit.media import Duplicates, MediaError, collect_media


def picture(format: str = "PNG", size: tuple[int, int] = (16, 12), color: str = "red") -> bytes:
    image = Image.new("RGB", size, "white")
    image.paste(color, (0, 0, size[0] // 2, size[1]))
    out = io.BytesIO()
    image.save(out, format)
    return out.getvalue()


@pytest.fixture
def posts(tmp_path):
    def write(*rows: tuple[str, str | None, bool]):
        path = tmp_path / "part-00000.parquet"
        table = [
            {
                "id": post,
                "media_key": key,
                "is_image": key is not None,
                "is_bot": bot,
                "url": f"https://i.redd.it/{key}",
                "over_18": False,
            }
            for post, key, bot in rows
        ]
        schema = pa.schema(
            [
                ("id", pa.string()),
                ("media_key", pa.string()),
                ("is_image", pa.bool_()),
                ("is_bot", pa.bool_()),
                ("url", pa.string()),
                ("over_18", pa.bool_()),
            ]
        )
        pq.write_table(pa.Table.from_pylist(table, schema=schema), path)
        return [path]

    return write


@pytest.fixture
def media_dir(tmp_path):
    folder = tmp_path / "media"
    folder.mkdir()
    return folder


def collect(parquets, media_dir, tmp_path, **options):
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    report = collect_media(parquets, media_dir, out, **options)
    rows = pq.read_table(out / "part-00000.parquet").to_pylist()
    failures = pq.read_table(out / "failures.parquet").to_pylist()
    return report, rows, failures


def test_images_are_stored_as_found_with_their_facts(posts, media_dir, tmp_path):
    data = picture()
    (media_dir / "fox.png").write_bytes(data)
    (media_dir / "misnamed.png").write_bytes(picture("JPEG"))
    found = posts(
        ("s2", "misnamed.png", False),
        ("s1", "fox.png", False),
        ("s3", None, False),
        ("s4", "fox.png", True),
    )
    report, rows, failures = collect(found, media_dir, tmp_path)
    assert [r["post_id"] for r in rows] == ["s1", "s2"]
    assert rows[0]["image"] == data
    assert rows[0]["sha256"] == sha256(data).hexdigest()
    assert (rows[0]["width"], rows[0]["height"]) == (16, 12)
    assert (report.posts, report.collected, report.failed, report.distinct_images) == (2, 2, 0, 2)
    assert failures == []


def test_every_failure_has_its_reason(posts, media_dir, tmp_path):
    (media_dir / "text.png").write_bytes(b"<html>gone</html>")
    (media_dir / "cut.png").write_bytes(picture(size=(300, 300))[:-200])
    (media_dir / "huge.png").write_bytes(picture(size=(400, 400)))
    (media_dir / "fat.png").write_bytes(b"x" * 5000)
    (media_dir / "link.png").symlink_to("/etc/hostname")
    keys = [
        "cut.png",
        "fat.png",
        "huge.png",
        "link.png",
        "none.png",
        "text.png",
        "../secret.png",
        "..",
    ]
    found = posts(*((f"s{n}", key, False) for n, key in enumerate(keys)))
    report, rows, failures = collect(found, media_dir, tmp_path, max_bytes=4000, max_pixels=100_000)
    assert rows == []
    assert [f["reason"] for f in failures] == [
        "damaged_image",
        "too_large",
        "too_many_pixels",
        "unsafe_name",
        "missing",
        "web_page",
        "unsafe_name",
        "unsafe_name",
    ]
    assert (report.posts, report.failed) == (8, 8)
    assert report.failure_reasons["unsafe_name"] == 3


def test_no_image_post_gives_empty_tables(posts, media_dir, tmp_path):
    report, rows, failures = collect(posts(("s1", None, False)), media_dir, tmp_path)
    assert (report.posts, rows, failures) == (0, [], [])


def test_a_missing_folder_is_named(posts, tmp_path):
    with pytest.raises(MediaError, match=r"set reddit\.media_dir"):
        collect(posts(("s1", "a.png", False)), tmp_path / "nowhere", tmp_path)


def test_similar_pictures_have_similar_hashes():
    one = Image.open(io.BytesIO(picture(size=(64, 64))))
    same = Image.open(io.BytesIO(picture("JPEG", size=(128, 128))))
    mirrored = one.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert bin(difference_hash(one) ^ difference_hash(same)).count("1") <= 8
    assert bin(difference_hash(one) ^ difference_hash(mirrored)).count("1") >= 8
    assert inspect_image(picture(), 1000).dhash < 2**64


def test_repeated_and_similar_pictures_are_traced_to_the_first_post():
    found = Duplicates()
    place = [
        found.place("a", ImageFacts("1" * 64, 0b0000, 9, 9)),
        found.place("b", ImageFacts("1" * 64, 0b0000, 9, 9)),
        found.place("c", ImageFacts("2" * 64, 0b0111 << 40, 9, 9)),
        found.place("d", ImageFacts("3" * 64, 0b1111 << 40, 9, 9)),
        found.place("e", ImageFacts("4" * 64, 0xF0F0_F0F0_F0F0_F0F0, 9, 9)),
    ]
    # d is four bits away from a, and one from c; c itself is like a, and no one is compared with it.
    assert place == [(None, None), ("a", "a"), (None, "a"), (None, None), (None, None)]
    assert found.distinct == 4
