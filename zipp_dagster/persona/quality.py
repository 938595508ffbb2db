"""How much of the truth personas recover: precision and recall of tastes, interests, demographics.

Pure functions of personas and truth tables. Opening a truth is the business of evaluation, which
passes its tables in; nothing here knows where they come from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import pyarrow as pa

from zipp_dagster.persona.aesthetics import find_styles
from zipp_dagster.persona.interests import topic_words
from zipp_dagster.persona.lexicon import singular, tokenize, word_set, words
from zipp_dagster.persona.schema import Persona

QUALITY_SCHEMA: Final = pa.schema(
    [
        ("kind", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("chance", pa.float64()),
        ("users", pa.int64()),
        ("claims", pa.int64()),
    ]
)


@dataclass(frozen=True)
class TruthTables:
    """What is true of the people, by user_id.

    `tastes`: user_id, context, phrases (list of synonyms of one liked style value); `interests`:
    user_id, name; `demographics`: user_id, field, value.
    """

    tastes: pa.Table
    interests: pa.Table
    demographics: pa.Table


@dataclass(frozen=True)
class _Counts:
    """Of one user: claims made, claims that are right, truths, truths that were found."""

    claimed: int
    right: int
    true: int
    found: int


def score_personas(
    personas: Mapping[int, Persona], truth: TruthTables, seed: int, replicates: int = 500
) -> pa.Table:
    """Precision and recall with 95 % bootstrap intervals over users, in the table QUALITY_SCHEMA.

    `chance` is the same score with everybody's persona given to the next user: what agreement by
    popularity alone is worth. Kinds: tastes, interests, demographics, and each demographic field.
    Users in the truth without a persona are not scored; `users` counts the scored ones.
    """
    users = sorted(personas)
    strangers = dict(zip(users, [*users[1:], *users[:1]]))
    tastes = _by_user(truth.tastes, ("context", "phrases"))
    interests = _by_user(truth.interests, ("name",))
    facts = _by_user(truth.demographics, ("field", "value"))
    rows: list[dict[str, object]] = []

    def add(kind: str, count: Callable[[Persona, int], _Counts]) -> None:
        own = [count(personas[user], user) for user in users]
        other = [count(personas[strangers[user]], user) for user in users]
        rows.extend(_summary(kind, own, other, seed, replicates))

    add("tastes", lambda persona, user: _tastes(persona, tastes.get(user, [])))
    add("interests", lambda persona, user: _interests(persona, interests.get(user, [])))
    add("demographics", lambda persona, user: _demographics(persona, facts.get(user, [])))
    for field in sorted({fact[0] for user in users for fact in facts.get(user, [])}):
        add(
            f"demographics.{field}",
            lambda persona, user, field=field: _demographics(  # type: ignore[misc]
                persona, [fact for fact in facts.get(user, []) if fact[0] == field], field
            ),
        )
    return pa.Table.from_pylist(rows, schema=QUALITY_SCHEMA)


def compare_personas(
    one: Mapping[int, Persona],
    other: Mapping[int, Persona],
    truth: TruthTables,
    seed: int,
    replicates: int = 500,
) -> list[dict[str, object]]:
    """Differences of precision and recall between two sets of personas of the same people.

    A row a kind and metric: kind, metric, difference, low, high (95 %, paired bootstrap over users);
    null where one of the two claims nothing.
    """
    users = sorted(one)
    tastes = _by_user(truth.tastes, ("context", "phrases"))
    interests = _by_user(truth.interests, ("name",))
    facts = _by_user(truth.demographics, ("field", "value"))
    counts: dict[str, Callable[[Persona, int], _Counts]] = {
        "tastes": lambda persona, user: _tastes(persona, tastes.get(user, [])),
        "interests": lambda persona, user: _interests(persona, interests.get(user, [])),
        "demographics": lambda persona, user: _demographics(persona, facts.get(user, [])),
    }
    rows: list[dict[str, object]] = []
    for kind, count in counts.items():
        pairs = [(count(one[user], user), count(other[user], user)) for user in users]
        draws = np.random.default_rng([seed, len(kind)]).integers(
            len(users), size=(replicates, len(users))
        )
        for metric, top, bottom in (("precision", "right", "claimed"), ("recall", "found", "true")):
            values = []
            for side in (0, 1):
                a = np.array([getattr(pair[side], top) for pair in pairs], dtype=np.float64)
                b = np.array([getattr(pair[side], bottom) for pair in pairs], dtype=np.float64)
                sampled = _ratio(a[draws].sum(axis=1), b[draws].sum(axis=1))
                values.append((_ratio(a.sum(), b.sum()), sampled))
            difference = float(values[0][0] - values[1][0])
            sampled = values[0][1] - values[1][1]
            sampled = sampled[~np.isnan(sampled)]
            known = not np.isnan(difference) and sampled.size > 0
            low, high = np.quantile(sampled, [0.025, 0.975]) if known else (None, None)
            rows.append(
                {
                    "kind": kind,
                    "metric": metric,
                    "difference": difference if known else None,
                    "low": None if low is None else float(low),
                    "high": None if high is None else float(high),
                }
            )
    return rows


def _tastes(persona: Persona, truths: Sequence[tuple]) -> _Counts:
    """Likes against true tastes of the same context, by meaning; general likes are not scored."""
    wanted = [(context, _meanings(tuple(phrases))) for context, phrases in truths]
    contexts = {context for context, _ in wanted}
    likes = [
        (p.context, p.phrase)
        for p in persona.preferences
        if p.polarity == "like" and p.context in contexts
    ]
    right = sum(any(c == context and p in m for context, m in wanted) for c, p in likes)
    found = sum(any(c == context and p in m for c, p in likes) for context, m in wanted)
    return _Counts(len(likes), right, len(wanted), found)


@lru_cache(maxsize=10_000)
def _meanings(phrases: tuple[str, ...]) -> frozenset[str]:
    """The canonical phrases that synonyms have, and the synonyms themselves."""
    found = {hit.value.phrase for phrase in phrases for hit in find_styles(tokenize(phrase))}
    return frozenset(found | set(phrases))


def _interests(persona: Persona, truths: Sequence[tuple]) -> _Counts:
    claimed = [interest.name for interest in persona.interests]
    names = [str(truth[0]) for truth in truths]
    right = sum(any(_same_topic(claim, name) for name in names) for claim in claimed)
    found = sum(any(_same_topic(claim, name) for claim in claimed) for name in names)
    return _Counts(len(claimed), right, len(names), found)


@lru_cache(maxsize=100_000)
def _same_topic(one: str, other: str) -> bool:
    if topic_words(one) & topic_words(other):
        return True
    return bool({singular(w) for w in words(one)} & {singular(w) for w in words(other)} - _SMALL)


_SMALL: Final = word_set("and of the a in for")


def _demographics(persona: Persona, truths: Sequence[tuple], only: str = "") -> _Counts:
    known = {
        name: fact.value
        for name, fact in persona.demographics.items()
        if fact.known and (not only or name == only)
    }
    true = dict(truths)
    claimed = [name for name in known if name in true]
    right = sum(known[name].lower() == str(true[name]).lower() for name in claimed)
    return _Counts(len(claimed), right, len(true), right)


def _by_user(table: pa.Table, columns: Sequence[str]) -> dict[int, list[tuple]]:
    rows: dict[int, list[tuple]] = {}
    lists = (table.column(name).to_pylist() for name in columns)
    for user, *values in zip(table.column("user_id").to_pylist(), *lists, strict=True):
        rows.setdefault(user, []).append(tuple(values))
    return rows


def _summary(
    kind: str, own: Sequence[_Counts], other: Sequence[_Counts], seed: int, replicates: int
) -> list[dict[str, object]]:
    rng = np.random.default_rng([seed, len(kind)])
    draws = rng.integers(len(own), size=(replicates, len(own))) if own else np.empty((0, 0), int)
    out: list[dict[str, object]] = []
    for metric, top, bottom in (("precision", "right", "claimed"), ("recall", "found", "true")):
        a = np.array([getattr(c, top) for c in own], dtype=np.float64)
        b = np.array([getattr(c, bottom) for c in own], dtype=np.float64)
        sampled = _ratio(a[draws].sum(axis=1), b[draws].sum(axis=1)) if own else np.array([])
        sampled = sampled[~np.isnan(sampled)]
        low, high = np.quantile(sampled, [0.025, 0.975]) if sampled.size else (None, None)
        chance = _ratio(
            np.array(float(sum(getattr(c, top) for c in other))),
            np.array(float(sum(getattr(c, bottom) for c in other))),
        )
        value = _ratio(a.sum(), b.sum())
        out.append(
            {
                "kind": kind,
                "metric": metric,
                # Null, not zero, where nothing was claimed or nothing is true.
                "value": None if np.isnan(value) else float(value),
                "low": None if low is None else float(low),
                "high": None if high is None else float(high),
                "chance": None if np.isnan(chance) else float(chance),
                "users": len(own),
                "claims": int(b.sum()),
            }
        )
    return out


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    return np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=np.asarray(bottom) > 0)
