"""What `test_lake` and `test_erased` cannot ask of object storage: folders that somebody touched."""

from __future__ import annotations

import json

import pytest

from zipp_dagster.platform.lineage import verify
from zipp_dagster.platform.versions import ERASED, LakeError


def test_a_current_version_whose_folder_is_gone_is_an_error_and_not_a_missing_asset(lake, publish):
    version = publish("bread")
    version.directory.rename(lake.root / "elsewhere")
    with pytest.raises(LakeError, match="is the current version of bread and is not there"):
        lake.find("bread")


def test_a_version_that_is_half_pruned_is_no_version(lake, publish, monkeypatch):
    old, new = publish("bread", text="old"), publish("bread", text="new")

    def killed(path, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("zipp_dagster.platform.lake.shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        lake.prune(keep=1)
    monkeypatch.undo()
    assert lake.versions("bread") == [new] and not old.directory.exists()
    lake.prune(keep=1)
    assert not [*lake.root.glob(".drafts/*"), *lake.root.glob(".scratch/*/*/*")]


def test_an_interrupted_erasure_is_damage_until_it_is_repeated(lake, publish):
    old = publish("flour", text="with a hair in it")
    publish("flour", text="clean")
    manifest = (old.directory / "manifest.json").read_text()
    lake.erase(old, "receipt-1", "2026-01-02T03:04:05+00:00")
    (old.directory / "manifest.json").write_text(manifest)
    (old.directory / "data.txt").write_text("with a hair in it")
    (old.directory / "folder").mkdir()
    assert not old.kept and old not in lake.versions("flour")
    result = verify(lake)
    assert not result.passed
    assert {d.state for d in result.damages} == {"not erased"}
    lake.erase(old, "receipt-2", "later")
    assert [path.name for path in old.directory.iterdir()] == [ERASED]
    assert json.loads((old.directory / ERASED).read_text())["receipt"] == "receipt-1"
    assert verify(lake).passed
