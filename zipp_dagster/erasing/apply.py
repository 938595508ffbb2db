"""`zipp erase --apply`: rebuilds without what was erased, then removes the versions that held it.

Every step can be repeated: after a kill the same command finds the open receipt and goes on. Nothing
is removed before everything that replaces it has been made.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from assets.catalogue import catalogue
from assets.sources import SAMPLE_WORLD, active_months, erasures_file, media_directory, source
from zipp_dagster import runner
from zipp_dagster.erasing import receipts
from zipp_dagster.erasing.holding import current_versions, from_people, held, pending, seeds
from zipp_dagster.erasing.leftovers import clean_leftovers
from zipp_dagster.erasing.receipts import Receipt
from zipp_dagster.erasing.record import (
    OF_A_USER,
    search_what_was_being_made,
    table_name,
    tombstones_lock,
)
from zipp_dagster.platform.catalogue import Platform
from zipp_dagster.platform.erased import erased_versions
from zipp_dagster.platform.locks import in_use
from zipp_dagster.platform.observer import Observer
from zipp_dagster.platform.registry import TRAINED_ON_ERASED
from zipp_dagster.platform.versions import LakeError, Version
from zipp_dagster.platform.work_locks import nobody_at_work
from zipp_dagster.reddit.erasure import (
    ErasureError,
    Mark,
    Tombstone,
    read_tombstones,
    write_tombstones,
)

_log = logging.getLogger(__name__)

NOTE = (
    "Source files are yours to delete: the dump files listed in source_files, and images in a media "
    "folder, still hold what was erased here. What other people wrote about or quoted from it stays."
)
NOTE_SAMPLE_WORLD = (
    "They belong to the asset sample_world: invented people, generated from a seed. It stands for a "
    "user's dump folder and is left as it is."
)


class RebuildFailed(ErasureError):
    """Some asset could not be made without the erased data; nothing was removed."""


def must_be_rebuilt(platform: Platform) -> list[str]:
    """The tables and other artifacts whose current version holds something that is to be erased."""
    holding = held(platform, seeds(platform, pending(platform)))
    return [
        table_name(version.asset, version.partition)
        for version in _in_order(current_versions(platform))
        if version.id in holding
    ]


def apply(platform: Platform, observer: Observer | None = None) -> Receipt | None:
    """Completes all recorded erasures; None where there is nothing to do.

    Raises:
        RebuildFailed: an asset or a blocking check failed; the same command goes on after a repair.
        ErasureError: another run is at work, or a version cannot be replaced.
    """
    if receipts.open_receipt(platform) is None and not pending(platform):
        return None
    _require_alone(platform)
    withdrawn: list[str] = []
    while True:
        search_what_was_being_made(platform, _told(observer))
        receipt = _opened(platform)
        withdrawn += _rebuild(platform, receipt, observer)
        with nobody_at_work(platform.lake.root, _told(observer)):
            _look_again(platform, receipt)
            if not _current_holders(platform, receipt):
                return _remove(platform, receipt, withdrawn)
        # Somebody published what was begun before, or recorded more that concerns what is current.


def receipts_of(platform: Platform, marks: list[Any]) -> list[str]:
    """The names of the receipts that closed some tombstones."""
    wanted = set(marks)
    stones = read_tombstones(erasures_file(platform))
    return sorted({s.receipt for s in stones if s.receipt is not None and s.mark in wanted})


def _opened(platform: Platform) -> Receipt:
    """A new receipt, or the open one, extended by what was recorded since."""
    with tombstones_lock(platform):  # a search that is under way ends first
        receipt = receipts.open_receipt(platform) or receipts.new_receipt()
        marks = {Mark(*mark) for mark in receipt.marks} | {s.mark for s in pending(platform)}
        receipt.marks = sorted(list(mark) for mark in marks)
        _look_again(platform, receipt)
    holding = held(platform, receipt.seeds)
    for version in _in_order(current_versions(platform)):
        name = table_name(version.asset, version.partition)
        if version.id in holding and name not in receipt.before:
            receipt.before[name] = {
                "asset": version.asset,
                "partition": version.partition,
                "version": version.id,
                "rows": version.manifest.rows,
            }
    receipts.write(platform, receipt)
    return receipt


def _look_again(platform: Platform, receipt: Receipt) -> None:
    """Which raw versions hold the data, those published since included."""
    more = seeds(platform, _carried_out(platform, receipt))
    receipt.seeds = sorted({*receipt.seeds, *more})


def _carried_out(platform: Platform, receipt: Receipt) -> list[Tombstone]:
    """The tombstones of a receipt."""
    marks = {Mark(*mark) for mark in receipt.marks}
    return [stone for stone in read_tombstones(erasures_file(platform)) if stone.mark in marks]


def _rebuild(platform: Platform, receipt: Receipt, observer: Observer | None) -> list[str]:
    """Makes anew what is current and holds the data; returns the assets that lost their version."""
    holding = held(platform, receipt.seeds)
    _flag_models(platform, holding, receipt)
    selection = _selection(platform, holding)
    result = runner.run(platform, selection, observer=observer, months=active_months(platform))
    return _replace_the_rest(platform, receipt, observer, result)


def _remove(platform: Platform, receipt: Receipt, withdrawn: list[str]) -> Receipt:
    """Removes all versions that hold the data, and what lies beside the lake; closes the receipt."""
    holding = held(platform, receipt.seeds)
    _flag_models(platform, holding, receipt)
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    for version in _versions(platform, holding):
        platform.lake.erase(version, receipt.receipt, moment)
    erased = [e for e in erased_versions(platform.lake.index()) if e.receipt == receipt.receipt]
    cleaned = clean_leftovers(platform, erased, withdrawn, receipt.receipt)
    receipt.also_cleaned = {
        kind: count + receipt.also_cleaned.get(kind, 0) for kind, count in cleaned.items()
    }
    receipt.erased_versions = [
        {"asset": e.asset, "partition": e.partition, "version": e.version} for e in erased
    ]
    _close(platform, receipt, moment)
    return receipt


def _told(observer: Observer | None) -> Callable[[str], object]:
    """Where a person reads what is waited for."""
    return (lambda reason: observer.progressed(0, 0, reason)) if observer else _log.info


def _flag_models(platform: Platform, holding: frozenset[str], receipt: Receipt) -> None:
    """Before the rebuild, so that its promotion decision finds no champion that must go.

    A registered version whose lake version was pruned counts as holding: nobody can tell any more
    what it was made from.
    """
    if not holding:
        return
    registry = platform.registry
    there = {version.id for version in platform.lake.every_version()}
    for name in registry.names():
        for version in registry.versions(name):
            pruned = version.lake_version not in there and version.asset in from_people()
            if version.lake_version not in holding and not pruned:
                continue
            if TRAINED_ON_ERASED in version.tags and not version.aliases:
                continue
            registry.retire(version, receipt.receipt)
            entry = {
                "model": name,
                "version": version.version,
                "lake_version": version.lake_version,
                "aliases_taken": list(version.aliases),
            }
            receipt.models.append(entry)
            receipts.write(platform, receipt)


def _selection(platform: Platform, holding: frozenset[str]) -> set[str]:
    entries = catalogue()
    assets = {v.asset for v in current_versions(platform) if v.id in holding}
    return {"erasures"} | {asset for asset in assets if asset in entries}


def _replace_the_rest(
    platform: Platform, receipt: Receipt, observer: Observer | None, result: runner.RunResult
) -> list[str]:
    """Leaves no current version that holds the data; returns the assets that lost theirs.

    What no run makes any more (assets of another release, months of another source) loses its
    current version; what a run found up to date, though its ancestors held the data, is forced.
    """
    if result.failed:
        raise RebuildFailed(
            f"these could not be made without the erased data: {', '.join(result.failed)}. Nothing was "
            "removed yet: repair it and repeat the command"
        )
    entries, months = catalogue(), active_months(platform)
    withdrawn = []
    for version in _current_holders(platform, receipt):
        known = version.asset in entries
        if not known or (version.partition is not None and version.partition not in months):
            platform.lake.withdraw(version.asset, version.partition)
            withdrawn.append(version.asset)
    rest = {version.asset for version in _current_holders(platform, receipt)}
    if rest:
        forced = runner.run(platform, rest, observer=observer, force=True, months=months)
        if forced.failed:
            return _replace_the_rest(platform, receipt, observer, forced)
    still = _current_holders(platform, receipt)
    if still:
        names = ", ".join(table_name(v.asset, v.partition) for v in still)
        raise ErasureError(f"{names} still hold erased data after a rebuild: nothing was removed")
    return withdrawn


def _current_holders(platform: Platform, receipt: Receipt) -> list[Version]:
    holding = held(platform, receipt.seeds)
    return [version for version in current_versions(platform) if version.id in holding]


def _versions(platform: Platform, names: frozenset[str]) -> list[Version]:
    """The folders of some versions, also of those whose erasure was interrupted."""
    return [version for version in platform.lake.every_version() if version.id in names]


def _close(platform: Platform, receipt: Receipt, moment: str) -> None:
    """Completes the receipt. The tombstones are closed first: a kill in between leaves it open.

    Only those that it carried out: what was recorded meanwhile waits for the next.
    """
    path, marks = erasures_file(platform), {Mark(*mark) for mark in receipt.marks}
    with tombstones_lock(platform):
        closed = [
            replace(stone, receipt=stone.receipt or receipt.receipt)
            if stone.mark in marks
            else stone
            for stone in read_tombstones(path)
        ]
        write_tombstones(path, closed)
    mine = [stone for stone in closed if stone.receipt == receipt.receipt]
    receipt.erased = {
        "users": sum(stone.mark.kind == "user" for stone in mine),
        "items": sum(s.mark.kind == "item" and s.reason != OF_A_USER for s in mine),
        "items of users": sum(stone.reason == OF_A_USER for stone in mine),
    }
    receipt.removed = [_removed(platform, entry) for entry in receipt.before.values()]
    receipt.source_files = _source_files(platform, receipt)
    receipt.note = NOTE
    if source(platform) == SAMPLE_WORLD:
        receipt.note += f" {NOTE_SAMPLE_WORLD}"
    receipt.state, receipt.completed_at = "complete", moment
    receipt.before, receipt.seeds, receipt.marks = {}, [], []
    receipts.write(platform, receipt)


def _removed(platform: Platform, before: dict[str, Any]) -> dict[str, Any]:
    """One line of the receipt: what a table was, what it is now, and how many rows less it has."""
    try:
        now = platform.lake.find(before["asset"], before["partition"])
    except LakeError:
        now = None
    rows = now.manifest.rows if now else None
    difference = before["rows"] - rows if before["rows"] is not None and rows is not None else None
    return {
        "asset": before["asset"],
        "partition": before["partition"],
        "old_version": before["version"],
        "new_version": now.id if now else None,
        "rows_before": before["rows"],
        "rows_after": rows,
        "rows_removed": difference,
    }


def _source_files(platform: Platform, receipt: Receipt) -> list[str]:
    """The dump files of the months that held the data, and the media folder."""
    months = {
        (entry["asset"], entry["partition"])
        for entry in receipt.removed
        if entry["asset"] in ("comments", "submissions")
    }
    files = set()
    for asset, month in sorted(months):
        version = platform.lake.find("reddit_dumps", month)
        listing = version.directory / "inventory.json" if version else None
        if listing is not None and listing.is_file():
            inventory = json.loads(listing.read_text())
            files |= {entry["path"] for entry in inventory if entry["kind"] == asset}
    folder = media_directory(platform) if files else None
    return sorted(files) + ([str(folder)] if folder is not None else [])


def _require_alone(platform: Platform) -> None:
    """Another run may be reading old versions, or be about to publish something made from them."""
    for lock in (runner.instance_folder(platform.home) / runner.RUNNING).glob("*.lock"):
        if in_use(lock):
            raise ErasureError(
                "a run is at work in this ZIPP_HOME: erase when it has ended (recorded erasures stay)"
            )


def _in_order(versions: list[Version]) -> list[Version]:
    """In the order of a run; unknown assets last."""
    place = {name: number for number, name in enumerate(catalogue())}
    return sorted(
        versions, key=lambda v: (place.get(v.asset, len(place)), v.asset, v.partition or "")
    )
