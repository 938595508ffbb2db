from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from tests.platform.conftest import BOTH
from zipp_dagster.platform.lake import Lake
from zipp_dagster.platform.versions import LakeError, Manifest, NotMaterialised

pytestmark = pytest.mark.parametrize("lake", BOTH, indirect=True)

REJECTED = {"name": "contract", "blocking": True, "passed": False, "severity": "error"}


def leftovers(lake: Lake) -> list[str]:
    """What lies below `.drafts` and `.scratch`, folders of assets and partitions not counted."""
    paths = [*lake.root.glob(".drafts/*"), *lake.root.glob(".scratch/*/*/*")]
    return sorted(path.name for path in paths)


def test_a_published_version_is_current_and_its_manifest_lists_size_and_hash_of_each_file(
    lake, publish
):
    version = publish("bread", text="rye")
    assert lake.current("bread") == version
    entry = version.manifest.files[0]
    assert (entry.path, entry.size) == ("data.txt", 3)
    assert entry.sha256 == hashlib.sha256(b"rye").hexdigest()
    assert (version.asset, version.partition, version.skipped) == ("bread", None, None)


def test_a_manifest_survives_its_way_through_json(publish):
    flour = publish("flour")
    manifest = publish("bread", "2024-01", inputs=[flour], rows=3, metadata={"kept": 2}).manifest
    assert Manifest.from_json(json.loads(json.dumps(manifest.to_json()))) == manifest
    assert manifest.inputs[0].version == flour.id


def test_a_manifest_of_another_format_is_refused_by_name(publish):
    document = publish("bread").manifest.to_json() | {"format": 99}
    with pytest.raises(LakeError, match="bread has format 99, this release reads 1"):
        Manifest.from_json(document)


def test_partitions_have_their_own_current_versions(lake, publish):
    january, february = publish("bread", "2024-01"), publish("bread", "2024-02")
    assert lake.partitions("bread") == ["2024-01", "2024-02"]
    assert lake.current("bread", "2024-01") == january != february
    assert lake.find("bread") is None


def test_what_was_never_made_is_an_error_that_says_how_to_make_it(lake):
    with pytest.raises(NotMaterialised, match=r"bread\[2024-01\] .* `zipp run --select \+bread`"):
        lake.current("bread", "2024-01")


def test_a_version_published_aside_leaves_the_pointer_where_it_was(lake, publish):
    good = publish("bread", text="good")
    aside = publish("bread", text="burnt", make_current=False)
    assert lake.current("bread") == good
    assert lake.versions("bread") == [good, aside]


def test_time_travel_finds_the_version_of_a_moment_and_never_a_rejected_one(lake, publish):
    start = datetime.now(UTC)
    first = publish("bread", text="first")
    between = datetime.now(UTC)
    publish("bread", text="burnt", make_current=False, checks=(REJECTED,))
    second = publish("bread", text="second")
    assert lake.as_of("bread", between) == first
    assert lake.as_of("bread", datetime.now(UTC)) == second
    with pytest.raises(NotMaterialised, match="no version at"):
        lake.as_of("bread", start - timedelta(seconds=1))


def test_one_version_is_found_by_name_and_an_unknown_one_lists_the_kept_ones(lake, publish):
    version = publish("bread")
    assert lake.version("bread", version.id) == version
    with pytest.raises(LakeError, match=f"no version nonsense; kept versions: {version.id}"):
        lake.version("bread", "nonsense")


def test_an_error_while_writing_publishes_nothing_and_removes_the_draft(lake, publish):
    before = publish("bread")
    with pytest.raises(RuntimeError, match="oven"), lake.draft("bread", None, "key") as draft:
        draft.path("data.txt").write_text("half")
        raise RuntimeError("the oven broke")
    assert lake.versions("bread") == [before]
    assert leftovers(lake) == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("IO Error: Could not write file: No space left on device"),
        RuntimeError("(sqlite3.OperationalError) database or disk is full"),
    ],
)
def test_a_full_disk_is_one_clear_error_whoever_noticed_it_and_nothing_is_published(lake, error):
    with pytest.raises(LakeError, match=r"is full .* bread .* nothing was published"):
        with lake.draft("bread", None, "key"):
            raise error
    assert lake.versions("bread") == leftovers(lake) == []


