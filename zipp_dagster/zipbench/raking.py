"""Raking (iterative proportional fitting) at unit level: weights that match the marginals.

Weights only. Which scores are weighted is `demographics`'s subject; where targets come from,
`population`'s. Rules, all visible in the result: a person whose category is unknown keeps the share
of the unknown in that dimension; a category with few respondents is merged with another before
raking (`collapse_sparse`); a target category without a respondent is collapsed into its neighbour in
an ordered dimension, else left out of the target population; trimmed weights are re-checked, not
raked again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zipp_dagster.zipbench.config import ZipbenchSettings
from zipp_dagster.zipbench.statistics import Bootstrap, resample_counts

UNKNOWN = "unknown"
ORDERED = frozenset({"age", "age_band"})
"""Dimensions whose targets are listed in a natural order, so that neighbours mean something."""

Weights = NDArray[np.float64]
Targets = Mapping[str, Mapping[str, float]]
"""dimension → category → share or count; each dimension is normalised here."""


class RakingError(ValueError):
    """The groups cannot be weighted to the targets; says which category, and what to do."""


@dataclass(frozen=True)
class Raked:
    """Weights with mean 1, and everything needed to judge them."""

    weights: Weights
    trimmed: Weights
    iterations: int
    error: float
    trimmed_error: float
    ess: float
    trimmed_ess: float
    collapsed: tuple[str, ...]


@dataclass(frozen=True)
class Collapsed:
    """People and targets after merging, and what was merged, in words."""

    groups: dict[str, list[str | None]]
    targets: dict[str, dict[str, float]]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Dimension:
    """One margin: units' codes [n] and indicators [n, k], target shares [k], the unknown's code."""

    name: str
    categories: tuple[str, ...]
    codes: NDArray[np.int64]
    members: NDArray[np.float64]
    shares: NDArray[np.float64]
    unknown: int | None
    ordered: bool


def collapse_sparse(
    groups: Mapping[str, Sequence[str | None]], targets: Targets, minimum: int
) -> Collapsed:
    """Merges categories until each has `minimum` people, as survey practice has it before raking.

    A margin held up by two or three people makes their weights explode, and contradicts another
    margin as soon as the two share them. The smallest category joins its smaller neighbour in an
    ordered dimension, else the next smallest one; the merged category's target is the sum. Empty
    unordered categories and the unknown are left as they are. See Battaglia et al., "Practical
    Considerations in Raking Survey Data", Survey Practice 2, 2009.
    """
    new_groups = {name: list(values) for name, values in groups.items()}
    new_targets = {name: dict(shares) for name, shares in targets.items()}
    notes = []
    for dimension, shares in targets.items():
        label, merged = _merged_categories(dimension, groups[dimension], shares, minimum)
        if not merged:
            continue
        known = (value if value is None else label.get(value, value) for value in groups[dimension])
        new_groups[dimension] = list(known)
        totals: dict[str, float] = {}
        for category, share in shares.items():
            name = label.get(category, category)
            totals[name] = totals.get(name, 0.0) + share
        new_targets[dimension] = totals
        notes.append(f"{dimension}: fewer than {minimum} people, merged: {'; '.join(merged)}")
    return Collapsed(new_groups, new_targets, tuple(notes))


def _merged_categories(
    dimension: str, values: Sequence[str | None], shares: Mapping[str, float], minimum: int
) -> tuple[dict[str, str], list[str]]:
    """Category → label of what it was merged into, and those labels; both in the targets' order."""
    ordered = dimension in ORDERED
    people = {category: values.count(category) for category in shares}
    if not any(people.values()):
        return {}, []
    places = {category: place for place, category in enumerate(shares)}
    pools = [[category] for category in shares if people[category] or ordered]

    def size(place: int) -> int:
        return sum(people[category] for category in pools[place])

    while len(pools) > 1:
        smallest = min(range(len(pools)), key=size)
        if size(smallest) >= minimum:
            break
        near = (smallest - 1, smallest + 1) if ordered else range(len(pools))
        partner = min((p for p in near if 0 <= p < len(pools) and p != smallest), key=size)
        pools[partner] = sorted(pools[partner] + pools[smallest], key=places.__getitem__)
        del pools[smallest]
    merged = [pool for pool in pools if len(pool) > 1]
    return {c: " + ".join(pool) for pool in merged for c in pool}, [" + ".join(p) for p in merged]


