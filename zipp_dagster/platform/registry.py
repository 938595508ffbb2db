"""The model registry in MLflow, called directly: models as files, aliases for who is champion.

The lake holds the bytes that the platform reads; a registered model version carries the same
files (safetensors and config, never a pickle), its metrics, and the lake version as a tag. The
alias `champion` decides what everything downstream pins; `previous` is where a rollback goes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from zipp_dagster.platform.locks import exclusive
from zipp_dagster.platform.tracking import METRICS_A_BATCH, Tracker, TrackingStore

CHALLENGER = "challenger"
CHAMPION = "champion"
PREVIOUS = "previous"
TRAINED_ON_ERASED = "zipp.trained_on_erased"
"""Tag of a model version that learnt from data that was erased since: the receipt."""
PICKLES = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt", ".bin")


MOVE_TAG = "zipp.move."
"""Prefix of the tags of a registered model that tell how its champion changed, one a move."""
OUTSIDE = "somebody outside zipp"
ERASURE = "zipp erase"


class RegistryError(Exception):
    """A model or alias is not there; the message says what is."""


class RegistryConflict(RegistryError):
    """Another promotion came first; the message says whose."""


@dataclass(frozen=True)
class Move:
    """A change of a model's champion: from and to which version, who, why, and when (UTC)."""

    model: str
    before: int | None
    after: int | None
    who: str
    why: str
    when: str


@dataclass(frozen=True)
class ModelVersion:
    """A registered version: its number, the lake version that holds its bytes, its aliases."""

    name: str
    version: int
    lake_version: str
    asset: str
    run_id: str | None
    aliases: tuple[str, ...]
    created: datetime
    tags: Mapping[str, str]


