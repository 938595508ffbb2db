"""The guards once more, over finished tables: what an asset check asks of stored personas.

What lives here: counting violations in what is in use. What does not: the rules (`guards`), and
quarantine, which happens while personas are built.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from zipp_dagster.persona import guards
from zipp_dagster.persona.schema import Persona


def count_violations(
    persona_files: Sequence[Path], evidence_files: Sequence[Path]
) -> Mapping[str, int]:
    """Violations among personas in use: identities, quotations, claims without evidence."""
    texts: dict[int, list[str]] = {}
    evidence = pq.read_table(list(evidence_files), columns=["user_id", "text"])
    for user, text in zip(
        evidence["user_id"].to_pylist(), evidence["text"].to_pylist(), strict=True
    ):
        texts.setdefault(user, []).append(text)
    found: Counter[str] = Counter(identity=0, quotation=0, without_evidence=0)
    columns = ["user_id", "profile", "quarantined"]
    for row in pq.read_table(list(persona_files), columns=columns).to_pylist():
        if row["quarantined"] is not None:
            continue
        persona = Persona.model_validate_json(row["profile"])
        found["identity"] += bool(guards.identities_in(persona.summary))
        found["quotation"] += guards.quotes_verbatim(persona.summary, texts.get(row["user_id"], []))
        found["without_evidence"] += any(not evidence for _, evidence in persona.claims())
    return found
