from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import zstandard

from zipp_dagster.sampleworld.dumps import long_window_frame

from .conftest import World


def read_lines(path: Path) -> list[bytes]:
    """The lines of a dump by a reader of our own: all frames, any window."""
    data, content = path.read_bytes(), b""
    while data:
        frame = zstandard.ZstdDecompressor(max_window_size=2**31).decompressobj()
        content += frame.decompress(data)
        assert frame.eof
        data = frame.unused_data
    lines = content.split(b"\n")
    return lines[:-1] if lines[-1] == b"" else lines


def count(path: Path) -> dict[str, int]:
    """What a dump holds, by the stdlib's JSON and the definitions of the counts."""
    gone = ("[deleted]", "[removed]")
    counts, seen = Counter(lines=0, kept=0, deleted=0, duplicates=0, rejected=0, bots=0), set()
    for line in read_lines(path):
        counts["lines"] += 1
        try:
            record = json.loads(line.decode("utf-8"))
        except ValueError:
            record = None
        if not isinstance(record, dict):
            counts["rejected"] += 1
        elif record["id"] in seen:
            counts["duplicates"] += 1
        else:
            seen.add(record["id"])
            fields = (record["author"], record.get("body"), record.get("selftext"))
            later = (record.get("_meta") or {}).get("was_deleted_later", False)
            if later or any(field in gone for field in fields):
                counts["deleted"] += 1
            else:
                counts["kept"] += 1
                counts["bots"] += record["author"].lower().endswith(("bot", "moderator"))
    return dict(counts)


def test_every_line_of_every_file_is_counted_exactly(make_world) -> None:
    world = make_world(people=60, months=3, duplicate_share=0.05, deleted_share=0.1)
    counts = world.truth.counts
    names = sorted(path.name for path in (world.folder / "dumps").iterdir())
    assert names == sorted(name for name in counts if name != "authors")
    assert len(names) == 6
    for name in names:
        found = count(world.folder / "dumps" / name)
        assert found == counts[name]
        parts = ("kept", "deleted", "duplicates", "rejected")
        assert found["lines"] == sum(found[part] for part in parts)
    totals = Counter()
    for name in names:
        totals.update(counts[name])
    assert min(totals.values()) > 0
    assert counts["authors"] == world.settings.people


def test_a_clean_world_has_neither_bad_nor_repeated_nor_deleted_lines(make_world) -> None:
    clean = make_world(bad_lines_per_file=0, duplicate_share=0, deleted_share=0, bot_share=0)
    for name, counts in clean.truth.counts.items():
        if name != "authors":
            assert counts["lines"] == counts["kept"]
            assert counts["bots"] == 0


def test_a_reader_without_the_long_window_fails(tiny: World) -> None:
    data = (tiny.folder / "dumps" / "RC_2024-01.zst").read_bytes()
    parameters = zstandard.get_frame_parameters(data)
    assert parameters.window_size == 2**31
    assert parameters.content_size == zstandard.CONTENTSIZE_UNKNOWN
    with pytest.raises(zstandard.ZstdError, match="memory"):
        zstandard.ZstdDecompressor().decompressobj().decompress(data)


def test_the_second_month_has_two_frames_and_no_last_newline(tiny: World) -> None:
    data = (tiny.folder / "dumps" / "RC_2024-02.zst").read_bytes()
    frame = zstandard.ZstdDecompressor(max_window_size=2**31).decompressobj()
    first = frame.decompress(data)
    assert first.endswith(b"\n")
    assert frame.unused_data
    assert len(read_lines(tiny.folder / "dumps" / "RC_2024-02.zst")) > first.count(b"\n")


def test_a_frame_keeps_its_content_whatever_window_it_declares() -> None:
    for content in (b"", b"x", bytes(range(256)) * 5000):
        frame = long_window_frame(content)
        reader = zstandard.ZstdDecompressor(max_window_size=2**31).decompressobj()
        assert reader.decompress(frame) == content
        assert reader.eof


def records(world: World, name: str) -> list[dict[str, object]]:
    found = []
    for line in read_lines(world.folder / "dumps" / name):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            found.append(record)
    return found


def test_each_month_has_the_field_types_of_its_era(coupled: World) -> None:
    first, second, third = (records(coupled, f"RC_2024-0{month}.zst") for month in (1, 2, 3))
    assert {type(r["created_utc"]) for r in first} == {str}
    assert {type(r["created_utc"]) for r in second} == {int}
    assert {type(r["created_utc"]) for r in third} == {float}
    assert not any("author_fullname" in r for r in first)
    assert any("author_fullname" in r for r in second)
    assert all("name" in r for r in first) and not any("name" in r for r in second)
    assert any(r["score"] is None for r in second) and all(r["score"] is not None for r in third)
    assert {type(r["edited"]) for r in third} == {bool, int, float}
    assert True in {r["edited"] for r in third if isinstance(r["edited"], bool)}
    assert any(r.get("_meta", {}).get("was_deleted_later") for r in third)
    posts = records(coupled, "RS_2024-03.zst")
    assert any(r["url"] is None and r["url_overridden_by_dest"] for r in posts)


def test_comments_hang_under_submissions_and_times_lie_within_the_month(coupled: World) -> None:
    posts = {r["id"] for m in (1, 2, 3) for r in records(coupled, f"RS_2024-0{m}.zst")}
    comments = records(coupled, "RC_2024-03.zst")
    linked = sum(str(r["link_id"])[3:] in posts for r in comments)
    assert linked > 0.9 * len(comments)
    # 2024-03-01 and 2024-04-01 UTC.
    assert all(1709251200 <= r["created_utc"] < 1711929600 for r in comments)
    assert any(str(r["parent_id"]).startswith("t1_") for r in comments)
