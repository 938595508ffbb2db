"""A dump with every fault that archives have, planted in known numbers: each is counted exactly."""

from __future__ import annotations

import json
import random
import resource
import sys

import pytest
import zstandard

from zipp_dagster.reddit.dumps import DumpError, find_dumps, scan_dumps

MEBIBYTE = 2**20


def test_every_planted_fault_is_counted_exactly(write, ingest, comment):
    def good(n: int, **changes: object) -> bytes:
        return json.dumps(comment(id=f"g{n}", **changes)).encode()

    planted = {
        "kept": [good(n) for n in range(200)],
        "deleted": [good(200 + n, author="[deleted]") for n in range(11)],
        "duplicates": [good(n, body="again") for n in range(13)],
        "NULs before a record": [b"\0" * 512 + good(300 + n) for n in range(3)],
        "duplicate keys": [b'{"id": "old", ' + good(310 + n)[1:] for n in range(5)],
        "invalid_utf8": [good(320 + n, body="@").replace(b"@", b"\xff\xfe") for n in range(7)],
        "lone_surrogate": [good(330 + n, body="\ud83d alone") for n in range(6)],
        "wrong_type": [good(340 + n, body=17) for n in range(4)],
        "bad_time": [good(350 + n, created_utc="soon") for n in range(2)],
        "bad_number": [good(360, score=10**40)],
        "no_author": [good(370 + n, author=None) for n in range(8)],
        "not_json": [good(380 + n)[:-20] for n in range(9)],  # cut lines
        "not_an_object": [b"[1]", b"17"],
        "blank_line": [b"", b"\0\0\0", b"  "],
    }
    mixed = [(fault, line) for fault, lines in planted.items() for line in lines]
    random.Random(5).shuffle(mixed)
    order = {"duplicates": 1}  # a duplicate comes behind its first
    mixed.sort(key=lambda item: order.get(item[0], 0))
    lines = [line for _, line in mixed]
    report, kept, rejected = ingest(write(lines, frames=3))
    reasons = {k: len(v) for k, v in planted.items() if k in REASONS}
    assert report.rejected_reasons == reasons
    assert (report.lines, report.kept, report.deleted, report.duplicates, report.rejected) == (
        len(lines),
        200 + 3 + 5,
        11,
        13,
        sum(reasons.values()),
    )
    # Every rejected line is found again by its number and its byte, with its own reason.
    text = b"\n".join(lines) + b"\n"
    for row in rejected:
        fault, line = mixed[row["line"] - 1]
        assert row["reason"] == fault
        assert text[row["byte_offset"] :].startswith(line + b"\n")
    assert len({row["id"] for row in kept}) == len(kept)


REASONS = frozenset(
    "invalid_utf8 lone_surrogate wrong_type bad_time bad_number no_author not_json "
    "not_an_object blank_line".split()
)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
def test_a_line_of_a_hundred_megabytes_is_rejected_in_bounded_memory(tmp_path):
    # In a process of its own; VmHWM, since ru_maxrss begins with the peak of the process before it.
    import subprocess

    path = tmp_path / "RC_2023-11.zst"
    lines = [json.dumps(_comment(n)).encode() for n in range(3)]
    with (
        path.open("wb") as file,
        zstandard.ZstdCompressor().stream_writer(file) as stream,
    ):
        stream.write(lines[0] + b"\n" + b'{"id": "big", "body": "')
        for _ in range(100):
            stream.write(b"x" * MEBIBYTE)
        stream.write(b'"}\n' + lines[1] + b"\n" + lines[2])
    code = (
        "import sys, json; from pathlib import Path;"
        "from zipp_dagster.reddit import Pseudonymizer, dump_file, dump_to_parquet;"
        "out = Path(sys.argv[2]); out.mkdir();"
        "report = dump_to_parquet(dump_file(Path(sys.argv[1])), out, Pseudonymizer(bytes(32)));"
        "peak = int(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0]);"
        "print(json.dumps([report.lines, report.kept, report.rejected_reasons, peak]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=True,
    )
    seen, kept, reasons, peak = json.loads(done.stdout)
    assert (seen, kept, reasons) == (4, 3, {"line_too_long": 1})
    assert peak * 1024 < 600 * MEBIBYTE


def test_a_frame_that_inflates_enormously_takes_no_memory_for_it(tmp_path):
    # 300 MB of zeros are 30 KB compressed: a reader that inflates a chunk at once takes them all.
    from zipp_dagster.reddit.lines import read_blocks

    path = tmp_path / "RC_2023-11.zst"
    with path.open("wb") as file, zstandard.ZstdCompressor().stream_writer(file) as stream:
        for _ in range(300):
            stream.write(bytes(MEBIBYTE))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    blocks = list(read_blocks(path, max_line_bytes=8 * MEBIBYTE))
    assert [(b.lines, b.oversized, len(b.data)) for b in blocks] == [(1, 300 * MEBIBYTE, 200)]
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 150 * MEBIBYTE


@pytest.mark.parametrize("where", ["first frame", "second frame"])
def test_a_truncated_dump_fails_and_names_the_byte(write, ingest, comment, where):
    dump = write([comment(id=f"c{n}", body=f"text {n}") for n in range(3000)], frames=2)
    data = dump.path.read_bytes()
    cut = len(data) // 3 if where == "first frame" else len(data) - 5
    dump.path.write_bytes(data[:cut])
    with pytest.raises(DumpError, match=rf"truncated: its last zstd frame .* at byte {cut:,} "):
        ingest(dump)


def test_an_empty_file_fails_and_a_foreign_one_is_named_and_left_alone(write, ingest, comment):
    dump = write([comment()])
    (dump.path.parent / "notes.txt").write_text("not a dump")
    (dump.path.parent / "RC_2023-11.zst.part").write_bytes(b"half")
    assert scan_dumps(dump.path.parent).ignored == ["RC_2023-11.zst.part", "notes.txt"]
    assert find_dumps(dump.path.parent) == [dump]
    dump.path.write_bytes(b"")
    with pytest.raises(DumpError, match=r"RC_2023-11\.zst is empty \(0 bytes\); download it again"):
        ingest(dump)


def _comment(n: int) -> dict[str, object]:
    return {
        "id": f"c{n}",
        "author": "alice",
        "subreddit": "pics",
        "body": "a fox",
        "created_utc": 1_700_000_000,
    }
