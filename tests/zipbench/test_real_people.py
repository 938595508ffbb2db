"""Real people are weighted by what their personas claim, to the United Nations' population."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets.evaluation import _claimed, people_known
from tests.zipbench.test_demographics import write_wpp
from tests.zipbench.worlds import scores_table
from zipp_dagster.persona.personas import PERSONAS_SCHEMA
from zipp_dagster.persona.schema import Persona
from zipp_dagster.persona.writer import parse_persona
from zipp_dagster.settings import load_settings
from zipp_dagster.zipbench.config import ZipbenchSettings
from zipp_dagster.zipbench.demographics import demographic_scores
from zipp_dagster.zipbench.population import un_wpp_2024


class Files:
    def __init__(self, *paths) -> None:
        self.paths = list(paths)

    def files(self):
        return self.paths


def person(user: int, confidence: float = 0.9, **claims: str) -> dict[str, object]:
    demographics = {name: {"value": v, "confidence": confidence} for name, v in claims.items()}
    persona = Persona(summary="I write.", demographics=demographics)
    return {"user_id": user, "persona_id": persona.persona_id, "profile": persona.to_json()}


@pytest.fixture
def personas(tmp_path):
    rows = [person(u, gender="male", region="Europe", age_band="25-34") for u in range(30)]
    rows += [person(30 + u, gender="female", region="Asia", age_band="65+") for u in range(10)]
    rows += [person(40, confidence=0.3, gender="female"), person(41, gender="nonbinary")]
    pq.write_table(pa.Table.from_pylist(rows, schema=PERSONAS_SCHEMA), tmp_path / "p.parquet")
    return {"personas": Files(tmp_path / "p.parquet")}


def test_unsure_claims_and_categories_without_an_official_figure_count_as_unknown(personas):
    groups, population = _claimed(personas, ZipbenchSettings())
    assert set(population.targets) == {"gender", "region"}  # no file of ages is set
    by_user = {row["user_id"]: row for row in groups.to_pylist()}
    assert by_user[0] == {"user_id": 0, "gender": "male", "region": "Europe"}
    assert by_user[40]["gender"] is None and by_user[41]["gender"] is None
    assert population.name == "UN World Population Prospects 2024"


def test_ages_join_with_the_official_file_and_scores_move_towards_the_world(personas, tmp_path):
    path = tmp_path / "WPP2024_PopulationByAge5GroupSex_Medium.csv.gz"
    bands = ((18, 5), (25, 5), (35, 5), (45, 5), (55, 5), (65, 5))
    write_wpp(path, [("World", 2024, start, span, 10.0) for start, span in bands])
    settings = ZipbenchSettings(wpp_age_file=path, bootstrap_replicates=100)
    groups, population = _claimed(personas, settings)
    assert set(population.targets) == {"gender", "region", "age_band"}
    _, by_gender = _claimed(personas, ZipbenchSettings(raking_dimensions=("gender",)))
    scores = scores_table([(f"c{u}", u, "m", 0.2 if u < 30 else 0.8) for u in range(40)])
    row = demographic_scores(scores, groups, by_gender, settings).to_pylist()[0]
    assert row["raw"] == pytest.approx(0.35)
    assert row["raked"] == pytest.approx(0.2 + 0.6 * 4_076_211 / 8_196_980, abs=1e-3)


@pytest.mark.parametrize("profile", ["paper", "cluster"])
def test_profiles_for_real_people_rake_by_what_has_an_official_source(profile, monkeypatch):
    monkeypatch.delenv("ZIPP_ZIPBENCH__RAKING_DIMENSIONS", raising=False)
    asked = load_settings(profile).zipbench.raking_dimensions
    # Ages come from the United Nations' file, which the user brings.
    assert set(asked) == {"age_band", *un_wpp_2024()}


SAID = [
    {"gender": "Male", "region": "Western Europe", "age_band": "mid-30s"},
    {"gender": "man", "region": "EUROPE", "age_band": "40 years"},
    {"gender": "Woman", "country": "japan", "age_band": "31"},
]


def written(tmp_path, said):
    """A personas table of what a model answered about forty people."""
    rows = []
    for user in range(40):
        claims = {
            name: {"value": value, "confidence": 0.9}
            for name, value in said[user % len(said)].items()
        }
        persona = parse_persona(json.dumps({"summary": "I write.", "demographics": claims}))
        rows.append({"user_id": user, "persona_id": "p", "profile": persona.to_json()})
    pq.write_table(pa.Table.from_pylist(rows, schema=PERSONAS_SCHEMA), tmp_path / "p.parquet")
    return {"personas": Files(tmp_path / "p.parquet")}


def test_what_a_model_says_in_its_own_words_is_weighted(tmp_path):
    settings = ZipbenchSettings(bootstrap_replicates=100, raking_dimensions=("gender",))
    personas = written(tmp_path, SAID)
    groups, _ = _claimed(personas, ZipbenchSettings())
    assert groups["gender"].to_pylist()[:3] == ["male", "male", "female"]
    assert groups["region"].to_pylist()[:3] == ["Europe", "Europe", "Asia"]
    groups, population = _claimed(personas, settings)
    scores = scores_table([(f"c{u}", u, "m", 0.8 if u % 3 == 2 else 0.2) for u in range(40)])
    row = demographic_scores(scores, groups, population, settings).to_pylist()[0]
    assert row["known"] == 1.0 and row["raw"] == pytest.approx(0.395)
    assert row["raked"] == pytest.approx(0.2 + 0.6 * 4_076_211 / 8_196_980, abs=1e-3)


@pytest.mark.parametrize(("said", "passed"), [(SAID, True), ([{"gender": "somebody"}], False)])
def test_weights_that_move_nobody_are_a_warning(tmp_path, said, passed):
    settings = ZipbenchSettings(bootstrap_replicates=100)
    groups, population = _claimed(written(tmp_path, said), settings)
    scores = scores_table([(f"c{u}", u, "m", 0.5) for u in range(40)])
    table = demographic_scores(scores, groups, population, settings)
    pq.write_table(table, tmp_path / "scores.parquet")
    outcome = people_known.function(Files(tmp_path / "scores.parquet"), {})
    assert outcome.passed is passed and outcome.severity == "warn"
    assert outcome.metadata == {"known_share": 1.0 if passed else 0.0}
