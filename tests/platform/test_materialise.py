"""What makes a version, what it says of itself, and what it is made from."""

from __future__ import annotations

import dataclasses
import json

import pytest

from tests.platform.bakery import CATALOGUE, COMMON, MONTHS, SEEN, OvenSettings, bread, flour, jars
from zipp_dagster.platform.artifacts import Inputs, Summary, Unchanged, artifact
from zipp_dagster.platform.catalogue import Catalogue
from zipp_dagster.platform.lake import Draft
from zipp_dagster.platform.materialise import expect, materialise
from zipp_dagster.platform.plan import plan
from zipp_dagster.platform.registry import CHALLENGER
from zipp_dagster.platform.versions import NotMaterialised


def test_a_catalogue_is_in_the_order_of_the_inputs_and_refuses_what_nobody_makes():
    names = list(CATALOGUE)
    assert names.index("flour") < names.index("bread") < names.index("sandwich")
    assert CATALOGUE.upstream("sandwich") == {"sandwich", "bread", "flour", "raisins"}
    assert CATALOGUE.downstream("milk") == {"milk", "cream", "butter"}
    with pytest.raises(ValueError, match="bread reads 'flour', which no asset makes"):
        Catalogue([bread], lambda platform: [])
    with pytest.raises(ValueError, match=r"share a name: \['flour'\]"):
        Catalogue([flour, flour], lambda platform: [])


def test_an_artifact_is_made_once_and_is_then_unchanged(make, bakery):
    make("flour")
    first, second = make("bread"), make("bread")
    assert (first.status, second.status) == ("made", "unchanged")
    assert second.version == first.version == bakery.lake.current("bread")
    assert second.summary.metadata == {"crumbs": 3, "crust": "hard"}
    assert [report.name for report in second.checks] == ["brown"]
    assert len(bakery.lake.versions("bread")) == 1


def test_the_manifest_says_what_the_version_was_made_from(make, bakery):
    source = make("flour").version
    manifest = make("bread", run_id="run-1").version.manifest
    assert [(ref.asset, ref.version) for ref in manifest.inputs] == [("flour", source.id)]
    assert manifest.config == {"oven": {"degrees": 200}}
    assert (manifest.run_id, manifest.code_version) == ("run-1", CATALOGUE["bread"].code_version)
    assert manifest.checks[0]["passed"] and manifest.checks[0]["description"] == "it is brown rye"
    assert [entry.path for entry in source.manifest.external_files] == ["/mill"]
    assert source.manifest.metadata == {"grams": 500}


def test_force_makes_an_unchanged_artifact_again_from_scratch(make, bakery):
    first, second = make("flour"), make("flour", force=True)
    assert second.status == "made" and second.version != first.version
    assert second.version.manifest.data_version == first.version.manifest.data_version


def test_a_changed_input_makes_a_new_version(make, bakery):
    make("flour")
    before = make("bread").version
    (bakery.home / "sack-all.txt").write_text("wheat")
    assert make("flour").status == "made"
    after = make("bread")
    assert after.status == "made"
    assert after.version.manifest.data_version != before.manifest.data_version


def test_an_input_made_again_with_the_same_data_version_changes_nothing(make):
    make("flour")
    make("bread")
    make("flour", force=True)
    assert make("bread").status == "unchanged"


def test_a_setting_makes_a_new_version_and_an_operational_one_does_not(make, bakery):
    make("flour")
    make("bread")
    bakery.settings.sections["oven"] = OvenSettings(shelves=9)
    assert make("bread").status == "unchanged"
    bakery.settings.sections["oven"] = OvenSettings(degrees=210)
    assert make("bread").status == "made"


def test_code_makes_a_new_version(make, bakery, monkeypatch):
    make("flour")
    edited = dataclasses.replace(CATALOGUE["flour"])
    object.__setattr__(edited, "code_version", "edited")
    assert materialise(edited, None, bakery, CATALOGUE).status == "made"


def test_state_outside_the_lake_makes_a_new_version(make, bakery):
    make("flour")
    (bakery.home / "sack-all.txt").write_text("spelt")
    assert make("flour").version.directory.joinpath("flour.txt").read_text() == "spelt"


def test_what_is_versioned_by_content_does_not_follow_the_versions_of_its_inputs(make, bakery):
    make("flour")
    assert make("raisins").status == "made"
    changed = dataclasses.replace(CATALOGUE["flour"])
    object.__setattr__(changed, "code_version", "edited")
    materialise(changed, None, bakery, CATALOGUE)
    assert make("raisins").status == "unchanged"
    (bakery.home / "sack-all.txt").write_text("other")
    assert make("raisins").status == "made"


def rain(platform, version) -> str:
    path = platform.home / "rain.txt"
    return f"{version.manifest.rows} roots, and rain" if path.exists() else ""


@artifact(**COMMON, try_again=rain)
def field(out: Draft) -> Summary:
    """Grows when it rains, if anything grows at all."""
    roots = (out.again.manifest.rows or 0) + 1 if out.again else 0
    if roots == 2:
        raise Unchanged("nothing grew")
    return Summary(rows=roots)


@artifact(**COMMON, inputs=["field"])
def soup_of_roots(inputs: Inputs) -> Summary:
    """What follows from the field."""
    return Summary(rows=inputs["field"].version.manifest.rows)


FARM = Catalogue([field, soup_of_roots], lambda platform: [])


