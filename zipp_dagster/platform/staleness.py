"""Which current versions were built from inputs that are no longer current, by manifests alone.

`plan` asks what a run would make now, and needs settings, code and sources for it. This is the
auditor's question: is what people read now consistent with itself? It needs nothing but the lake.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from zipp_dagster.platform.lake import Lake
from zipp_dagster.platform.versions import InputRef, LakeError, Version


@dataclass(frozen=True)
class Outdated:
    """A current version one of whose inputs has been made anew, or has gone, since."""

    asset: str
    partition: str | None
    version: str
    input: str
    input_partition: str | None
    used: str
    current: str | None

    @property
    def sentence(self) -> str:
        """In words."""
        name, source = _label(self.asset, self.partition), _label(self.input, self.input_partition)
        now = f"{self.current} is current" if self.current else "it has no current version"
        return f"{name} was made from {source} {self.used}; now {now}"


@dataclass(frozen=True)
class StalenessReport:
    """The outdated inputs, and the current versions that follow from them."""

    versions: int
    outdated: tuple[Outdated, ...]
    affected: tuple[str, ...] = field(default=())

    @property
    def consistent(self) -> bool:
        """Every current version was built from versions that are still current."""
        return not self.outdated

    def to_json(self) -> dict[str, Any]:
        """The report as JSON types."""
        return {
            "consistent": self.consistent,
            "versions": self.versions,
            "outdated": [{**entry.__dict__} for entry in self.outdated],
            "affected": list(self.affected),
        }


def staleness(lake: Lake, above: Iterable[Version] | None = None) -> StalenessReport:
    """Compares the inputs of every current version with what is current now.

    An input that was made again to the same data version is not outdated: its content is the same.
    Nor is a version that follows from content outside the lake: an input made anew changes nothing.

    Args:
        lake: where the manifests are.
        above: only these versions and what they were made from; all by default.
    """
    current = {(v.asset, v.partition): v for v in current_versions(lake)}
    if above is not None:
        names = _ancestors(current, above)
        judged = {place: version for place, version in current.items() if place in names}
    else:
        judged = current
    outdated = [
        Outdated(
            version.asset, version.partition, version.id, *_input(ref), now.id if now else None
        )
        for version in judged.values()
        if not version.manifest.by_content
        for ref in version.manifest.inputs
        if (now := current.get((ref.asset, ref.partition))) is None
        or now.manifest.data_version != ref.data_version
    ]
    return StalenessReport(len(judged), tuple(outdated), tuple(_affected(judged, outdated)))


def _ancestors(
    current: dict[tuple[str, str | None], Version], versions: Iterable[Version]
) -> set[tuple[str, str | None]]:
    """Asset and partition of the versions and of all that their current inputs are made from."""
    todo, found = [(v.asset, v.partition) for v in versions], set[tuple[str, str | None]]()
    while todo:
        place = todo.pop()
        if place in found or place not in current:
            continue
        found.add(place)
        todo += [(ref.asset, ref.partition) for ref in current[place].manifest.inputs]
    return found


def current_versions(lake: Lake) -> Iterator[Version]:
    """The current version of every asset partition; pointers to nothing are `verify`'s to report."""
    for asset in lake.assets():
        for partition in lake.partitions(asset):
            try:
                version = lake.find(asset, partition)
            except LakeError:
                continue
            if version is not None:
                yield version


def _input(ref: InputRef) -> tuple[str, str | None, str]:
    return ref.asset, ref.partition, ref.version


def _affected(
    current: dict[tuple[str, str | None], Version], outdated: list[Outdated]
) -> Iterator[str]:
    """The current versions that were made, at any distance, from an outdated one."""
    tainted = {entry.version for entry in outdated}
    grown = True
    while grown:
        grown = False
        for version in current.values():
            used = {ref.version for ref in version.manifest.inputs}
            if version.id not in tainted and used & tainted:
                tainted.add(version.id)
                grown = True
    roots = {entry.version for entry in outdated}
    for version in current.values():
        if version.id in tainted - roots:
            yield _label(version.asset, version.partition)


def _label(asset: str, partition: str | None) -> str:
    return asset if partition is None else f"{asset}[{partition}]"
