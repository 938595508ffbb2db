"""Studies, participants, pairs, pictures and votes: every read and write of the studio's database.

A participant is known by a token that only they have; its hash is kept. Each method that changes
something is one transaction. What is on a page or in a bundle is decided elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import random
import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, func, select, update
from sqlalchemy.exc import IntegrityError

from zipp_dagster.studio import tables as t
from zipp_dagster.studio.database import READING, insert_once, open_database
from zipp_dagster.studio.pairs import PlannedPair, plan_pairs
from zipp_dagster.studio.records import NotYours, Participant, Picture, Shown, StudyFull
from zipp_dagster.studio.study import StudyConfig, StudyError, checked_study

CHOICES = ("left", "right", "tie")
TOO_FAST = "too_fast"
ABSENCE_S = 1800.0
"""After such a pause a pair's clock starts again: the participant had left."""


def _utc() -> datetime:
    return datetime.now(UTC)


class Store:
    """The database of one studio. `clock` and `new_id` are other ones in simulations and tests."""

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], datetime] = _utc,
        new_id: Callable[[], str] = lambda: secrets.token_urlsafe(24),
        durable: bool = True,
    ) -> None:
        self.engine = open_database(url, durable=durable)
        self.clock = clock
        self.new_id = new_id

    def reading(self) -> Connection:
        """A connection for reading; close it, or use it in `with`."""
        return self.engine.connect().execution_options(**READING)

    def close(self) -> None:
        """Closes all connections."""
        self.engine.dispose()

    # Studies

    def create(self, study: StudyConfig, items: Sequence[dict[str, Any]] = ()) -> None:
        """Adds a study, with the personas to rate where it is one of those.

        StudyError where the name is taken: a study never changes.
        """
        with self.engine.begin() as c:
            done = c.execute(
                insert_once(self.engine, t.studies).values(
                    name=study.name, config=study.to_json(), created_at=self._now()
                )
            )
            if not done.rowcount:
                raise StudyError(
                    f"there is a study {study.name!r} already; a study never changes: choose another name"
                )
            if items:
                c.execute(t.rating_items.insert(), [{"study": study.name, **i} for i in items])

    def studies(self) -> list[StudyConfig]:
        """All studies, newest first."""
        query = select(t.studies).order_by(t.studies.c.created_at.desc(), t.studies.c.name)
        with self.reading() as c:
            rows = c.execute(query).mappings().all()
        return [checked_study(json.loads(row["config"]), f"study {row['name']}") for row in rows]

    def study(self, name: str) -> StudyConfig:
        """A study by name; NotYours where there is none."""
        with self.reading() as c:
            config = c.scalar(select(t.studies.c.config).where(t.studies.c.name == name))
        if config is None:
            raise NotYours(f"there is no study {name!r}")
        return checked_study(json.loads(config), f"study {name}")

    # Participants

    def join(
        self,
        study: StudyConfig,
        intake: dict[str, Any],
        persona_text: str,
        *,
        simulated: bool = False,
        planned: Sequence[PlannedPair] | None = None,
    ) -> tuple[Participant, str]:
        """A new participant with their pairs, and the token, which is not kept.

        StudyFull where enough people take part. `planned` replaces the study's own layout.
        """
        token, identity = self.new_id(), self.new_id()
        if planned is None and study.kind == "preference":
            planned = plan_pairs(study, random.Random(self.new_id()))
        with self.engine.begin() as c:
            # The row lock makes the count hold where two join at the same moment.
            found = c.execute(
                select(t.studies.c.name).where(t.studies.c.name == study.name).with_for_update()
            )
            if found.first() is None:
                raise NotYours(f"there is no study {study.name!r}")
            taken = c.scalar(
                select(func.count())
                .select_from(t.participants)
                .where(t.participants.c.study == study.name)
            )
            if (taken or 0) >= study.participants:
                raise StudyFull("enough people take part in this study already; thank you")
            c.execute(
                t.participants.insert().values(
                    id=identity,
                    study=study.name,
                    token_sha256=_hash(token),
                    consent_at=self._now(),
                    consent_sha256=_hash(study.consent),
                    intake=json.dumps(intake),
                    persona_text=persona_text,
                    simulated=simulated,
                )
            )
            if planned:
                rows = [asdict(p) | {"seed": str(p.seed)} for p in planned]
                fixed = {"participant": identity, "state": "planned"}
                c.execute(t.pairs.insert(), [{"id": self.new_id(), **fixed, **r} for r in rows])
        return Participant(identity, study.name, intake, persona_text, simulated, None), token

    def participant(self, token: str) -> Participant:
        """Who a token belongs to; NotYours where nobody."""
        query = select(t.participants).where(t.participants.c.token_sha256 == _hash(token))
        with self.reading() as c:
            row = c.execute(query).mappings().first()
        if row is None:
            raise NotYours("this link belongs to nobody: it was mistyped, or its owner withdrew")
        return _participant(row)

    def withdraw(self, participant: str) -> None:
        """Deletes everything of a participant: answers, pairs, pictures, votes, ratings."""
        with self.engine.begin() as c:
            c.execute(delete(t.participants).where(t.participants.c.id == participant))
        if self.engine.dialect.name == "sqlite":
            # The write-ahead log would keep the deleted rows until its next turn.
            raw = self.engine.raw_connection()
            try:
                raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                raw.close()

    # Pairs and pictures

    def planned(self) -> list[RowMapping]:
        """Pairs that wait to be drawn: everybody's first ones first."""
        p, who = t.pairs, t.participants
        query = (
            select(p, who.c.persona_text, who.c.intake)
            .join(who, who.c.id == p.c.participant)
            .where(p.c.state == "planned", ~who.c.simulated)
            .order_by(p.c.position, p.c.id)
        )
        with self.reading() as c:
            return list(c.execute(query).mappings().all())

    def pairs_of(self, participant: str) -> list[tuple[str, int]]:
        """Ids and positions of somebody's pairs, in their order."""
        p = t.pairs
        query = select(p.c.id, p.c.position).where(p.c.participant == participant)
        with self.reading() as c:
            return [(row.id, row.position) for row in c.execute(query.order_by(p.c.position))]

    def save_drawing(self, pair: str, left: Picture, right: Picture) -> bool:
        """Keeps both sides of a pair; a pair whose sides are equal is void and never shown.

        False where the pair is gone (its owner withdrew) or was drawn already.
        """
        state = "void" if left.png == right.png else "ready"
        with self.engine.begin() as c:
            changed = c.execute(
                update(t.pairs)
                .where(t.pairs.c.id == pair, t.pairs.c.state == "planned")
                .values(state=state)
            )
            if not changed.rowcount:
                return False
            rows = [
                {"id": self.new_id(), "pair": pair, "side": side, "png": picture.png}
                | {"audit": json.dumps(picture.audit, sort_keys=True)}
                for side, picture in (("left", left), ("right", right))
            ]
            c.execute(t.pictures.insert(), rows)
        return True

    def next_pair(self, participant: str, *, look: bool = True) -> Shown:
        """The first pair without a vote; `look` starts its clock. Marks the end where all are done."""
        p, v = t.pairs, t.votes
        query = (
            select(p.c.id, p.c.state, p.c.prompt, p.c.shown_at, v.c.pair.label("voted"))
            .outerjoin(v, v.c.pair == p.c.id)
            .where(p.c.participant == participant, p.c.state != "void")
            .order_by(p.c.position)
        )
        with self.reading() as c:
            rows = c.execute(query).mappings().all()
            todo = [row for row in rows if row["voted"] is None]
            number, total = len(rows) - len(todo) + 1, len(rows)
            if not todo:
                state = "done"
            else:
                state = "pair" if todo[0]["state"] == "ready" else "drawing"
            ids = [row["id"] for row in todo[:2] if row["state"] == "ready"]
            found = c.execute(
                select(t.pictures.c.pair, t.pictures.c.side, t.pictures.c.id).where(
                    t.pictures.c.pair.in_(ids)
                )
            ).all()
        if state != "pair":
            if state == "done" and look:
                self._finish(participant)
            return Shown(state, min(number, total), total)
        if look:
            self._start_clock(todo[0])
        sides = {(pair, side): picture for pair, side, picture in found}
        now, later = ids[0], ids[1:]
        return Shown(
            "pair",
            number,
            total,
            now,
            todo[0]["prompt"],
            sides[now, "left"],
            sides[now, "right"],
            tuple(sides[pair, side] for pair in later for side in ("left", "right")),
        )

    def picture(self, participant: str, picture: str) -> bytes:
        """A picture of the participant's own pairs; NotYours for any other id."""
        query = (
            select(t.pictures.c.png)
            .join(t.pairs, t.pairs.c.id == t.pictures.c.pair)
            .where(t.pictures.c.id == picture, t.pairs.c.participant == participant)
        )
        with self.reading() as c:
            png = c.scalar(query)
        if png is None:
            raise NotYours("there is no such picture")
        return bytes(png)

    # Votes

    def vote(self, participant: str, pair: str, choice: str, too_fast_s: float) -> bool:
        """Records a vote on a pair that was shown; False where there was one already.

        The first vote counts, whatever comes after. NotYours for a pair of somebody else, one that
        was never shown, or one that is gone. ValueError for an unknown choice.
        """
        if choice not in CHOICES:
            raise ValueError(f"choice is {choice!r}, not one of {', '.join(CHOICES)}")
        query = select(t.pairs).where(
            t.pairs.c.id == pair,
            t.pairs.c.participant == participant,
            t.pairs.c.state == "ready",
            t.pairs.c.shown_at.is_not(None),
        )
        sides = select(t.pictures.c.side, t.pictures.c.audit).where(t.pictures.c.pair == pair)
        with self.engine.begin() as c:
            row = c.execute(query).mappings().first()
            if row is None:
                raise NotYours("there is no such pair")
            seconds = (self.clock() - datetime.fromisoformat(row["shown_at"])).total_seconds()
            audit = {side: json.loads(text) for side, text in c.execute(sides)}
            values = {
                "pair": pair,
                "participant": participant,
                "choice": choice,
                "seconds": round(max(0.0, seconds), 3),
                "flags": TOO_FAST if seconds < too_fast_s else "",
                "audit": json.dumps(audit, sort_keys=True),
                "created_at": self._now(),
            }
            try:
                done = c.execute(insert_once(self.engine, t.votes).values(**values))
            except IntegrityError as error:
                raise NotYours("there is no such pair") from error
            return bool(done.rowcount)

    def votes(self, study: str) -> list[dict[str, Any]]:
        """Every vote of a study with its pair and participant, in the order of time."""
        p, v, who = t.pairs, t.votes, t.participants
        query = (
            select(
                *(v.c.pair, v.c.participant, v.c.choice, v.c.seconds, v.c.flags, v.c.audit),
                *(v.c.created_at, p.c.kind, p.c.position, p.c.prompt, p.c.seed),
                *(p.c.left_method, p.c.right_method, who.c.simulated, who.c.intake),
            )
            .join(p, p.c.id == v.c.pair)
            .join(who, who.c.id == v.c.participant)
            .where(who.c.study == study)
            .order_by(v.c.created_at, v.c.pair)
        )
        with self.reading() as c:
            return [dict(row) for row in c.execute(query).mappings()]

    def counts(self, study: str) -> dict[str, int]:
        """People who joined and finished, and pairs left out because both sides were equal."""
        who, p = t.participants, t.pairs
        here = who.c.study == study
        with self.reading() as c:
            joined = c.scalar(select(func.count()).select_from(who).where(here))
            done = c.scalar(
                select(func.count()).select_from(who).where(here, who.c.finished_at.is_not(None))
            )
            void = c.scalar(
                select(func.count())
                .select_from(p.join(who, who.c.id == p.c.participant))
                .where(here, p.c.state == "void")
            )
        return {"joined": joined or 0, "finished": done or 0, "void_pairs": void or 0}

    def _now(self) -> str:
        return self.clock().isoformat(timespec="microseconds")

    def _finish(self, participant: str) -> None:
        who = t.participants
        with self.engine.begin() as c:
            c.execute(
                update(who)
                .where(who.c.id == participant, who.c.finished_at.is_(None))
                .values(finished_at=self._now())
            )

    def _start_clock(self, pair: RowMapping) -> None:
        """Once a pair: a reload does not make an answer look fast. Anew after a long absence."""
        shown = pair["shown_at"]
        if shown is not None:
            away = self.clock() - datetime.fromisoformat(shown)
            if away.total_seconds() < ABSENCE_S:
                return
        with self.engine.begin() as c:
            c.execute(
                update(t.pairs).where(t.pairs.c.id == pair["id"]).values(shown_at=self._now())
            )


def _participant(row: RowMapping) -> Participant:
    return Participant(
        row["id"],
        row["study"],
        json.loads(row["intake"]),
        row["persona_text"],
        row["simulated"],
        row["finished_at"],
    )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
