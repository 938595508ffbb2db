"""Which versions of the lake hold something that is to be erased, and which of them are current."""

from __future__ import annotations

from collections.abc import Iterable

from assets.catalogue import catalogue
from assets.sources import erasures_file
from zipp_dagster.erasing.record import RAW, raw_versions, table_name
from zipp_dagster.platform.catalogue import Platform
from zipp_dagster.platform.erased import holders
from zipp_dagster.platform.materialise import expect
from zipp_dagster.platform.versions import InputRef, NotMaterialised, Version
from zipp_dagster.reddit.erasure import Tombstone, read_tombstones


def pending(platform: Platform) -> list[Tombstone]:
    """Tombstones whose data may still lie in old versions."""
    return [stone for stone in read_tombstones(erasures_file(platform)) if stone.receipt is None]


def seeds(platform: Platform, stones: Iterable[Tombstone]) -> list[str]:
    """The raw versions that hold, or may hold, what the tombstones hide.

    Of a table that they concern these are all versions, but for a current one that was already
    made without them.
    """
    stones = list(stones)
    found = []
    for asset, partition, versions in raw_versions(platform):
        if not any(stone.concerns(table_name(asset, partition)) for stone in stones):
            continue
        current = platform.lake.find(asset, partition)
        found += [v.id for v in versions if v != current or not _clean(platform, v)]
    return found


def held(platform: Platform, roots: Iterable[str]) -> frozenset[str]:
    """The names of all versions made from some raw ones.

    Where a version in between was pruned, so that nobody can tell, the later one counts as holding.
    """
    entries, concerned = catalogue(), from_people()

    def doubtful(ref: InputRef) -> bool:
        return ref.asset in concerned or ref.asset not in entries

    roots = list(roots)
    return holders(platform.lake.index(), roots, doubtful) if roots else frozenset()


def from_people() -> frozenset[str]:
    """The assets that are made from people's records, those records included."""
    entries = catalogue()
    return frozenset(name for asset in RAW for name in entries.downstream(asset))


def current_versions(platform: Platform) -> list[Version]:
    """Every current version of the lake."""
    lake = platform.lake
    return [lake.current(name, part) for name in lake.assets() for part in lake.partitions(name)]


def _clean(platform: Platform, version: Version) -> bool:
    """Whether a current raw version already leaves out all that has a tombstone."""
    entries = catalogue()
    try:
        expected = expect(entries[version.asset], version.partition, platform, entries)
    except NotMaterialised:
        return False
    return expected.fits(version.manifest)
