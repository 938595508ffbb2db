"""What lies outside the lake's versions: caches, kept personas, model files, events, old pages."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from assets.sources import media_cache
from zipp_dagster.erasing.holding import from_people
from zipp_dagster.operation.instance import open_instance
from zipp_dagster.persona.language_models import CACHE_FOLDER, NO_CACHE
from zipp_dagster.personal import PersonaStore
from zipp_dagster.platform.catalogue import Platform
from zipp_dagster.platform.dagster_history import compact_sqlite, forget_asset, forget_steps
from zipp_dagster.platform.erased import ErasedVersion
from zipp_dagster.platform.files import sha256_of
from zipp_dagster.platform.registry import TRAINED_ON_ERASED
from zipp_dagster.reddit.media import cached_addresses
from zipp_dagster.reddit.media_cache import MediaCache

REPORT = "zipbench_report"
_ANSWER = re.compile(r"[0-9a-f]{64}\.json")


def clean_leftovers(
    platform: Platform, erased: Sequence[ErasedVersion], withdrawn: Sequence[str], receipt: str
) -> dict[str, int]:
    """Removes what was kept beside the lake, by kind: how many went.

    Args:
        platform: whose home it is.
        erased: the versions of this erasure.
        withdrawn: assets that have no current version any more in some partition.
        receipt: the erasure's name, by which its models are flagged.
    """
    return {
        "kept personas": PersonaStore(platform).forget_erased(),
        "drafts and partial work": platform.lake.discard_partial_work(sorted(from_people())),
        "language model answers": _drop_answers(platform),
        "cached images": _drop_cached_images(platform),
        "spilled query files": _empty(platform.warehouse.spill_directory),
        "model files in the registry": _drop_model_files(platform, receipt),
        "Dagster events": _drop_events(platform, erased, withdrawn),
        "pages": _drop_pages(platform, erased),
    }


def _drop_answers(platform: Platform) -> int:
    """Empties the language model's cache: an answer does not tell whose evidence it was about."""
    chosen = platform.settings.persona.language_model.cache_dir
    named = chosen and chosen != NO_CACHE
    folder = Path(chosen).expanduser() if named else platform.home / CACHE_FOLDER
    paths = [path for path in folder.rglob("*.json") if _ANSWER.fullmatch(path.name)]
    for path in paths:
        path.unlink()
    return len(paths)


def _drop_cached_images(platform: Platform) -> int:
    """Keeps, of the fetched images, only what a current submission still points to."""
    folder = media_cache(platform)
    if not folder.is_dir():
        return 0
    lake = platform.lake
    versions = [lake.current("submissions", part) for part in lake.partitions("submissions")]
    files = [path for version in versions for path in version.files()]
    with MediaCache(folder) as cache:
        return cache.keep_only(cached_addresses(files))


def _drop_model_files(platform: Platform, receipt: str) -> int:
    registry = platform.registry
    flagged = [
        version
        for name in registry.names()
        for version in registry.versions(name)
        if version.tags.get(TRAINED_ON_ERASED) == receipt
    ]
    return sum(registry.delete_files(version) for version in flagged)


def _drop_events(
    platform: Platform, erased: Sequence[ErasedVersion], withdrawn: Sequence[str]
) -> int:
    steps = [(entry.run_id, entry.asset) for entry in erased if entry.run_id]
    if not steps and not withdrawn:
        return 0
    instance = open_instance(platform.home)
    removed = forget_steps(instance, steps)
    for asset in withdrawn:
        forget_asset(instance, asset)
    compact_sqlite(Path(instance.root_directory))
    return removed


def _drop_pages(platform: Platform, erased: Sequence[ErasedVersion]) -> int:
    """Removes the report where it is not the current version's, and pages of vanished tables."""
    lake, gone = platform.lake, 0
    current = lake.find(REPORT)
    for path in (platform.reports / "zipbench").glob("*"):
        kept = current.directory / path.name if current else None
        if kept is None or not kept.is_file() or sha256_of(kept) != sha256_of(path):
            path.unlink()
            gone += 1
    for entry in erased:
        name = entry.asset if entry.partition is None else f"{entry.asset}-{entry.partition}"
        page = platform.reports / "data_docs" / f"{name}.html"
        if page.is_file() and entry.partition not in lake.partitions(entry.asset):
            page.unlink()
            gone += 1
    return gone


def _empty(folder: Path) -> int:
    """Removes what killed processes left in a folder of temporary files."""
    paths = list(folder.iterdir()) if folder.is_dir() else []
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    return len(paths)
