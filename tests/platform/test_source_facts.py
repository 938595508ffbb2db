from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from zipp_dagster.platform import source_facts as module
from zipp_dagster.platform.code_version import CodeVersions
from zipp_dagster.platform.source_facts import read_facts, source_facts

ROOT = Path(__file__).parents[2]
TEXT = "from a import b\n\ndef f(x):\n    return b(x) + 1\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "module.py"
    path.write_text(TEXT)
    return path


@pytest.fixture
def readings(monkeypatch) -> list[str]:
    """The texts whose syntax trees were walked."""
    read: list[str] = []

    def counted(text: str):
        read.append(text)
        return read_facts(text)

    monkeypatch.setattr(module, "read_facts", counted)
    return read


def test_kept_facts_are_those_of_the_text_and_are_read_once(source, tmp_path, readings):
    first, second = (source_facts(source, tmp_path / "kept") for _ in range(2))
    assert first == second == read_facts(TEXT)
    assert readings == [TEXT]


def test_another_text_of_the_same_size_and_time_is_read_anew(source, tmp_path, readings):
    before = source.stat()
    old = source_facts(source, tmp_path / "kept")
    source.write_text(TEXT.replace("+ 1", "+ 2"))
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert source.stat().st_size == before.st_size
    new = source_facts(source, tmp_path / "kept")
    assert new.code != old.code and new.definitions["f"] != old.definitions["f"]
    assert len(list((tmp_path / "kept").iterdir())) == 1  # it took the old one's place


@pytest.mark.parametrize("damage", [b"", b'{"source": "', b"[]", b"\xff\xfe"])
def test_a_damaged_file_is_read_anew(source, tmp_path, readings, damage):
    source_facts(source, tmp_path / "kept")
    (kept,) = (tmp_path / "kept").iterdir()
    kept.write_bytes(damage)
    assert source_facts(source, tmp_path / "kept") == read_facts(TEXT)
    assert len(readings) == 2
    assert kept.read_bytes() != damage


def test_facts_of_another_reader_are_read_anew(source, tmp_path, readings, monkeypatch):
    source_facts(source, tmp_path / "kept")
    monkeypatch.setattr(module, "_reader", lambda: "3.12 another release")
    source_facts(source, tmp_path / "kept")
    assert len(readings) == 2


def test_where_nothing_can_be_written_sources_are_read_each_time(source, tmp_path, readings):
    in_the_way = tmp_path / "kept"
    in_the_way.write_text("a file")
    assert source_facts(source, in_the_way) == source_facts(source, in_the_way) == read_facts(TEXT)
    assert len(readings) == 2


def test_all_assets_have_the_code_versions_that_a_reading_without_kept_facts_gives(tmp_path):
    from assets.catalogue import catalogue

    functions = [entry.function for entry in catalogue().values() if entry.sql is None]
    cold, warm, none = (CodeVersions(kept=folder) for folder in (tmp_path, tmp_path, None))
    versions = [[found.of_function(f) for f in functions] for found in (cold, warm, none)]
    assert versions[0] == versions[1] == versions[2]
    assert len(set(versions[0])) == len(functions)


def test_processes_that_start_together_agree_and_leave_no_temporary_file(tmp_path):
    script = (
        "from assets.catalogue import catalogue\n"
        "print(sorted((n, a.code_version) for n, a in catalogue().items()))"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    said = {process.communicate()[0] for process in started}
    assert len(said) == 1 and all(process.returncode == 0 for process in started)
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert kept and all(path.suffix == ".json" and path.name[0] != "." for path in kept)
