"""Persona quality studies in the database: the personas to rate, and the ratings.

The transactions of votes are in `store.py`; what ratings amount to, in `agreement.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update

from zipp_dagster.studio import tables as t
from zipp_dagster.studio.database import insert_once
from zipp_dagster.studio.records import NotYours
from zipp_dagster.studio.store import Store

DIMENSIONS = ("accuracy", "coherence", "completeness")


@dataclass(frozen=True)
class Item:
    """A persona to rate, with what it rests on."""

    position: int
    number: int
    total: int
    persona_id: str
    persona: dict[str, Any]
    evidence: list[str]


def next_item(store: Store, participant: str, study: str) -> Item | None:
    """The first persona that somebody has not rated yet; None, and finished, after the last."""
    i, r = t.rating_items, t.ratings
    query = (
        select(i, r.c.position.label("rated"))
        .outerjoin(r, (r.c.position == i.c.position) & (r.c.participant == participant))
        .where(i.c.study == study)
        .order_by(i.c.position)
    )
    with store.reading() as c:
        rows = c.execute(query).mappings().all()
    todo = [row for row in rows if row["rated"] is None]
    if not todo:
        who = t.participants
        with store.engine.begin() as c:
            c.execute(
                update(who)
                .where(who.c.id == participant, who.c.finished_at.is_(None))
                .values(finished_at=store.clock().isoformat(timespec="microseconds"))
            )
        return None
    row = todo[0]
    return Item(
        row["position"],
        len(rows) - len(todo) + 1,
        len(rows),
        row["persona_id"],
        json.loads(row["persona"]),
        json.loads(row["evidence"]),
    )


def rate(
    store: Store, participant: str, study: str, position: int, scores: Mapping[str, int]
) -> bool:
    """Records a rating; False where there was one already. ValueError for a score outside 1 to 5."""
    values = {name: scores.get(name, 0) for name in DIMENSIONS}
    wrong = [name for name, score in values.items() if not 1 <= score <= 5]
    if wrong:
        raise ValueError(f"choose 1 to 5 for {', '.join(wrong)}")
    known = select(t.rating_items.c.position).where(
        t.rating_items.c.study == study, t.rating_items.c.position == position
    )
    row = {"participant": participant, "position": position, **values}
    row["created_at"] = store.clock().isoformat(timespec="microseconds")
    with store.engine.begin() as c:
        if c.scalar(known) is None:
            raise NotYours("there is no such persona in this study")
        return bool(c.execute(insert_once(store.engine, t.ratings).values(**row)).rowcount)


def ratings(store: Store, study: str) -> list[dict[str, Any]]:
    """Every rating of a study with the persona's id."""
    r, who, i = t.ratings, t.participants, t.rating_items
    query = (
        select(r, i.c.persona_id)
        .join(who, who.c.id == r.c.participant)
        .join(i, (i.c.study == who.c.study) & (i.c.position == r.c.position))
        .where(who.c.study == study)
        .order_by(r.c.participant, r.c.position)
    )
    with store.reading() as c:
        return [dict(row) for row in c.execute(query).mappings()]
