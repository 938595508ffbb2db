"""What a materialisation works with: the platform's parts, and all artifacts in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zipp_dagster.fanout import FanOut
from zipp_dagster.platform.artifacts import Artifact
from zipp_dagster.platform.lake import Lake
from zipp_dagster.platform.registry import Registry
from zipp_dagster.platform.warehouse import Warehouse
from zipp_dagster.progress import Progress, silent


@dataclass(frozen=True)
class Platform:
    """What every materialisation needs besides the artifact itself."""

    settings: Any
    lake: Lake
    warehouse: Warehouse
    registry: Registry
    compute: FanOut
    home: Path
    progress: Progress = silent

    @property
    def reports(self) -> Path:
        """Where pages for people are kept."""
        return self.home / "reports"

    def report_url(self, page: Path) -> str:
        """The address of a page below `reports` while `zipp ui` runs."""
        server = self.settings.server
        path = page.relative_to(self.reports).as_posix()
        return f"http://{server.host}:{server.report_port}/{path}"


class Catalogue(Mapping[str, Artifact]):
    """All artifacts of the project by name, in topological order; knows the active partitions."""

    def __init__(
        self,
        artifacts: Sequence[Artifact],
        active_partitions: Callable[[Platform], list[str]],
    ) -> None:
        by_name = {artifact.name: artifact for artifact in artifacts}
        if len(by_name) != len(artifacts):
            names = [artifact.name for artifact in artifacts]
            raise ValueError(
                f"two assets share a name: {sorted({n for n in names if names.count(n) > 1})}"
            )
        for artifact in artifacts:
            for name in artifact.inputs:
                if name not in by_name:
                    raise ValueError(f"{artifact.name} reads {name!r}, which no asset makes")
        self._artifacts = {name: by_name[name] for name in _topological(by_name)}
        self.active_partitions = active_partitions

    def __getitem__(self, name: str) -> Artifact:
        return self._artifacts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._artifacts)

    def __len__(self) -> int:
        return len(self._artifacts)

    def column_lineage(self, name: str) -> dict[str, list[list[str]]]:
        """Column → [table, column] pairs of a SQL model; empty for every other artifact."""
        artifact = self[name]
        if artifact.sql is None:
            return {}
        contracts = {parent: self[parent].contract for parent in artifact.inputs}
        schemas = {parent: list(c.column_types) for parent, c in contracts.items() if c is not None}
        return artifact.sql.column_lineage(schemas)

    def upstream(self, name: str) -> set[str]:
        """An artifact and everything that it is made from."""
        found = {name}
        for parent in self[name].inputs:
            if parent not in found:
                found |= self.upstream(parent)
        return found

    def downstream(self, name: str) -> set[str]:
        """An artifact and everything that is made from it."""
        found = {name}
        for other in self:
            if found & set(self[other].inputs):
                found.add(other)
        return found


def _topological(artifacts: Mapping[str, Artifact]) -> list[str]:
    from graphlib import TopologicalSorter

    # Lists, not sets: the order of a run is the same in every process.
    graph = {name: sorted(artifact.inputs) for name, artifact in sorted(artifacts.items())}
    return list(TopologicalSorter(graph).static_order())
