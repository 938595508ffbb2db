"""How many people a study needs: power of the two-sided binomial test against one half.

Votes of one person are alike; the design effect 1 + (votes a person − 1) · ICC makes up for that.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

MOST_VOTES = 100_000


@dataclass(frozen=True)
class Plan:
    """What a study needs to find a true win rate."""

    decided_votes: int
    effective_votes: int
    participants: int
    power: float


def power_of(votes: int, win_rate: float, alpha: float = 0.05) -> float:
    """Chance that so many independent decided votes show a win rate to differ from one half."""
    from scipy.stats import binom

    # The largest lower tail with P ≤ alpha / 2; the upper one is its mirror image.
    low = int(binom.ppf(alpha / 2, votes, 0.5))
    if binom.cdf(low, votes, 0.5) > alpha / 2:
        low -= 1
    if low < 0:
        return 0.0
    return float(binom.cdf(low, votes, win_rate) + binom.sf(votes - low - 1, votes, win_rate))


def plan_study(
    win_rate: float,
    *,
    power: float = 0.8,
    alpha: float = 0.05,
    votes_a_person: int = 10,
    tie_share: float = 0.1,
    icc: float = 0.1,
) -> Plan:
    """The smallest study that finds a win rate with the wanted power.

    `votes_a_person` are those on the comparison in question; `icc` is the correlation of votes of
    one person. Raises ValueError for values out of range, or where 100,000 votes are not enough.
    """
    checks = {
        "win_rate": 0 < win_rate < 1 and win_rate != 0.5,
        "power": 0 < power < 1,
        "alpha": 0 < alpha < 1,
        "votes_a_person": votes_a_person >= 1,
        "tie_share": 0 <= tie_share < 1,
        "icc": 0 <= icc <= 1,
    }
    wrong = [name for name, good in checks.items() if not good]
    if wrong:
        raise ValueError(f"out of range: {', '.join(wrong)} (a win rate of 0.5 cannot be found)")
    needed = _smallest(win_rate, power, alpha)
    decided_each = votes_a_person * (1 - tie_share)
    design = 1 + max(0.0, decided_each - 1) * icc
    decided = ceil(needed * design)
    return Plan(decided, needed, ceil(decided / decided_each), power_of(needed, win_rate, alpha))


def _smallest(win_rate: float, power: float, alpha: float) -> int:
    """The least number of votes; a coarse search, then one by one: power saws up and down."""
    sizes = np.unique(np.geomspace(5, MOST_VOTES, 60).astype(int))
    above = next((int(n) for n in sizes if power_of(int(n), win_rate, alpha) >= power), None)
    if above is None:
        raise ValueError(f"{MOST_VOTES:,} votes do not find a win rate of {win_rate}")
    start = max(1, int(above * 0.7))
    return next(n for n in range(start, above + 1) if power_of(n, win_rate, alpha) >= power)
