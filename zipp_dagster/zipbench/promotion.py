"""Whether a candidate takes the champion's place: a pure rule over per-user scores.

No registry and no alias is touched here. The rule, which always decides and never raises for a bad
model:

1. an invalid candidate (failed checks, scores that are not numbers) is kept out;
2. a comparison over fewer than `minimum_users` people decides nothing: the champion stays;
3. the first candidate is compared with the stated baseline (popularity); with `first_must_win` its
   interval must lie above zero, else any valid first candidate serves until a better one comes;
4. later, its mean gain in every primary metric must be at least `minimum_gain`, and no interval
   may reach below −`tolerance` (−`benchmark_tolerance` for the development benchmark).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from zipp_dagster.zipbench.config import PromotionSettings, ZipbenchSettings
from zipp_dagster.zipbench.statistics import Bootstrap, Interval, paired_difference

MetricRole = Literal["primary", "guard", "benchmark"]
Outcome = Literal["promoted", "kept"]


@dataclass(frozen=True)
class Comparison:
    """One metric of both sides on one split: user → score, the same users on both."""

    metric: str
    split: str
    candidate: Mapping[int, float]
    opponent: Mapping[int, float]
    role: MetricRole = "primary"
    higher_is_better: bool = True


@dataclass(frozen=True)
class Verdict:
    """A comparison's result: the gain (positive is better), and whether the rule lets it pass."""

    metric: str
    split: str
    role: MetricRole
    users: int
    candidate: float
    opponent: float
    gain: Interval
    passed: bool
    reason: str


@dataclass(frozen=True)
class PromotionDecision:
    """Promoted or kept, and why, in sentences."""

    outcome: Outcome
    candidate: str
    opponent: str
    reasons: tuple[str, ...]
    verdicts: tuple[Verdict, ...] = field(default=())


def decide_promotion(
    candidate: str,
    opponent: str,
    comparisons: Sequence[Comparison],
    rule: PromotionSettings,
    settings: ZipbenchSettings,
    *,
    first: bool = False,
    invalid: Sequence[str] = (),
) -> PromotionDecision:
    """The decision for `candidate` against `opponent` (the champion; when `first`, the baseline).

    `invalid` lists why the candidate may not be used at all. A comparison whose sides cover
    different users is the caller's mistake, no property of the model: ValueError.
    """
    verdicts = tuple(_judge(comparison, rule, settings, first) for comparison in comparisons)
    failures = [f"{candidate} is not valid: {reason}" for reason in invalid]
    serves = first and not rule.first_must_win
    unmeasurable = [v.reason for v in verdicts if not np.isfinite(v.candidate) and v.users]
    if serves and not failures and not unmeasurable:
        why = ["there is no champion yet: a valid first candidate serves"]
        why += [verdict.reason for verdict in verdicts]
        return PromotionDecision("promoted", candidate, opponent, tuple(why), verdicts)
    if not any(comparison.role == "primary" for comparison in comparisons):
        failures.append(f"no primary metric compares {candidate} with {opponent}")
    failures += [verdict.reason for verdict in verdicts if not verdict.passed]
    if failures:
        return PromotionDecision("kept", candidate, opponent, tuple(failures), verdicts)
    reasons = tuple(verdict.reason for verdict in verdicts)
    return PromotionDecision("promoted", candidate, opponent, reasons, verdicts)


def _judge(
    comparison: Comparison, rule: PromotionSettings, settings: ZipbenchSettings, first: bool
) -> Verdict:
    what = f"{comparison.metric} on {comparison.split}"
    if comparison.candidate.keys() != comparison.opponent.keys():
        raise ValueError(
            f"{what}: candidate and opponent are scored on different users"
            f" ({len(comparison.candidate)} and {len(comparison.opponent)}): score one split"
        )
    users = sorted(comparison.candidate)
    ours = np.array([comparison.candidate[user] for user in users], np.float64)
    theirs = np.array([comparison.opponent[user] for user in users], np.float64)
    nothing = Interval(float("nan"), None, None)

    def verdict(passed: bool, reason: str, gain: Interval = nothing) -> Verdict:
        return Verdict(
            metric=comparison.metric,
            split=comparison.split,
            role=comparison.role,
            users=len(users),
            candidate=float(ours.mean()) if len(users) else float("nan"),
            opponent=float(theirs.mean()) if len(users) else float("nan"),
            gain=gain,
            passed=passed,
            reason=reason,
        )

    if len(users) < rule.minimum_users:
        return verdict(
            False, f"{what}: {len(users)} users are too few ({rule.minimum_users} needed)"
        )
    if not np.isfinite(ours).all():
        broken = int((~np.isfinite(ours)).sum())
        return verdict(False, f"{what}: the candidate's score of {broken} users is not a number")
    sign = 1.0 if comparison.higher_is_better else -1.0
    gain = paired_difference(sign * ours, sign * theirs, users, Bootstrap.of(settings))
    assert gain.low is not None and gain.high is not None  # minimum_users is at least 2
    interval = f"[{gain.low:+.4f}, {gain.high:+.4f}]"
    shown = f"{what}: gain {gain.value:+.4f} {interval}, {len(users)} users"
    if first and comparison.role == "primary":
        passed = gain.low > 0.0
        end = "clearly better" if passed else "not clearly better than the baseline"
        return verdict(passed, f"{shown}: {end}", gain)
    if comparison.role == "primary" and gain.value < rule.minimum_gain:
        return verdict(False, f"{shown}: below the gain of {rule.minimum_gain:g} it needs", gain)
    tolerance = rule.benchmark_tolerance if comparison.role == "benchmark" else rule.tolerance
    if gain.low < -tolerance:
        return verdict(False, f"{shown}: a loss beyond {tolerance:g} is not ruled out", gain)
    return verdict(True, f"{shown}: not worse by more than {tolerance:g}", gain)
