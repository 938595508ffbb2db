"""The guards once more, over finished tables: what an asset check asks of stored personas.

What lives here: counting violations in what is in use. What does not: the rules (`guards`), and
quarantine, which happens while personas are built.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from zipp_dagster.persona import guards
from zipp_dagster.persona.bundles import iter_bundles
from zipp_dagster.persona.config import PersonaSettings
from zipp_dagster.persona.schema import Persona


def count_violations(
    persona_files: Sequence[Path], evidence_files: Sequence[Path], settings: PersonaSettings
) -> Mapping[str, int]:
    """Violations among personas in use, by kind; empty if there are none.

    Both tables are ordered by user and read side by side, one person in memory. Raises ValueError
    where a persona has no evidence at all.
    """
    found: Counter[str] = Counter()
    bundles = iter_bundles(evidence_files)
    bundle = next(bundles, None)
    for row in _in_use(persona_files):
        while bundle is not None and bundle.user_id < row["user_id"]:
            bundle = next(bundles, None)
        if bundle is None or bundle.user_id != row["user_id"]:
            raise ValueError("a persona has no evidence: personas are older than persona_evidence")
        persona = Persona.model_validate_json(row["profile"])
        ids = bundle.ids() | _pictures_cited(persona)
        texts = [snippet.text for snippet in bundle.snippets]
        for problem in guards.problems(persona, ids, texts, settings):
            found[" ".join(w for w in problem.split() if not w.isdigit())] += 1
        found["without evidence"] += any(not cited for _, cited in persona.claims())
    return {kind: count for kind, count in sorted(found.items()) if count}


def _pictures_cited(persona: Persona) -> frozenset[str]:
    """Pictures are no rows of the evidence; a model that sees may cite those it was shown."""
    return frozenset(i for _, cited in persona.claims() for i in cited if i.startswith("picture:"))


def _in_use(files: Sequence[Path]) -> Iterator[dict[str, Any]]:
    columns = ["user_id", "profile", "quarantined"]
    for file in files:
        for batch in pq.ParquetFile(file).iter_batches(4096, columns=columns):
            yield from (row for row in batch.to_pylist() if row["quarantined"] is None)
