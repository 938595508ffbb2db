"""Target populations for raking: UN World Population Prospects 2024, and its age file.

Only official figures live here. Language and profession have no such source, so they have no
target; a synthetic world brings its own targets as a plain dictionary.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

UN_WPP_2024 = "UN World Population Prospects 2024"

_AGE_COLUMNS = {
    "Location": pa.string(),
    "Time": pa.int64(),
    "AgeGrpStart": pa.int64(),
    "AgeGrpSpan": pa.int64(),
    "PopTotal": pa.float64(),
}
_OLDEST = 200
"""Upper end of the open last age group: beyond any age."""


def un_wpp_2024() -> dict[str, dict[str, float]]:
    """Thousands of people in 2024: `gender` → male, female; `region` → the six UN regions."""
    text = (files(__package__) / "data/un_wpp_2024_gender_region.json").read_text("utf-8")
    population: dict[str, dict[str, float]] = json.loads(text)["population"]
    return {
        "gender": {
            gender: float(sum(region[gender] for region in population.values()))
            for gender in ("male", "female")
        },
        "region": {name: float(sum(region.values())) for name, region in population.items()},
    }


def real_population(
    age_file: Path | None, bands: Mapping[str, tuple[int, int | None]]
) -> dict[str, dict[str, float]]:
    """The official marginals of 2024: gender and region, and age where the UN's file is given.

    Language and profession have no official source in World Population Prospects: they are absent,
    never guessed.
    """
    targets = un_wpp_2024()
    return targets | ({"age_band": load_wpp_ages(age_file, bands)} if age_file else {})


def load_wpp_ages(
    path: Path,
    bands: Mapping[str, tuple[int, int | None]],
    *,
    year: int = 2024,
    location: str = "World",
) -> dict[str, float]:
    """Thousands of people in each age band, from `WPP2024_PopulationByAge5GroupSex_Medium.csv.gz`.

    `bands` maps a label to its first and last age in years (None: and older). A five-year group
    that a band cuts through counts in proportion to its years in the band, as if ages were even
    within it. ValueError names the file and the missing column, location or year.
    """
    try:
        table = csv.read_csv(
            path,
            convert_options=csv.ConvertOptions(
                include_columns=list(_AGE_COLUMNS), column_types=_AGE_COLUMNS
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise ValueError(f"{path} is not a WPP 2024 five-year age file: {error}") from error
    chosen = table.filter((pc.field("Location") == location) & (pc.field("Time") == year))
    if not chosen.num_rows:
        raise ValueError(f"{path} has no rows for {location!r} in {year}")
    result = dict.fromkeys(bands, 0.0)
    for group in chosen.to_pylist():
        start, span = group["AgeGrpStart"], group["AgeGrpSpan"]
        end = start + span if span > 0 else _OLDEST
        for label, (first, last) in bands.items():
            shared = min(end, _OLDEST if last is None else last + 1) - max(start, first)
            if shared > 0:
                result[label] += group["PopTotal"] * shared / (end - start)
    empty = [label for label, people in result.items() if people <= 0]
    if empty:
        raise ValueError(f"{path} has nobody in the age band {empty[0]!r}: check its ages")
    return result
