"""The trained encoders of an ablation: each tuned on one seed, then trained again by others.

What lives here: which trainings that takes, and running several at once. What does not: which
encoders there are (`ablation`), the search (`tuning`), and the loop (`training`).
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from zipp_dagster.encoder.comparison import Comparison, model_scorer
from zipp_dagster.encoder.config import Architecture, EncoderSettings
from zipp_dagster.encoder.evaluation import DotScorer
from zipp_dagster.encoder.model_io import ModelError, load_model
from zipp_dagster.encoder.tuning import mixed, tune
from zipp_dagster.fanout import FanOut, Need, need_of_model, own_errors
from zipp_dagster.progress import Progress

FINGERPRINT = "fingerprint.txt"
"""Beside a finished model: what it was trained from, by `training_fingerprint`."""


@dataclass(frozen=True)
class Training:
    """The arguments of `train`, for any process."""

    dirs: tuple[Path, Path, Path]
    visual: pa.Table | None
    settings: EncoderSettings
    architecture: Architecture
    out_dir: Path

    def run(self) -> None:
        """Trains into `out_dir`, which is there only when the model is whole.

        A killed run of the same goes on from its checkpoint; one that finished is not run again.
        """
        from zipp_dagster.encoder import training

        if self.finished():
            return
        scratch = self.out_dir.with_name(f"{self.out_dir.name}.unfinished")
        model = scratch / "model"
        # They may be there already: a killed run left its checkpoint to resume from.
        model.mkdir(parents=True, exist_ok=True)
        report = training.train(
            *self.dirs, self.visual, self.settings, model, scratch, architecture=self.architecture
        )
        (model / FINGERPRINT).write_text(report.fingerprint)
        # A model of other settings or data may be there.
        shutil.rmtree(self.out_dir, ignore_errors=True)
        model.replace(self.out_dir)
        shutil.rmtree(scratch)

    def finished(self) -> bool:
        """Whether `out_dir` holds the model that this training would end in."""
        try:
            load_model(self.out_dir)
            found = (self.out_dir / FINGERPRINT).read_text()
        except (ModelError, FileNotFoundError):
            return False
        from zipp_dagster.encoder.fingerprint import training_fingerprint

        return found == training_fingerprint(
            *self.dirs, self.visual, self.settings, self.architecture
        )


@dataclass
class Bench:
    """Where encoders are trained: the data, a directory for models, and an engine."""

    dirs: tuple[Path, Path, Path]
    visual: pa.Table | None
    scratch_dir: Path
    fan_out: FanOut
    progress: Progress
    done: int = 0
    total: int = 0

    def training(self, key: str, architecture: Architecture, settings: EncoderSettings) -> Training:
        """One training, with a directory of its own."""
        return Training(self.dirs, self.visual, settings, architecture, self.scratch_dir / key)

    def train(self, trainings: Sequence[Training]) -> None:
        """Trains all, as many at once as the engine does."""
        from zipp_dagster.encoder.training_setup import choose_device

        if not trainings:
            return
        settings, before = trainings[0].settings, self.done

        def report(done: int, total: int, note: str = "") -> None:
            self.done = before + done
            self.progress(self.done, self.total, trainings[done - 1].out_dir.name)

        device = choose_device(settings.device).type
        need = Need(settings.threads, in_python=True) if device == "cpu" else need_of_model(device)
        with own_errors():
            self.fan_out.map(Training.run, trainings, report, need=need)


@dataclass
class TrainedEncoder:
    """One trained encoder: tuned on the settings' seed, then scored for every seed."""

    name: str
    architecture: Architecture
    variants: list[tuple[str, EncoderSettings]]
    given: Path | None
    variant: int | None = None
    weight: float = 0.0

    def first(self, bench: Bench) -> list[Training]:
        """A training for each variant that is not given."""
        return [
            bench.training(f"{self.name}.{number}", self.architecture, chosen)
            for number, (_, chosen) in enumerate(self.variants)
            if number > 0 or self.given is None
        ]

    def tune(self, data: Comparison, bench: Bench) -> None:
        """Choose a variant, and add it to the comparison."""
        directories = [
            self.given
            if self.given and number == 0
            else bench.scratch_dir / f"{self.name}.{number}"
            for number in range(len(self.variants))
        ]
        # Made one by one: a scorer holds everybody's vectors.
        scorers = (
            (description, self._scorer(directory, data))
            for (description, _), directory in zip(self.variants, directories)
        )
        tuned = tune(scorers, data.graph, data.split)
        self.variant, self.weight = tuned.variant, tuned.scorer.weight
        data.tuning += tuned.runs
        data.notes.append(f"{self.name}: {tuned.description}.")
        data.add(tuned.scorer)
        own = tuned.scorer.own
        assert isinstance(own, DotScorer)
        data.add_model(self.name, load_model(directories[tuned.variant]), own)

    def training(self, seed: int, bench: Bench) -> Training:
        """The chosen variant with another seed."""
        if self.variant is None:
            raise RuntimeError(f"{self.name} is not tuned yet")
        _, chosen = self.variants[self.variant]
        key = f"{self.name}.seed{seed}"
        return bench.training(key, self.architecture, chosen.model_copy(update={"seed": seed}))

    def add_seed(self, seed: int, data: Comparison, bench: Bench) -> None:
        """Add the chosen variant as that seed trained it."""
        directory = bench.scratch_dir / f"{self.name}.seed{seed}"
        scorer = self._scorer(directory, data)
        data.add(replace(mixed(scorer, data.graph, data.split), weight=self.weight))
        data.add_model(self.name, load_model(directory), scorer)

    def _scorer(self, directory: Path, data: Comparison) -> DotScorer:
        return model_scorer(
            self.name, load_model(directory), data.graph, data.split, data.text, data.settings
        )
