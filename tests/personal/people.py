"""Three mined people in a small lake, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from zipp_dagster.persona.schema import Persona, Preference
from zipp_dagster.platform.lake import Lake
from zipp_dagster.platform.versions import InputRef, Version
from zipp_dagster.settings import Settings

ANA, BEN, QUARANTINED, NEVER = 1, 2463378207570249, 3, 99
ANA_HEX, BEN_HEX = "0000000000000001", "0008c06def027949"
SAID = "my grandmother kept eleven green parrots in a house by the sea"


def a_persona(medium: str = "watercolor painting", summary: str = "") -> Persona:
    return Persona(
        summary=summary or f"In pictures of animals I like {medium}.",
        preferences=(Preference(context="animals", facet="medium", phrase=medium),),
    )


def document(**changes: Any) -> dict[str, Any]:
    return a_persona().model_dump(mode="json") | changes


def publish(
    lake: Lake,
    asset: str,
    content: pa.Table | Callable[[Path], object] | None = None,
    inputs: tuple[InputRef, ...] = (),
    skipped: str | None = None,
) -> Version:
    """A version of an asset: a table, or the files that a function writes into the folder."""
    with lake.draft(asset, None, "0" * 32) as draft:
        if callable(content):
            content(draft.directory)
        elif content is not None:
            pq.write_table(content, draft.path("part-0.parquet"))
        return lake.publish(
            draft,
            data_version=f"{asset}-0000000",
            code_version="c",
            config_hash="h",
            config={},
            inputs=inputs,
            run_id=None,
            seconds=0.0,
            skipped=skipped,
        )


def people() -> pa.Table:
    rows = [
        (ANA, a_persona("watercolor painting"), None),
        (QUARANTINED, None, "e-mail in the text"),
        (BEN, a_persona("pixel art"), None),
    ]
    return pa.table(
        {
            "user_id": pa.array([user for user, _, _ in rows], pa.uint64()),
            "profile": [p.to_json() if p else "{}" for _, p, _ in rows],
            "quarantined": pa.array([reason for _, _, reason in rows], pa.string()),
            "model": ["lexical-1"] * len(rows),
            "template": ["persona-v1@0"] * len(rows),
        }
    )


def a_platform(home: Path, *, real: bool = False, **settings: Any) -> Any:
    """Three mined people: one of them with past prompts, one quarantined."""
    lake = Lake(home / "lake")
    world = publish(lake, "sample_world", skipped="real dumps are read" if real else None)
    publish(lake, "personas", people(), inputs=(world.ref(),))
    said = pa.table({"user_id": pa.array([ANA], pa.uint64()), "text": [f"I said {SAID}."]})
    publish(lake, "persona_evidence", said)
    posts = {
        "post_id": ["p1", "p2"],
        "user_id": pa.array([BEN, ANA], pa.uint64()),
        "title": ["an owl, warm autumn colors", "a fox, charcoal drawing"],
        "created_at": [datetime(2024, 1, 1), datetime(2024, 1, 2)],
    }
    publish(lake, "image_posts", pa.table(posts))
    return SimpleNamespace(settings=Settings(**settings), lake=lake, home=home)
