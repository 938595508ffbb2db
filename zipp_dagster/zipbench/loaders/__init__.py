"""Loaders of public data sets into canonical cases: one file a data set, one line here.

A loader takes the path of what the data set's authors publish and returns a `CaseSet`. Nothing is
downloaded; pictures stay where they are.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from zipp_dagster.zipbench.cases import CaseSet
from zipp_dagster.zipbench.loaders.movielens import load_movielens
from zipp_dagster.zipbench.loaders.pickapic import load_pickapic
from zipp_dagster.zipbench.loaders.pip import load_pip
from zipp_dagster.zipbench.loaders.rapidata import load_rapidata

LOADERS: dict[str, Callable[[Path], CaseSet]] = {
    "pip": load_pip,
    "movielens": load_movielens,
    "rapidata": load_rapidata,
    "pickapic": load_pickapic,
}


def load_cases(name: str, path: Path) -> CaseSet:
    """The cases of a data set; ValueError for an unknown name, CasesError for a bad file."""
    if name not in LOADERS:
        raise ValueError(f"no loader for {name!r}: there are {', '.join(LOADERS)}")
    return LOADERS[name](Path(path))