class Registry(TrackingStore):
    """The model registry of one ZIPP_HOME or of a server, with the store that its runs are in."""

    def register(
        self,
        tracker: Tracker,
        name: str,
        directory: Path,
        *,
        asset: str,
        lake_version: str,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
    ) -> ModelVersion:
        """Registers a version's files as the next version of a model, alias `challenger`.

        Raises:
            RegistryError: if the directory holds a pickle.
        """
        from mlflow.entities import LoggedModelStatus, Metric

        pickles = [p for p in directory.rglob("*") if p.suffix in PICKLES]
        if pickles:
            raise RegistryError(f"{pickles[0]} is not registered: models are safetensors and JSON")
        model = self.client.create_logged_model(
            experiment_id=self.experiment_id,
            name=name,
            source_run_id=tracker.run_id,
            tags={"zipp.asset": asset, "zipp.lake_version": lake_version, **tags},
            model_type="zipp",
        )
        self.client.log_model_artifacts(model.model_id, str(directory))
        self.client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        now = int(time.time() * 1000)
        entries = [
            Metric(key, float(value), now, 0, model_id=model.model_id, run_id=tracker.run_id)
            for key, value in metrics.items()
        ]
        if entries:
            self.client.log_batch(tracker.run_id, metrics=entries[:METRICS_A_BATCH])
        self._ensure_model(name)
        version = self.client.create_model_version(
            name,
            source=model.artifact_location,
            run_id=tracker.run_id,
            tags={"zipp.asset": asset, "zipp.lake_version": lake_version, **tags},
            model_id=model.model_id,
        )
        self.client.set_registered_model_alias(name, CHALLENGER, version.version)
        return self.get(name, int(version.version))

    def names(self) -> list[str]:
        """All registered models."""
        return sorted(model.name for model in self.client.search_registered_models())

    def versions(self, name: str) -> list[ModelVersion]:
        """All versions of a model, oldest first; empty for an unknown model."""
        aliases = self._aliases(name)
        found = self.client.search_model_versions(f"name='{name}'")
        return sorted(
            (_model_version(entry, aliases) for entry in found), key=lambda entry: entry.version
        )

    def get(self, name: str, version: int) -> ModelVersion:
        """One version of a model."""
        return _model_version(
            self.client.get_model_version(name, str(version)), self._aliases(name)
        )

    def by_alias(self, name: str, alias: str) -> ModelVersion | None:
        """The version that an alias points to, None where it does not exist."""
        version = {a: v for v, names in self._aliases(name).items() for a in names}.get(alias)
        return None if version is None else self.get(name, version)

    def by_lake_version(self, name: str, lake_version: str) -> ModelVersion | None:
        """The registered version whose bytes are a version of the lake."""
        return next((v for v in self.versions(name) if v.lake_version == lake_version), None)

    def promote(
        self,
        name: str,
        version: int,
        *,
        who: str,
        why: str,
        against: int | None = None,
    ) -> ModelVersion:
        """Makes a version the champion; the champion before becomes `previous`.

        Args:
            name: the registered model.
            version: its version.
            who: a person, or the asset that decided.
            why: the reason, kept with the move.
            against: the champion that the decision was made against, 0 for none; leave it out to
                promote whoever is champion now.

        Raises:
            RegistryError: there is no such version.
            RegistryConflict: the champion is no longer the one of `against`.
        """
        known = [entry.version for entry in self.versions(name)]
        if version not in known:
            listed = ", ".join(map(str, known)) or "none"
            raise RegistryError(f"{name} has no version {version}; it has: {listed}")
        with self._moving():
            before = self.by_alias(name, CHAMPION)
            number = before.version if before is not None else None
            if against is not None and against != (number or 0):
                raise RegistryConflict(self._conflict(name, version, against, number))
            if before is not None and before.version == version:
                return before
            if before is not None:
                self.client.set_registered_model_alias(name, PREVIOUS, str(before.version))
            self.client.set_registered_model_alias(name, CHAMPION, str(version))
            move = self.record(name, number, version, who=who, why=why)
        for key, value in {"who": who, "why": why, "when": move.when}.items():
            self.client.set_model_version_tag(name, str(version), f"zipp.promoted.{key}", value)
        return self.get(name, version)

    def _moving(self) -> AbstractContextManager[None]:
        """Held while an alias and its entry in the history change, which only together agree."""
        return exclusive(self.artifact_root.parent / "promotion.lock")

    def _conflict(self, name: str, version: int, against: int, now: int | None) -> str:
        moves = self.moves(name)
        last = f" ({moves[-1].who} at {moves[-1].when}: {moves[-1].why})" if moves else ""
        return (
            f"{name} {version} was compared with {f'version {against}' if against else 'no champion'}, "
            f"but {f'version {now}' if now else 'nobody'} is champion now{last}: compare again"
        )

    def record(
        self, name: str, before: int | None, after: int | None, *, who: str, why: str
    ) -> Move:
        """Writes a change of champion into the model's history, where MLflow shows it as a tag."""
        now = datetime.now(UTC)
        move = Move(name, before, after, who, why[:4000], now.isoformat(timespec="seconds"))
        entry = {key: value for key, value in move.__dict__.items() if key != "model"}
        key = f"{MOVE_TAG}{now.strftime('%Y%m%dT%H%M%S%f')}"
        self.client.set_registered_model_tag(name, key, json.dumps(entry))
        return move

    def moves(self, name: str) -> list[Move]:
        """The history of a model's champion, oldest first; empty for an unknown model."""
        from mlflow.exceptions import MlflowException

        try:
            tags = self.client.get_registered_model(name).tags
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return []
        found = sorted((k, v) for k, v in tags.items() if k.startswith(MOVE_TAG))
        return [Move(model=name, **json.loads(value)) for _, value in found]

    def audit(self, name: str) -> Move | None:
        """Records a champion that changed without a promotion of ours; None where none did.

        Somebody may move an alias in MLflow itself. That is allowed, and it is written down.
        """
        with self._moving():
            champion, moves = self.by_alias(name, CHAMPION), self.moves(name)
            now = champion.version if champion is not None else None
            known = moves[-1].after if moves else None
            if now == known:
                return None
            why = "the alias was moved in MLflow, not by a promotion"
            return self.record(name, known, now, who=OUTSIDE, why=why)

    def rollback(self, name: str, *, who: str, why: str) -> ModelVersion:
        """Makes the previous champion the champion again."""
        previous = self.by_alias(name, PREVIOUS)
        if previous is None:
            raise RegistryError(f"{name} has no previous champion to roll back to")
        return self.promote(name, previous.version, who=who, why=f"rollback: {why}")

    def retire(self, version: ModelVersion, receipt: str) -> ModelVersion:
        """Flags a version as trained on erased data and takes its aliases away.

        So it is neither champion nor the target of a rollback; the next promotion decision finds
        no champion and judges the retrained candidate on its own. The history of the champion names
        the receipt; after a kill in between, the same call completes it.
        """
        name, number = version.name, version.version
        self.client.set_model_version_tag(name, str(number), TRAINED_ON_ERASED, receipt)
        with self._moving():
            if CHAMPION in version.aliases:
                why = f"{receipt}: trained on what was erased"
                moves = self.moves(name)
                if not moves or (moves[-1].who, moves[-1].why) != (ERASURE, why):
                    self.record(name, number, None, who=ERASURE, why=why)
            for alias in version.aliases:
                self.client.delete_registered_model_alias(name, alias)
        return self.get(name, number)

    def delete_files(self, version: ModelVersion) -> bool:
        """Deletes a version's files from the artifact store; the entry stays. False if none."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        source = self.client.get_model_version_download_uri(version.name, str(version.version))
        repository = get_artifact_repository(source)
        if not repository.list_artifacts():
            return False
        repository.delete_artifacts()
        return True

    def protected_lake_versions(self) -> frozenset[str]:
        """The lake versions that any alias points to: `zipp prune` spares them."""
        return frozenset(
            entry.lake_version
            for name in self.names()
            for entry in self.versions(name)
            if entry.aliases
        )

    def prune_runs(
        self, kept: Collection[str], before: datetime, *, dry_run: bool = False
    ) -> list[str]:
        """Deletes runs as `delete_runs`; a run that a registered version came from stays."""
        registered = {v.run_id for name in self.names() for v in self.versions(name)}
        return self.delete_runs(kept, before, spared=registered, dry_run=dry_run)

    def _ensure_model(self, name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self.client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _aliases(self, name: str) -> dict[int, tuple[str, ...]]:
        """Version number → its aliases."""
        from mlflow.exceptions import MlflowException

        try:
            aliases = self.client.get_registered_model(name).aliases
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return {}
        found: dict[int, list[str]] = {}
        for alias, version in aliases.items():
            found.setdefault(int(version), []).append(alias)
        return {version: tuple(sorted(names)) for version, names in found.items()}


def _model_version(entry: Any, aliases: Mapping[int, tuple[str, ...]]) -> ModelVersion:
    return ModelVersion(
        name=entry.name,
        version=int(entry.version),
        lake_version=entry.tags.get("zipp.lake_version", ""),
        asset=entry.tags.get("zipp.asset", ""),
        run_id=entry.run_id,
        aliases=aliases.get(int(entry.version), ()),
        created=datetime.fromtimestamp(entry.creation_timestamp / 1000, UTC),
        tags=dict(entry.tags),
    )