def rake(
    groups: Mapping[str, Sequence[str | None]],
    targets: Targets,
    settings: ZipbenchSettings,
    *,
    on_empty: str = "collapse",
) -> Raked:
    """Weights of the people described by `groups` (dimension → category of each person).

    `targets` may name fewer dimensions than `groups`; None counts as unknown. RakingError for a
    category that the targets lack, an empty category when `on_empty="error"`, or margins that do
    not converge.
    """
    dimensions = _dimensions(groups, targets)
    units = len(dimensions[0].codes)
    collapsed = tuple(note for dimension in dimensions for note in _collapse_notes(dimension))
    if collapsed and on_empty == "error":
        raise RakingError(f"{collapsed[0]}: merge the category in the targets, or allow collapsing")
    weights, errors, iterations = _sweep(np.ones((1, units)), dimensions, settings)
    if not errors[0] <= settings.raking_tolerance:
        raise RakingError(
            f"raking did not converge in {settings.raking_iterations} sweeps: the largest"
            f" difference from a target share is {errors[0]:.4f}."
            " Use fewer dimensions or wider categories"
        )
    trimmed = trim_weights(weights[0], settings.raking_trim)
    return Raked(
        weights=weights[0],
        trimmed=trimmed,
        iterations=iterations,
        error=float(errors[0]),
        trimmed_error=float(_errors(trimmed[None], np.ones((1, units)), dimensions)[0]),
        ess=kish_ess(weights[0]),
        trimmed_ess=kish_ess(trimmed),
        collapsed=collapsed,
    )


def replicate_weights(
    groups: Mapping[str, Sequence[str | None]], targets: Targets, settings: ZipbenchSettings
) -> Iterator[Weights]:
    """Weights of bootstrap replicates, each raked anew, in chunks [some replicates, people].

    A category that a replicate did not draw is collapsed in that replicate by the same rule.
    Replicates whose margins do not converge are left out, so fewer rows than `bootstrap_replicates`
    may come.
    """
    dimensions = _dimensions(groups, targets)
    units = len(dimensions[0].codes)
    for counts in resample_counts(units, Bootstrap.of(settings)):
        weights, errors, _ = _sweep(counts, dimensions, settings)
        yield weights[errors <= settings.raking_tolerance]


def trim_weights(weights: ArrayLike, limit: float) -> Weights:
    """Caps weights at `limit` × their mean, spreading the cut weight over the others, mean 1."""
    result = np.asarray(weights, np.float64)
    result = result / result.mean()
    over = np.zeros(len(result), bool)
    while (result[~over] > limit * (1 + 1e-12)).any():
        over |= result > limit
        result[over] = limit
        if not result[~over].any():
            return result / result.mean()  # everybody else weighs nothing: nobody can take it
        # A cap above the mean always leaves some weight below it to take up what was cut.
        result[~over] *= (len(result) - limit * over.sum()) / result[~over].sum()
    return result


def kish_ess(weights: ArrayLike) -> float:
    """Kish's effective sample size, (Σw)² / Σw²."""
    array = np.asarray(weights, np.float64)
    return float(array.sum() ** 2 / (array**2).sum())


def _dimensions(groups: Mapping[str, Sequence[str | None]], targets: Targets) -> list[_Dimension]:
    if not targets:
        raise RakingError("no target marginal is given: there is nothing to weight to")
    dimensions = []
    for name, shares in targets.items():
        if name not in groups:
            raise RakingError(f"the people have no {name!r}; they have {sorted(groups)}")
        values = [UNKNOWN if value is None else value for value in groups[name]]
        if not values:
            raise RakingError("there is nobody to weight")
        strange = sorted(set(values) - set(shares) - {UNKNOWN})
        if strange:
            raise RakingError(
                f"{name}: no target for {strange[0]!r}; the targets name {sorted(shares)}."
                f" Rename the category, or pass {UNKNOWN!r}"
            )
        dimensions.append(_dimension(name, values, shares))
    if len({len(dimension.codes) for dimension in dimensions}) > 1:
        raise RakingError("the dimensions describe different numbers of people")
    return dimensions


