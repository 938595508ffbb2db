from __future__ import annotations

import csv
import json

import pytest

from tests.personal.people import a_platform
from tests.studio.conftest import prefers, take_part
from zipp_dagster.studio.bundle import export_study, import_votes
from zipp_dagster.studio.persona_items import items_to_rate
from zipp_dagster.studio.study import StudyConfig, StudyError
from zipp_dagster.zipbench.config import ZipbenchSettings
from zipp_dagster.zipbench.preferences import VotesError, human_preferences

SETTINGS = ZipbenchSettings(bootstrap_replicates=100)


@pytest.fixture
def bundle(store, study, tmp_path):
    store.create(study)
    take_part(store, study, prefers("zipp_0shot"), intake={"age_band": "25-34", "work": "=1+1"})
    take_part(store, study, lambda left, right: "left" if left == "broken" else "right")
    out = tmp_path / "bundle"
    assert export_study(store, "pilot", out, SETTINGS, with_intake=True) == {
        "votes": 8,
        "people": 2,
    }
    return out


def table(path):
    return list(csv.DictReader(path.open()))


def test_what_is_exported_is_counted_by_human_preferences(bundle, tmp_path):
    name, votes, target = import_votes(bundle, tmp_path, None)
    assert (name, votes, target) == ("pilot", 8, tmp_path / "votes" / "pilot.csv")
    found = human_preferences(SETTINGS, imported=tmp_path / "votes")
    rows = found.table.to_pylist()
    assert [(r["method"], r["wins"], r["losses"], r["flagged"]) for r in rows] == [
        ("zipp_0shot", 2, 0, 2)
    ] * 2
    assert found.reason is None and found.ballots.num_rows == 8


def test_an_import_repeated_replaces_the_first(bundle, tmp_path):
    import_votes(bundle, tmp_path, None)
    import_votes(bundle, tmp_path, None)
    assert human_preferences(SETTINGS, imported=tmp_path / "votes").votes == 8


def test_the_audit_says_what_drew_each_side(bundle):
    rows = table(bundle / "audit.csv")
    assert {row["left_method"] for row in rows} <= {
        "zipp_0shot",
        "no_persona",
        "mismatched",
        "broken",
    }
    assert sum(row["kind"] == "attention" for row in rows) == 2


def test_tokens_are_not_exported_and_a_formula_stays_text(bundle, store):
    everything = "".join(path.read_text() for path in bundle.iterdir())
    assert "token" not in everything
    assert table(bundle / "intake.csv")[0]["work"] in ("'=1+1", "")


def test_results_and_configuration_are_in_the_bundle(bundle, study):
    assert json.loads((bundle / "results.json").read_text())["joined"] == 2
    document = json.loads((bundle / "study.json").read_text())
    assert StudyConfig.model_validate(document["study"]) == study


def test_a_bundle_does_not_mix_with_another(bundle, store):
    with pytest.raises(StudyError, match="not an empty folder"):
        export_study(store, "pilot", bundle, SETTINGS)


def test_a_folder_that_is_no_bundle_and_a_damaged_vote_are_named(bundle, tmp_path):
    with pytest.raises(StudyError, match="is no bundle"):
        import_votes(tmp_path, tmp_path, None)
    votes = bundle / "votes.csv"
    votes.write_text(votes.read_text().replace(",left,", ",both,").replace(",right,", ",both,"))
    with pytest.raises(VotesError, match=r"votes\.csv, row 1: choice is 'both'"):
        import_votes(bundle, tmp_path, None)
    assert not (tmp_path / "votes").exists()


def test_votes_of_another_study_are_not_taken_in(bundle, tmp_path):
    votes = bundle / "votes.csv"
    votes.write_text(votes.read_text().replace("pilot", "other"))
    with pytest.raises(StudyError, match="votes of other studies: other"):
        import_votes(bundle, tmp_path, None)


QUALITY = StudyConfig(name="quality", kind="persona_quality", personas=1)


def test_personas_to_rate_are_mined_ones_with_claims_and_hide_who_it_is(tmp_path):
    import pyarrow as pa

    from tests.personal.people import ANA, publish

    platform = a_platform(tmp_path)
    said = {"user_id": pa.array([ANA], pa.uint64()), "text": ["I paint"], "subreddit": ["art"]}
    publish(platform.lake, "persona_evidence", pa.table(said | {"snippet_id": ["c1"]}))
    items = items_to_rate(platform, StudyConfig(name="qq", kind="persona_quality", personas=2))
    assert [json.loads(item["persona"])["claims"] for item in items]
    assert sorted(json.loads(item["evidence"]) for item in items) == [[], ["“I paint” (r/art)"]]
    assert "0000000000000001" not in json.dumps(items)


def test_personas_of_real_people_are_rated_only_with_the_setting(tmp_path):
    with pytest.raises(StudyError, match="show_real_personas"):
        items_to_rate(a_platform(tmp_path, real=True), QUALITY)


def test_too_few_personas_are_said(tmp_path):
    with pytest.raises(StudyError, match="there are 2 usable personas"):
        items_to_rate(
            a_platform(tmp_path), StudyConfig(name="qq", kind="persona_quality", personas=9)
        )
