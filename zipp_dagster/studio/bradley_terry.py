"""Bradley–Terry strengths of several methods from votes between two at a time.

A tie is half a win for each side. Each pair of methods that was compared gets half a win more on
both sides, so that a method that never lost has a finite strength. Intervals resample participants.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zipp_dagster.zipbench.bradley_terry import PRIOR, bradley_terry
from zipp_dagster.zipbench.statistics import Bootstrap, percentile_interval, resample_counts

_REPLICATES = 400


@dataclass(frozen=True)
class Outcome:
    """One vote: the winner's share is 1, or 0.5 for a tie."""

    participant: str
    first: str
    second: str
    first_share: float


@dataclass(frozen=True)
class Strength:
    """A method's chance against an average method, with its interval."""

    method: str
    value: float
    low: float | None
    high: float | None


def strengths(
    outcomes: Sequence[Outcome], confidence: float = 0.95, seed: int = 0
) -> list[Strength]:
    """Strengths as win rates against the average method, best first; empty without votes.

    Only methods that are connected by comparisons with the most compared one can be ordered; the
    others are left out.
    """
    methods = _connected(outcomes)
    if len(methods) < 2:
        return []
    place = {method: i for i, method in enumerate(methods)}
    people = sorted({o.participant for o in outcomes})
    row = {person: i for i, person in enumerate(people)}
    wins = np.zeros((len(people), len(methods), len(methods)))
    for o in outcomes:
        if o.first in place and o.second in place:
            a, b = place[o.first], place[o.second]
            wins[row[o.participant], a, b] += o.first_share
            wins[row[o.participant], b, a] += 1 - o.first_share
    total = wins.sum(0)
    compared = (total + total.T) > 0
    values = _fit(total, compared)
    rates = None
    if len(people) > 1:
        drawn = np.concatenate([*resample_counts(len(people), Bootstrap(_REPLICATES, seed=seed))])
        totals = np.tensordot(drawn, wins, axes=1)
        rates = _fit(totals, compared)
    found = []
    for i, method in enumerate(methods):
        if rates is None:
            found.append(Strength(method, float(values[i]), None, None))
        else:
            interval = percentile_interval(values[i], rates[:, i], confidence, len(people))
            found.append(Strength(method, interval.value, interval.low, interval.high))
    return sorted(found, key=lambda s: -s.value)


def _fit(wins: NDArray[np.float64], compared: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Win rates [..., methods] against the average method, of win counts [..., methods, methods]."""
    strength = bradley_terry(wins + PRIOR * compared, prior=0.0)
    return 1.0 / (1.0 + np.exp(-strength))


def _connected(outcomes: Sequence[Outcome]) -> list[str]:
    near: dict[str, set[str]] = defaultdict(set)
    count: dict[str, int] = defaultdict(int)
    for o in outcomes:
        near[o.first].add(o.second)
        near[o.second].add(o.first)
        count[o.first] += 1
        count[o.second] += 1
    if not count:
        return []
    todo, seen = [max(sorted(count), key=lambda m: count[m])], set[str]()
    while todo:
        method = todo.pop()
        if method not in seen:
            seen.add(method)
            todo += near[method]
    return sorted(seen)
