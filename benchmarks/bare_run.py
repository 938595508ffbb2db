"""The stage functions alone: each artifact's body once, in this process, with nothing around it.

    python benchmarks/bare_run.py        (with ZIPP_HOME set; prints seconds and counts as JSON)

No Dagster, no MLflow, no check, no contract, no hashing, no fsync: a body writes into a folder, and
the next one reads it. What `zipp run` takes beyond that is overhead, see `overhead.py`.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from assets.catalogue import catalogue
from zipp_dagster.platform.artifacts import Artifact, Skip, Summary
from zipp_dagster.platform.catalogue import Platform
from zipp_dagster.platform.lake import Draft
from zipp_dagster.platform.materialise import Expected, _run_body, _skip_reason, expect
from zipp_dagster.platform.registry import CHALLENGER, CHAMPION, ModelVersion
from zipp_dagster.platform.versions import MANIFEST, WHOLE, FileEntry, Manifest
from zipp_dagster.runner import known_months, local_platform


class Aliases:
    """Who is champion, in memory: what bodies ask of the registry, without MLflow."""

    def __init__(self) -> None:
        self.known: dict[str, list[ModelVersion]] = {}
        self.champions: dict[str, int] = {}

    def add(self, artifact: Artifact, version: str) -> None:
        """As registering does, without files."""
        name = artifact.model_name or ""
        entries = self.known.setdefault(name, [])
        now = datetime.now(UTC)
        entries.append(
            ModelVersion(
                name, len(entries) + 1, version, artifact.name, None, (CHALLENGER,), now, {}
            )
        )

    def by_lake_version(self, name: str, version: str) -> ModelVersion | None:
        """As the registry's."""
        return next((e for e in self.known.get(name, []) if e.lake_version == version), None)

    def by_alias(self, name: str, alias: str) -> ModelVersion | None:
        """As the registry's, for the champion."""
        number = self.champions.get(name)
        return self.known[name][number - 1] if alias == CHAMPION and number else None

    def promote(self, name: str, version: int, **_: Any) -> None:
        """As the registry's."""
        self.champions[name] = version


class Silent:
    """A tracker that records nothing."""

    def __getattr__(self, _: str) -> Any:
        return lambda *args, **options: None


def bare_run(platform: Platform, names: set[str]) -> dict[str, float]:
    """Runs the bodies in the order of `zipp run`; `{"made", "skipped", "seconds"}`.

    `seconds` is the wall time of the bodies and of finding their inputs.
    """
    entries, aliases = catalogue(), Aliases()
    platform = replace(platform, registry=aliases)
    started = time.perf_counter()
    made = skipped = 0
    for name in entries:
        if name not in names:
            continue
        artifact = entries[name]
        months = known_months(entries, platform) if artifact.partitioned else [None]
        for month in months:
            done = _body(artifact, month, platform, aliases)
            made += 1
            skipped += done is None
    return {"made": made, "skipped": skipped, "seconds": time.perf_counter() - started}


def _body(
    artifact: Artifact, month: str | None, platform: Platform, aliases: Aliases
) -> Summary | None:
    entries = catalogue()
    expected = expect(artifact, month, platform, entries)
    version = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}"
    folder = platform.lake.root / artifact.name / (month or WHOLE)
    scratch = platform.home / "scratch" / artifact.name / (month or WHOLE) / version
    draft = Draft(artifact.name, month, folder / version, scratch)
    draft.directory.mkdir(parents=True)
    draft.scratch.mkdir(parents=True)
    skipped = _skip_reason(artifact, expected)
    summary = None
    if skipped is None:
        try:
            summary = _run_body(artifact, expected, draft, Silent(), platform, entries)
        except Skip as reason:
            skipped = str(reason)
    _note(artifact, month, expected, version, draft.directory, summary, skipped)
    (folder / "current").write_text(version)
    if artifact.model_name and not skipped:
        aliases.add(artifact, version)
    return summary


def _note(
    artifact: Artifact,
    month: str | None,
    expected: Expected,
    version: str,
    folder: Path,
    summary: Summary | None,
    skipped: str | None,
) -> None:
    """The manifest that later bodies read: files by name and size, and no hash of them."""
    metadata = dict(summary.metadata) if summary else {}
    external = metadata.pop("external_files", ())
    manifest = Manifest(
        asset=artifact.name,
        partition=month,
        version=version,
        data_version=expected.data_version,
        code_version=expected.code_version,
        config_hash=expected.config_hash,
        config=expected.config,
        inputs=expected.refs,
        files=tuple(
            FileEntry(path.relative_to(folder).as_posix(), path.stat().st_size, "")
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        ),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        run_id=None,
        seconds=0.0,
        rows=summary.rows if summary else None,
        skipped=skipped,
        metadata=metadata,
        external_files=tuple(external),
    )
    (folder / MANIFEST).write_text(json.dumps(manifest.to_json(), default=str))


if __name__ == "__main__":
    import sys

    from zipp_dagster.platform.plan import select

    print(json.dumps(bare_run(local_platform(), select(catalogue(), " ".join(sys.argv[1:])))))
