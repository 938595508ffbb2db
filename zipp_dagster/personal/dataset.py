"""Personas as a Hugging Face data set directory: Parquet and a card.

`datasets.load_dataset(DIR)` reads it; the `datasets` library is not needed to write it. For moving
personas between installations there is the JSON of `store.py`, which keeps the ids of evidence too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from zipp_dagster.persona.schema import DEMOGRAPHIC_FIELDS, Persona
from zipp_dagster.personal.entries import PersonaEntry, PersonaError

_NAMED: Final = [("name", pa.string())]
SCHEMA: Final = pa.schema(
    [
        ("user", pa.string()),
        ("persona_id", pa.string()),
        ("origin", pa.string()),
        ("summary", pa.string()),
        *((field, pa.string()) for field in DEMOGRAPHIC_FIELDS),
        ("confidence", pa.struct([(field, pa.float64()) for field in DEMOGRAPHIC_FIELDS])),
        ("interests", pa.list_(pa.struct([*_NAMED, ("weight", pa.float64())]))),
        ("traits", pa.list_(pa.string())),
        (
            "preferences",
            pa.list_(
                pa.struct(
                    [
                        ("context", pa.string()),
                        ("facet", pa.string()),
                        ("phrase", pa.string()),
                        ("polarity", pa.string()),
                        ("strength", pa.float64()),
                    ]
                )
            ),
        ),
    ]
)
_BATCH: Final = 4096


def write_dataset(
    entries: Iterable[PersonaEntry], out: Path, facts: Mapping[str, str], synthetic: bool
) -> int:
    """Writes `data/train-00000.parquet` and `README.md`; returns how many personas.

    Quarantined ones are left out, and so are the ids of evidence: those of real people lead to what
    they wrote, and so to their names. `facts` are shown in the card. Raises PersonaError for a
    directory that holds something else.
    """
    card = out / "README.md"
    if out.exists() and any(out.iterdir()) and not card.is_file():
        raise PersonaError(f"{out} is not empty, and no data set: choose another --out")
    data = out / "data"
    data.mkdir(parents=True, exist_ok=True)
    usable = (entry for entry in entries if entry.usable and entry.persona is not None)
    count = 0
    draft = data / ".train.parquet"
    try:
        with pq.ParquetWriter(draft, SCHEMA, compression="zstd") as writer:
            while batch := list(islice(usable, _BATCH)):
                writer.write_table(pa.Table.from_pylist(list(map(_row, batch)), schema=SCHEMA))
                count += len(batch)
        draft.replace(data / "train-00000.parquet")
    finally:
        draft.unlink(missing_ok=True)
    card.write_text(_card(count, facts, synthetic), encoding="utf-8")
    return count


def _row(entry: PersonaEntry) -> dict[str, Any]:
    persona = entry.persona or Persona(summary="")
    who = dict(persona.demographics.items())
    return {
        "user": entry.user,
        "persona_id": persona.persona_id,
        "origin": entry.origin,
        "summary": persona.summary,
        **{field: demographic.value for field, demographic in who.items()},
        "confidence": {field: demographic.confidence for field, demographic in who.items()},
        "interests": [{"name": i.name, "weight": i.weight} for i in persona.interests],
        "traits": [trait.name for trait in persona.traits],
        "preferences": [p.model_dump(exclude={"evidence"}) for p in persona.preferences],
    }


def _card(count: int, facts: Mapping[str, str], synthetic: bool) -> str:
    kind = "synthetic" if synthetic else "real people"
    origin = (
        "**Synthetic data.** The people and all that they wrote were generated; nobody is described."
        if synthetic
        else "**Inferred from posts of real people**, under keyed pseudonyms. Inferences may be wrong; "
        "do not pass them on without a right to, and delete whoever asks for it."
    )
    fields = ", ".join(f"`{field}`" for field in DEMOGRAPHIC_FIELDS)
    listed = "\n".join(f"- {name}: {value}" for name, value in facts.items())
    return f"""---
pretty_name: ZIPP personas ({kind})
license: {"apache-2.0" if synthetic else "other"}
language:
- en
task_categories:
- text-to-image
tags:
- personalization
- personas
- {kind.replace(" ", "-")}
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*.parquet
---

# ZIPP personas

{origin}

{count:,} personas: who somebody is in a few sentences, and structured. Quarantined ones are not here.

| column | what it says |
|---|---|
| `user`, `persona_id`, `origin` | pseudonym or given name; content hash; mined, edited, imported or by hand |
| `summary` | the persona in prose, first person |
| {fields} | what the person said of themselves, `unknown` by default |
| `confidence` | of each of these, 0 to 1 |
| `interests`, `traits` | topics with their share; how the person comes across |
| `preferences` | tastes: context, facet, phrase, like or dislike, strength (0.3: inferred, not stated) |

The ids of the evidence are left out: they lead to what somebody wrote.

{listed}
"""