def test_what_failed_for_now_is_tried_again_and_what_follows_runs_only_where_something_came(
    bakery,
):
    def tend() -> list[tuple[str, str]]:
        steps = plan(FARM, bakery, [])
        made = [materialise(entry, None, bakery, FARM).status for entry in FARM.values()]
        return list(zip([step.reason for step in steps], made, strict=True))

    assert [status for _, status in tend()] == ["made", "made"]
    first = bakery.lake.current("field")
    assert tend() == [("up to date", "unchanged")] * 2
    (bakery.home / "rain.txt").write_text("")
    assert tend() == [("0 roots, and rain", "made"), ("field will be made", "made")]
    second = bakery.lake.current("field")
    assert second.manifest.data_version == first.manifest.data_version + "~1"
    assert tend() == [("1 roots, and rain", "unchanged"), ("field will be made", "unchanged")]
    assert bakery.lake.current("field") == second and len(bakery.lake.versions("field")) == 2
    (bakery.home / "rain.txt").unlink()
    assert tend() == [("up to date", "unchanged")] * 2


def test_a_body_that_was_not_to_try_again_may_not_leave_things_as_they_are(bakery):
    @artifact(**COMMON)
    def stone() -> Summary:
        """Never changes."""
        raise Unchanged("a stone")

    with pytest.raises(Unchanged, match="a stone"):
        materialise(stone, None, bakery, Catalogue([stone], lambda platform: []))


def test_what_is_forced_though_it_was_tried_again_gets_a_data_version_of_its_own(bakery):
    materialise(field, None, bakery, FARM)
    (bakery.home / "rain.txt").write_text("")
    forced = [materialise(field, None, bakery, FARM, force=True).version for _ in range(2)]
    assert [version.manifest.data_version[-2:] for version in forced] == ["~1", "~2"]
    assert [version.manifest.rows for version in forced] == [0, 0]


def test_an_input_that_was_never_made_is_an_error_that_names_it(make):
    with pytest.raises(NotMaterialised, match="flour has not been materialised yet"):
        make("bread")


def test_a_month_reads_its_own_month_and_the_whole_reads_all_active_months(make, bakery):
    make("flour")
    for month in MONTHS:
        make("milk", month)
        assert make("cream", month).summary.metadata == {"milk": month}
    assert make("butter").summary.metadata == {"months": MONTHS}


def test_a_changed_month_changes_that_month_and_the_whole_only(make, bakery):
    make("flour")
    for month in MONTHS:
        make("milk", month), make("cream", month)
    make("butter")
    (bakery.home / "sack-2024-02.txt").write_text("corrected")
    assert [make("milk", month).status for month in MONTHS] == ["unchanged", "made"]
    assert [make("cream", month).status for month in MONTHS] == ["unchanged", "made"]
    assert make("butter").status == "made"


def test_the_whole_without_any_month_says_what_is_missing(make):
    with pytest.raises(NotMaterialised, match="cream has no month yet"):
        make("butter")


def test_what_is_planned_is_what_is_made(make, bakery):
    make("flour")
    expected = expect(CATALOGUE["bread"], None, bakery, CATALOGUE)
    assert make("bread").version.manifest.data_version == expected.data_version


def test_a_model_is_registered_with_its_files_metrics_and_lake_version(make, bakery):
    version = make("recipe").version
    entry = bakery.registry.by_alias("test-recipe", CHALLENGER)
    assert (entry.lake_version, entry.asset) == (version.id, "recipe")
    client = bakery.registry.client
    found = client.search_logged_models([bakery.registry.experiment_id], "name = 'test-recipe'")
    model = client.get_logged_model(found[0].model_id)
    assert client.get_model_version("test-recipe", str(entry.version)).source == (
        model.artifact_location
    )
    assert model.tags["zipp.lake_version"] == version.id
    assert [a.path for a in client.list_logged_model_artifacts(model.model_id)] == [
        "manifest.json",
        "recipe.json",
    ]
    assert {m.key: m.value for m in model.metrics} == {"quality": 0.75}
    history = client.get_metric_history(entry.run_id, "taste")
    assert [(point.step, point.value) for point in history] == [(0, 0.5), (1, 0.75)]
    make("recipe")
    assert len(bakery.registry.versions("test-recipe")) == entry.version


def test_a_materialisation_is_one_finished_run_with_inputs_settings_and_numbers(make, bakery):
    source = make("flour").version
    make("bread", run_id="dagster-run")
    client = bakery.registry.client
    run = client.search_runs([bakery.registry.experiment_id], max_results=1)[0]
    assert (run.info.run_name, run.info.status) == ("bread", "FINISHED")
    assert run.data.params == {"oven.degrees": "200"}
    assert run.data.metrics["crumbs"] == 3 and "crust" not in run.data.metrics
    assert run.data.tags["dagster.run_id"] == "dagster-run"
    assert json.loads(run.data.tags["zipp.inputs"])[0]["version"] == source.id


def test_after_publish_sees_the_current_version_and_only_new_ones(make, bakery):
    SEEN.clear()
    version = make("shop_window").version
    make("shop_window")
    assert [version.id] == SEEN == [bakery.lake.current("shop_window").id]


def test_a_body_gets_what_its_annotations_ask_for(make):
    assert make("everything").summary.metadata == {"same": True, "oven": 200}


def test_an_undeclared_input_and_an_optional_one_that_is_no_input_are_errors(make, bakery):
    with pytest.raises(KeyError, match=r"salt is not declared in inputs=…; declared: \[\]"):
        Inputs({})["salt"]
    with pytest.raises(ValueError, match="not among its inputs"):
        artifact(**COMMON, optional=["salt"])(jars.function)