def test_a_full_disk_is_seen_behind_the_errors_that_it_causes(lake):
    with pytest.raises(LakeError, match="is full"), lake.draft("bread", None, "key"):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as cause:
            raise ValueError("the writer failed") from cause


def test_partial_work_survives_a_failed_draft_and_is_gone_once_it_is_published(lake, publish):
    with pytest.raises(RuntimeError), lake.draft("bread", None, "same work") as draft:
        (draft.scratch / "dough").write_text("risen")
        raise RuntimeError("killed")
    with lake.draft("bread", None, "other work") as draft:
        assert not (draft.scratch / "dough").exists()
    with lake.draft("bread", None, "same work") as draft:
        assert (draft.scratch / "dough").read_text() == "risen"
        fields = publish("flour").manifest.__dict__
        wanted = ("code_version", "config_hash", "config", "inputs", "run_id", "seconds")
        lake.publish(draft, data_version="same work", **{key: fields[key] for key in wanted})
    assert leftovers(lake) == []


def test_prune_removes_the_oldest_and_spares_what_is_current_an_input_or_protected(lake, publish):
    flour = [publish("flour", text=str(number)) for number in range(5)]
    bread = publish("bread", inputs=[flour[0]])
    lake.point(flour[3])
    removed = lake.prune(keep=1, protected=frozenset({flour[1].id}))
    assert removed == [flour[2]]
    assert lake.versions("flour") == [flour[0], flour[1], flour[3], flour[4]]
    assert lake.current("bread") == bread
    assert leftovers(lake) == []


def test_a_dry_run_of_prune_lists_the_same_versions_and_removes_none(lake, publish):
    versions = [publish("flour", text=str(number)) for number in range(3)]
    assert lake.prune(keep=1, dry_run=True) == versions[:2]
    assert lake.versions("flour") == versions


def test_prune_sweeps_what_dead_processes_left_and_spares_a_draft_in_work(lake, publish):
    publish("bread")
    script = (
        "import os, sys; from pathlib import Path; from zipp_dagster.platform.lake import Lake\n"
        "with Lake(Path(sys.argv[1])).draft('bread', None, 'key') as draft:\n"
        "    draft.path('data.txt').write_text('half'); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(lake.root)], check=False)
    assert killed.returncode == -9
    (lake.root / "bread" / "_" / ".current-12ab").write_text("half a pointer")
    dead = leftovers(lake)
    assert len(dead) == 3  # the draft, its lock, and an empty scratch folder
    with lake.draft("bread", None, "alive") as draft:
        lake.prune(keep=1)
        assert draft.directory.is_dir()
        assert not set(dead[:2]) & set(leftovers(lake))
    assert not list(lake.root.glob("*/*/.current-*"))


def test_prune_keeps_partial_work_for_a_day_and_no_longer(lake):
    folders = [lake.root / ".scratch" / "bread" / "_" / name for name in ("new", "old")]
    for folder in folders:
        folder.mkdir(parents=True)
    yesterday = datetime.now(UTC).timestamp() - 25 * 3600
    os.utime(folders[1], (yesterday, yesterday))
    lake.prune(keep=1)
    assert [folder.exists() for folder in folders] == [True, False]


def test_prune_drops_partial_work_that_no_run_would_go_on_with_but_none_in_work(lake):
    names = [("bread", "_", "wanted"), ("bread", "2024-01", "other"), ("cake", "_", "other")]
    folders = [lake.root.joinpath(".scratch", *name) for name in names]
    for folder in folders:
        folder.mkdir(parents=True)
    asked = []

    def useful(asset, partition, key):
        asked.append((asset, partition, key))
        return key == "wanted"

    with lake.draft("cake", None, "alive"):
        lake.prune(keep=1, useful=useful)
        assert [folder.exists() for folder in folders] == [True, False, True]
    assert sorted(asked, key=str) == [("bread", "2024-01", "other"), ("bread", None, "wanted")]
    lake.prune(keep=1, useful=useful)
    assert [folder.exists() for folder in folders] == [True, False, False]
