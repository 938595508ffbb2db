"""What would run, and why: compares each artifact's current version with what it would become."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from zipp_dagster.platform.artifacts import Artifact
from zipp_dagster.platform.catalogue import Catalogue, Platform
from zipp_dagster.platform.lake import Lake
from zipp_dagster.platform.materialise import Expected, expect
from zipp_dagster.platform.versions import LakeError, Manifest, NotMaterialised

State = Literal["fresh", "stale", "missing"]


class SelectionError(Exception):
    """A selection names nothing; the message lists what there is."""


@dataclass(frozen=True)
class Step:
    """One artifact partition: whether it is to be made, why, and what it took before.

    `seconds`, `size` (bytes) and tokens of a language model are those of its current version, or of
    another partition's; None where it was never made.
    """

    asset: str
    partition: str | None
    state: State
    reason: str
    seconds: float | None = None
    size: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    @property
    def name(self) -> str:
        """The asset, with its partition in brackets."""
        return self.asset if self.partition is None else f"{self.asset}[{self.partition}]"

    def to_json(self) -> dict[str, Any]:
        """The step as JSON types."""
        return dict(self.__dict__)


def plan(
    catalogue: Catalogue,
    platform: Platform,
    months: Sequence[str],
    selection: Iterable[str] | None = None,
) -> list[Step]:
    """Every selected artifact partition in the order of a run, with its state and the reason."""
    chosen = set(catalogue if selection is None else selection)
    unmade: set[tuple[str, str | None]] = set()
    steps = []
    for name, artifact in catalogue.items():
        if name not in chosen:
            continue
        for partition in months if artifact.partitioned else [None]:
            step = _step(artifact, partition, platform, catalogue, months, unmade)
            if step.state != "fresh":
                unmade.add((name, partition))
            steps.append(step)
    return steps


def _step(
    artifact: Artifact,
    partition: str | None,
    platform: Platform,
    catalogue: Catalogue,
    months: Sequence[str],
    unmade: set[tuple[str, str | None]],
) -> Step:
    try:
        current = platform.lake.find(artifact.name, partition)
        manifest = current.manifest if current else None
    except LakeError as error:
        return Step(artifact.name, partition, "missing", str(error))
    took = _took(manifest or _elsewhere(platform.lake, artifact))

    def step(state: State, reason: str) -> Step:
        return Step(artifact.name, partition, state, reason, **took)

    if current is None or manifest is None:
        return step("missing", "never materialised")
    for parent in artifact.inputs:
        upstream = catalogue[parent]
        same = [partition] if artifact.partitioned else list(months)
        for part in same if upstream.partitioned else [None]:
            if (parent, part) in unmade:
                where = parent if part is None else f"{parent}[{part}]"
                return step("stale", f"{where} will be made")
    try:
        expected = expect(artifact, partition, platform, catalogue)
    except NotMaterialised as error:
        return step("stale", str(error))
    if not expected.fits(manifest):
        return step("stale", why_stale(manifest, expected))
    again = artifact.why_again(platform, current)
    return step("stale", again) if again else step("fresh", "up to date")


def _took(manifest: Manifest | None) -> dict[str, Any]:
    if manifest is None:
        return {}
    return {
        "seconds": manifest.seconds,
        "size": manifest.size,
        "prompt_tokens": _tokens(manifest.metadata, "prompt_tokens"),
        "completion_tokens": _tokens(manifest.metadata, "completion_tokens"),
    }


def _tokens(metadata: Any, name: str) -> int:
    """The sum of all entries of a name in nested metadata: of a model, or of each method."""
    if isinstance(metadata, dict):
        own = metadata.get(name)
        inner = sum(_tokens(value, name) for key, value in metadata.items() if key != name)
        return inner + (int(own) if isinstance(own, int | float) else 0)
    if isinstance(metadata, list | tuple):
        return sum(_tokens(value, name) for value in metadata)
    return 0


def why_stale(manifest: Manifest, expected: Expected) -> str:
    """The first difference between a version and what it would become, in words."""
    if manifest.code_version != expected.code_version:
        return "its code changed"
    if manifest.config_hash != expected.config_hash:
        keys = _changed_keys(manifest.config, expected.config)
        return f"settings changed: {', '.join(keys)}"
    before = {(ref.asset, ref.partition): ref.data_version for ref in manifest.inputs}
    after = {(ref.asset, ref.partition): ref.data_version for ref in expected.refs}
    for asset, partition in sorted(set(before) | set(after), key=str):
        where = asset if partition is None else f"{asset}[{partition}]"
        if (asset, partition) not in before:
            return f"{where} is new"
        if (asset, partition) not in after:
            return f"{where} is gone"
        if before[asset, partition] != after[asset, partition]:
            return f"{where} changed"
    return "what it reads outside the lake changed"


def _changed_keys(before: dict[str, Any], after: dict[str, Any], prefix: str = "") -> list[str]:
    keys = []
    for key in sorted(set(before) | set(after)):
        left, right = before.get(key), after.get(key)
        if isinstance(left, dict) and isinstance(right, dict):
            keys += _changed_keys(left, right, f"{prefix}{key}.")
        elif left != right:
            keys.append(f"{prefix}{key}")
    return keys


def _elsewhere(lake: Lake, artifact: Artifact) -> Manifest | None:
    """What another partition is, where this one was never made."""
    for partition in lake.partitions(artifact.name):
        return lake.current(artifact.name, partition).manifest
    return None


def select(catalogue: Catalogue, expression: str | None) -> set[str]:
    """The artifacts of a selection such as `+personas,group:zipbench,gat_checkpoint+`.

    `+x` is x and all upstream, `x+` and all downstream; parts are joined by commas or blanks.

    Raises:
        SelectionError: if a part names no artifact and no group.
    """
    if not expression or expression.strip() == "*":
        return set(catalogue)
    groups = sorted({artifact.group for artifact in catalogue.values()})
    chosen: set[str] = set()
    for part in expression.replace(",", " ").split():
        name = part.strip("+")
        if name.startswith("group:"):
            names = {n for n, a in catalogue.items() if a.group == name.removeprefix("group:")}
        else:
            names = {name} & set(catalogue)
        if not names:
            raise SelectionError(
                f"{part!r} selects nothing. Assets: {', '.join(catalogue)}. Groups: "
                + ", ".join(f"group:{group}" for group in groups)
            )
        for found in sorted(names):
            chosen.add(found)
            chosen |= catalogue.upstream(found) if part.startswith("+") else set()
            chosen |= catalogue.downstream(found) if part.endswith("+") else set()
    return chosen
