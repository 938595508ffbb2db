"""Personas from evidence, by any language model, guarded: the personas table.

One row a person with evidence. A persona that is unparseable or unsafe stays in the table with the
reason, without its text, and is used by nobody: nothing is dropped silently.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

from zipp_dagster.fanout import IN_LINE, ONE_CORE, FanOut, Need, given, own_errors
from zipp_dagster.persona import guards
from zipp_dagster.persona.bundles import iter_people
from zipp_dagster.persona.config import PersonaSettings
from zipp_dagster.persona.language_models import LanguageModel, Usage
from zipp_dagster.persona.schema import Persona
from zipp_dagster.persona.templates import load_template
from zipp_dagster.persona.writer import PERSONAS_SCHEMA, PersonaWriter, PicturesOf
from zipp_dagster.progress import Progress, silent


@dataclass(frozen=True)
class PersonaReport:
    """How many personas were built, how many are quarantined and why (by kind of reason)."""

    file: Path
    users: int
    quarantined: int
    reasons: Mapping[str, int]
    retried: int
    with_tastes: int
    model: str
    template: str
    tokens: int
    parse_rate: float = 1.0
    pictures: int = 0
    demographics_known: Mapping[str, int] = field(default_factory=dict)
    usage: Mapping[str, float] = field(default_factory=dict)


def build_personas(
    evidence_files: Sequence[Path],
    model: LanguageModel,
    settings: PersonaSettings,
    out_dir: Path,
    progress: Progress = silent,
    extra_guards: Sequence[guards.TextGuard] = (),
    pictures: PicturesOf | None = None,
) -> PersonaReport:
    """Writes `personas.parquet` under `out_dir`, in the order of the evidence (by user).

    Reads the persona_evidence table as a stream; asks the model for `batch_users` people at a time;
    an answer that is no persona is asked for once more. A model that sees is shown the people's
    `pictures`. Source: paper section on verbalisation;
    guards and quarantine are ours.
    """
    writer = PersonaWriter(model, settings, tuple(extra_guards), pictures)
    return write_personas(evidence_files, given(writer), settings, out_dir, progress)


def write_personas(
    evidence_files: Sequence[Path],
    opening: Callable[[], AbstractContextManager[PersonaWriter]],
    settings: PersonaSettings,
    out_dir: Path,
    progress: Progress = silent,
    fan_out: FanOut = IN_LINE,
    need: Need = ONE_CORE,
) -> PersonaReport:
    """As `build_personas`, with a writer that is opened where it works.

    Batches of people are the items of `fan_out`: their evidence goes there, their rows come back.
    """
    template = load_template(settings.template)
    out_dir.mkdir(parents=True, exist_ok=True)
    path = out_dir / "personas.parquet"
    total = _count_users(evidence_files)
    reasons: Counter[str] = Counter()
    known: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    usage: Counter[str] = Counter()
    model = ""
    batches = iter_people(evidence_files, settings.batch_users)
    with own_errors(), pq.ParquetWriter(path, PERSONAS_SCHEMA, compression="zstd") as file:
        for written in fan_out.stream(opening, PersonaWriter.write, batches, need=need):
            file.write_table(written.rows)
            model = written.model
            reasons.update(written.reasons)
            known.update(written.known)
            counts.update(written.counts)
            usage.update(written.usage)
            progress(counts["users"], total, "personas")
    users = counts["users"]
    return PersonaReport(
        file=path,
        users=users,
        quarantined=counts["quarantined"],
        reasons=dict(sorted(reasons.items())),
        retried=counts["retried"],
        with_tastes=counts["with_tastes"],
        model=model,
        template=template.version,
        tokens=counts["tokens"],
        parse_rate=1 - counts["unparsed"] / users if users else 1.0,
        pictures=counts["pictures"],
        usage={name: usage[name] for name in Usage().__dict__},
        demographics_known=dict(sorted(known.items())),
    )


def read_personas(files: Sequence[Path]) -> dict[int, tuple[str, Persona]]:
    """Usable personas by user: (persona_id, persona). Quarantined ones are left out."""
    table = pq.read_table(list(files), columns=["user_id", "persona_id", "profile", "quarantined"])
    return {
        user: (persona_id, Persona.model_validate_json(profile))
        for user, persona_id, profile, reason in zip(
            *(table.column(i).to_pylist() for i in range(4)), strict=True
        )
        if reason is None
    }


def _count_users(files: Sequence[Path]) -> int:
    users: set[int] = set()
    for file in files:
        for batch in pq.ParquetFile(file).iter_batches(1 << 20, columns=["user_id"]):
            users.update(batch.column(0).unique().to_pylist())
    return len(users)
