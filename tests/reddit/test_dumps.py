from __future__ import annotations

from pathlib import Path

import pytest
import zstandard

from zipp_dagster.reddit.dumps import DumpError, dump_file, find_dumps, scan_dumps
from zipp_dagster.reddit.lines import read_blocks


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


def test_dumps_come_in_the_order_of_months_and_foreign_files_are_listed(tmp_path):
    touch(
        tmp_path,
        "RS_2013-01.zst",
        "RC_2013-02.ndjson",
        "RC_2013-01.zst",
        "README.md",
        "RC_2013-13.zst",
    )
    found = scan_dumps(tmp_path)
    assert [(d.month, d.kind) for d in found.dumps] == [
        ("2013-01", "comments"),
        ("2013-01", "submissions"),
        ("2013-02", "comments"),
    ]
    assert found.ignored == ["RC_2013-13.zst", "README.md"]
    assert find_dumps(tmp_path) == found.dumps


def test_the_folders_of_the_torrents_are_searched_too(tmp_path):
    touch(tmp_path, "comments/RC_2013-01.zst", "submissions/RS_2013-01.zst", "other/RS_2013-02.zst")
    assert [d.path.name for d in find_dumps(tmp_path)] == ["RC_2013-01.zst", "RS_2013-01.zst"]


def test_a_missing_folder_is_named_with_the_setting(tmp_path):
    with pytest.raises(DumpError, match=r"nowhere does not exist; set reddit\.dumps_dir"):
        find_dumps(tmp_path / "nowhere")


def test_a_folder_without_dumps_says_what_it_holds(tmp_path):
    with pytest.raises(DumpError, match="it is empty"):
        find_dumps(tmp_path)
    with pytest.raises(DumpError, match=r"it holds notes\.txt"):
        find_dumps(touch(tmp_path, "notes.txt"))


def test_two_files_of_one_month_are_refused(tmp_path):
    with pytest.raises(DumpError, match="are both comments of 2013-01; keep one"):
        find_dumps(touch(tmp_path, "RC_2013-01.zst", "RC_2013-01.ndjson"))


def test_a_file_of_one_subreddit_has_no_month(tmp_path):
    touch(tmp_path, "pics_submissions.zst", "dump.zst")
    dump = dump_file(tmp_path / "pics_submissions.zst")
    assert (dump.kind, dump.month) == ("submissions", None)
    with pytest.raises(DumpError, match="is no dump name"):
        dump_file(tmp_path / "dump.zst")


@pytest.mark.parametrize("frames", [1, 3])
def test_blocks_hold_whole_lines_with_their_numbers_and_offsets(write, frames):
    lines = [f'{{"n": {n}}}'.encode() * (n % 7 + 1) for n in range(200)]
    dump = write(lines, frames=frames, end=b"")
    text = b"\n".join(lines)
    blocks = list(read_blocks(dump.path, block_bytes=64))
    assert b"".join(b.data for b in blocks) == text
    assert sum(b.lines for b in blocks) == 200
    for block in blocks:
        assert text[block.byte_offset :].startswith(bytes(block.data))
        assert text.count(b"\n", 0, block.byte_offset) == block.first_line - 1
        assert block.data[-1:] == b"\n" or block is blocks[-1]


def test_a_window_of_two_gibibytes_is_read(tmp_path):
    options = zstandard.ZstdCompressionParameters.from_level(1, window_log=31)
    path = tmp_path / "RC_2020-01.zst"
    with (
        path.open("wb") as file,
        zstandard.ZstdCompressor(compression_params=options).stream_writer(file) as stream,
    ):
        stream.write(b"{}\n" * 1000)
    assert zstandard.get_frame_parameters(path.read_bytes()[:32]).window_size == 2**31
    assert [b.lines for b in read_blocks(path)] == [1000]


@pytest.mark.parametrize("keep", [0.99, 0.5])
def test_a_truncated_frame_is_an_error_that_names_file_and_byte(write, comment, keep):
    dump = write([comment(id=f"c{n}", body=f"text {n}") for n in range(500)])
    data = dump.path.read_bytes()
    cut = int(len(data) * keep)
    dump.path.write_bytes(data[:cut])
    with pytest.raises(DumpError, match=rf"RC_2023-11\.zst is truncated.*at byte {cut:,}"):
        list(read_blocks(dump.path))


def test_a_second_frame_that_is_cut_is_noticed_as_well(write, comment):
    dump = write([comment(id=f"c{n}") for n in range(50)], frames=2)
    dump.path.write_bytes(dump.path.read_bytes()[:-3])
    with pytest.raises(DumpError, match="is truncated"):
        list(read_blocks(dump.path))


def test_damage_and_trailing_garbage_are_errors_that_name_a_byte(write, comment):
    dump = write([comment()])
    good = dump.path.read_bytes()
    dump.path.write_bytes(good + b"garbage")
    with pytest.raises(DumpError, match="is damaged between bytes"):
        list(read_blocks(dump.path))
    dump.path.write_bytes(b"<html>not found</html>")
    with pytest.raises(DumpError, match="is damaged between bytes"):
        list(read_blocks(dump.path))


def test_an_empty_file_is_an_error_and_an_empty_frame_is_no_line(tmp_path, write):
    (tmp_path / "RS_2013-01.ndjson").touch()
    with pytest.raises(DumpError, match="is empty"):
        list(read_blocks(tmp_path / "RS_2013-01.ndjson"))
    assert list(read_blocks(write([]).path)) == []


def test_a_line_that_never_ends_is_measured_but_not_kept(write):
    lines = [b'{"n": 1}', b"x" * 5_000_000, b'{"n": 3}']
    dump = write(lines, name="RC_2023-11.ndjson")
    blocks = list(read_blocks(dump.path, block_bytes=1000, max_line_bytes=100_000))
    oversized = [b for b in blocks if b.oversized]
    assert [(b.first_line, b.byte_offset, b.oversized) for b in oversized] == [(2, 9, 5_000_000)]
    assert len(oversized[0].data) == 200
    assert (blocks[-1].first_line, blocks[-1].data) == (3, b'{"n": 3}\n')
