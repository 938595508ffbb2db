"""Which mined personas a persona quality study shows, and the evidence beside them."""

from __future__ import annotations

import json
import random
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from zipp_dagster.persona.schema import Persona
from zipp_dagster.personal import PersonaStore
from zipp_dagster.platform.catalogue import Platform
from zipp_dagster.studio.study import StudyConfig, StudyError

LINES = 40
"""Evidence lines shown for a persona: what an expert reads in some minutes."""


def items_to_rate(platform: Platform, study: StudyConfig) -> list[dict[str, Any]]:
    """The study's personas: a random draw among the usable mined ones, the same for all raters.

    StudyError where real people's personas may not be shown, or where there are too few.
    """
    personas = PersonaStore(platform)
    if personas.hides_people:
        raise StudyError(
            "the mined personas are those of real people: raters may see them only with the setting "
            "zipbench.show_real_personas, and with these people's consent"
        )
    mined = [
        (entry.user, entry.persona)
        for entry in personas.mined
        if entry.usable and entry.persona is not None and entry.persona.claims()
    ]
    if len(mined) < study.personas:
        raise StudyError(
            f"there are {len(mined)} usable personas, and the study wants {study.personas}: run "
            "`zipp run --select +personas`, or set personas lower"
        )
    chosen = random.Random(study.seeds[0]).sample(mined, study.personas)
    evidence = _evidence(platform, [int(user, 16) for user, _ in chosen])
    return [
        {
            "position": position,
            "persona_id": persona.persona_id,
            "persona": json.dumps(_shown(persona), ensure_ascii=False),
            "evidence": json.dumps(evidence.get(int(user, 16), [])[:LINES], ensure_ascii=False),
        }
        for position, (user, persona) in enumerate(chosen)
    ]


def _shown(persona: Persona) -> dict[str, Any]:
    return {"summary": persona.summary, "claims": [label for label, _ in persona.claims()]}


def _evidence(platform: Platform, users: list[int]) -> dict[int, list[str]]:
    version = platform.lake.current("persona_evidence")
    rows = pq.read_table(
        version.files(),
        columns=["user_id", "subreddit", "snippet_id", "text"],
        filters=pc.field("user_id").isin(pa.array(users, pa.uint64())),
    ).to_pylist()
    lines: dict[int, list[str]] = {}
    for row in rows:
        said = f"“{row['text']}” (r/{row['subreddit']})"
        text = said if row["snippet_id"] else f"active in r/{row['subreddit']}"
        lines.setdefault(row["user_id"], []).append(text)
    return lines
