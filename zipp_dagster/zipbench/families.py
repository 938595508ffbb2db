"""Families of hypotheses: Holm's adjustment over rows of a table that are read together.

The adjustment itself is in `statistics`; which rows are a family is the caller's to say.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable

from zipp_dagster.zipbench.registry import METHODS
from zipp_dagster.zipbench.statistics import holm

Row = dict[str, object]


def adjust(rows: Iterable[Row], family: Callable[[Row], Hashable]) -> None:
    """Sets `p_holm` of the rows with a `p_value`, within each family.

    A method that reads the answer is no hypothesis: it stays out.
    """
    families: dict[Hashable, list[Row]] = defaultdict(list)
    for row in rows:
        methods = {row["method"], row.get("baseline"), row.get("opponent")}
        if row["p_value"] is not None and not any(_opens_reference(name) for name in methods):
            families[family(row)].append(row)
    for members in families.values():
        adjusted = holm([float(str(row["p_value"])) for row in members])
        for row, p in zip(members, adjusted, strict=True):
            row["p_holm"] = float(p)


def _opens_reference(method: object) -> bool:
    return method in METHODS and METHODS[str(method)].opens_reference