def _dimension(name: str, values: Sequence[str], shares: Mapping[str, float]) -> _Dimension:
    amounts = np.array([shares[category] for category in shares], np.float64)
    if not np.isfinite(amounts).all() or (amounts < 0).any() or amounts.sum() <= 0:
        raise RakingError(f"{name}: target shares must be finite, not negative, and not all zero")
    categories = tuple(shares)
    known = {category: index for index, category in enumerate(categories)}
    unknown = None
    if UNKNOWN in values and UNKNOWN not in known:
        unknown = len(categories)
        known[UNKNOWN] = unknown
        categories += (UNKNOWN,)
        amounts = np.append(amounts, 0.0)
    codes = np.array([known[value] for value in values], np.int64)
    return _Dimension(
        name=name,
        categories=categories,
        codes=codes,
        members=np.eye(len(categories))[codes],
        shares=amounts / amounts.sum(),
        unknown=unknown,
        ordered=name in ORDERED,
    )


def _collapse_notes(dimension: _Dimension) -> list[str]:
    known = dimension.members.sum(0) > 0
    if dimension.unknown is not None:
        known[dimension.unknown] = False
    notes = []
    for code in np.flatnonzero(~known & (dimension.shares > 0)):
        if dimension.ordered and known.any():
            end = f"collapsed into {dimension.categories[_neighbour(int(code), known)]}"
        else:
            end = "left out of the target population"
        category, share = dimension.categories[code], dimension.shares[code]
        notes.append(f"{dimension.name}: nobody is {category} ({share:.1%} of the target), {end}")
    return notes


def _neighbour(code: int, present: NDArray[np.bool_]) -> int:
    """The nearest present category; the lower one of two equally near."""
    candidates = np.flatnonzero(present)
    return int(candidates[np.argmin(np.abs(candidates - code))])


def _target_shares(dimension: _Dimension, sums: Weights) -> Weights:
    """Target shares [b, k] given the weight [b, k] that each replicate has in each category.

    Depends on which categories are present and on the unknown's share only, so it is formed once,
    before the first sweep.
    """
    present = sums > 0
    shares = np.broadcast_to(dimension.shares, sums.shape).copy()
    known = present.copy()
    if dimension.unknown is not None:
        known[:, dimension.unknown] = False
    if dimension.ordered:
        missing = ~known & (shares > 0)
        for row, code in zip(*np.nonzero(missing), strict=True):
            if known[row].any():
                shares[row, _neighbour(int(code), known[row])] += dimension.shares[code]
    shares[~known] = 0.0
    total = shares.sum(1, keepdims=True)
    # NaN where everybody is in a category that the population lacks: no weights can help.
    shares = np.divide(shares, total, out=np.full_like(shares, np.nan), where=total > 0)
    if dimension.unknown is not None:
        unknown = sums[:, dimension.unknown] / sums.sum(1)
        shares *= (1.0 - unknown)[:, None]
        shares[unknown == 1.0] = 0.0
        shares[:, dimension.unknown] = unknown
    return shares


def _category_sums(weights: Weights, dimension: _Dimension) -> Weights:
    """Weight of each category in each replicate: [b, n] → [b, k]."""
    return weights @ dimension.members


def _errors(weights: Weights, base: Weights, dimensions: Sequence[_Dimension]) -> Weights:
    """Largest difference of a weighted share from its target, of each replicate [b]."""
    worst = np.zeros(len(weights))
    for dimension in dimensions:
        shares = _category_sums(weights, dimension) / weights.sum(1, keepdims=True)
        target = _target_shares(dimension, _category_sums(base, dimension))
        worst = np.maximum(worst, np.abs(shares - target).max(1))
    return worst


def _sweep(
    base: Weights, dimensions: Sequence[_Dimension], settings: ZipbenchSettings
) -> tuple[Weights, Weights, int]:
    """Rakes all replicates at once → weights [b, n] of mean 1, errors [b], most sweeps."""
    units = base.shape[1]
    targets = [_target_shares(d, _category_sums(base, d)) * units for d in dimensions]
    weights = base * (units / base.sum(1, keepdims=True))
    errors = np.full(len(base), np.inf)
    active = np.arange(len(base))
    for iteration in range(1, settings.raking_iterations + 1):
        some = weights[active]
        for dimension, target in zip(dimensions, targets, strict=True):
            sums = _category_sums(some, dimension)
            factors = np.divide(target[active], sums, out=np.zeros_like(sums), where=sums > 0)
            some *= factors[:, dimension.codes]
        some_errors = np.zeros(len(active))
        for dimension, target in zip(dimensions, targets, strict=True):
            gap = np.abs(_category_sums(some, dimension) - target[active]).max(1) / units
            some_errors = np.maximum(some_errors, gap)
        weights[active], errors[active] = some, some_errors
        active = active[some_errors > settings.raking_tolerance]
        if not len(active):
            return weights, errors, iteration
    return weights, errors, settings.raking_iterations
