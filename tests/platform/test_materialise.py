from __future__ import annotations

import dataclasses
import json
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zipp_dagster.platform.artifacts import CheckOutcome, Inputs, Skip, Summary, artifact, check
from zipp_dagster.platform.catalogue import Catalogue, Platform
from zipp_dagster.platform.compute import Compute
from zipp_dagster.platform.contracts import Contract
from zipp_dagster.platform.lake import Draft
from zipp_dagster.platform.materialise import expect, materialise
from zipp_dagster.platform.registry import CHALLENGER, Registry
from zipp_dagster.platform.tracking import Tracker
from zipp_dagster.platform.versions import FileEntry, NotMaterialised
from zipp_dagster.platform.warehouse import Warehouse
from zipp_dagster.progress import Progress
from zipp_dagster.section import Section

COMMON = {"group": "bakery", "kinds": {"python"}, "owner": "team:bakery"}
MONTHS = ["2024-01", "2024-02"]


class OvenSettings(Section):
    """How the oven is set; `shelves` says only where loaves lie."""

    operational: ClassVar[frozenset[str]] = frozenset({"shelves"})
    degrees: int = 200
    shelves: int = 2


def sack(platform: Platform, partition: str | None) -> str:
    """What lies outside the lake: a file of the test."""
    path = platform.home / f"sack-{partition or 'all'}.txt"
    return path.read_text() if path.exists() else "empty"


@artifact(**COMMON, external_state=sack)
def flour(out: Draft, platform: Platform) -> Summary:
    """Flour, as it is in the sack."""
    content = sack(platform, None)
    if content == "empty":
        raise Skip("the sack is empty")
    out.path("flour.txt").write_text(content)
    return Summary(metadata={"grams": 500, "external_files": [FileEntry("/mill", 1, "00")]})


@artifact(
    **COMMON, external_state=sack, inputs=["flour"], optional=["flour"], version_by_content=True
)
def raisins(out: Draft, platform: Platform) -> Summary:
    """Known by what they are, not by when they were made."""
    return Summary(rows=7)


@check("brown")
def brown(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """The loaf is brown."""
    text = draft.path("bread.txt").read_text()
    return CheckOutcome("black" not in text, f"it is {text}")


@artifact(**COMMON, inputs=["flour"], checks=[brown])
def bread(inputs: Inputs, out: Draft, oven: OvenSettings) -> Summary:
    """Bread of flour."""
    kind = inputs["flour"].path("flour.txt").read_text()
    out.path("bread.txt").write_text("black" if oven.degrees > 300 else f"brown {kind}")
    return Summary(metadata={"crumbs": 3, "crust": "hard"})


@artifact(**COMMON, inputs=["bread", "raisins"])
def sandwich(inputs: Inputs, out: Draft) -> Summary:
    """Needs bread."""
    out.path("x.txt").write_text("x")
    return Summary()


@artifact(**COMMON, inputs=["bread"], optional=["bread"])
def soup(inputs: Inputs, out: Draft) -> Summary:
    """Is made with or without bread."""
    with_bread = inputs.available("bread")
    return Summary(metadata={"with_bread": with_bread})


@artifact(**COMMON, partitioned=True, external_state=sack)
def milk(out: Draft, platform: Platform) -> Summary:
    """A month's milk."""
    out.path("part-0.parquet").write_bytes(b"")
    return Summary(rows=1, metadata={"state": sack(platform, out.partition)})


@artifact(**COMMON, partitioned=True, inputs=["milk", "flour"], optional=["flour"])
def cream(inputs: Inputs, out: Draft) -> Summary:
    """A month's cream, of the same month's milk."""
    return Summary(metadata={"milk": inputs["milk"].version.partition})


@artifact(**COMMON, inputs=["cream"])
def butter(inputs: Inputs, out: Draft) -> Summary:
    """Of all months' cream."""
    return Summary(metadata={"months": [v.partition for v in inputs["cream"].versions]})


@artifact(**COMMON, model_name="test-recipe")
def recipe(out: Draft, tracker: Tracker) -> Summary:
    """A model: registered in MLflow."""
    out.path("recipe.json").write_text("{}")
    tracker.log_history([{"step": 0, "taste": 0.5}, {"step": 1, "taste": 0.75}])
    return Summary(metadata={"quality": 0.75})


SEEN: list[str] = []


@artifact(**COMMON, after_publish=lambda platform, version: SEEN.append(version.id))
def shop_window(out: Draft) -> Summary:
    """Says when it has become current."""
    return Summary()


@artifact(**COMMON)
def everything(
    inputs: Inputs,
    out: Draft,
    tracker: Tracker,
    warehouse: Warehouse,
    registry: Registry,
    compute: Compute,
    platform: Platform,
    progress: Progress,
    oven: OvenSettings,
) -> Summary:
    """Takes all that a body can ask for."""
    same = warehouse is platform.warehouse and registry is platform.registry
    return Summary(metadata={"same": same and compute is platform.compute, "oven": oven.degrees})


CATALOGUE = Catalogue(
    [sandwich, bread, soup, flour, raisins, milk, cream, butter, recipe, shop_window, everything],
    lambda platform: [str(month) for month in platform.lake.partitions("milk")],
)


@pytest.fixture
def bakery(platform):
    """A platform with an oven and a full sack."""
    platform.settings.sections["oven"] = OvenSettings()
    (platform.home / "sack-all.txt").write_text("rye")
    return platform


@pytest.fixture
def make(bakery):
    """`make("bread")` materialises; returns the outcome."""

    def run(name: str, partition: str | None = None, **options):
        return materialise(CATALOGUE[name], partition, bakery, CATALOGUE, **options)

    return run


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


def test_a_skip_is_a_version_with_a_reason_and_reaches_all_who_need_the_asset(make, bakery):
    (bakery.home / "sack-all.txt").write_text("empty")
    assert make("flour").status == "skipped"
    outcome = make("bread")
    assert (outcome.status, outcome.version.skipped) == (
        "skipped",
        "needs flour, which was skipped: the sack is empty",
    )
    assert outcome.checks[0].outcome.description.startswith("nothing to check: needs flour")
    make("raisins")
    assert make("sandwich").version.skipped == outcome.version.skipped  # the root reason, once
    assert make("bread").status == "unchanged"


def test_an_optional_input_may_be_skipped_and_the_body_can_tell(make, bakery):
    (bakery.home / "sack-all.txt").write_text("empty")
    make("flour"), make("bread")
    assert make("soup").summary.metadata == {"with_bread": False}
    (bakery.home / "sack-all.txt").write_text("rye")
    make("flour"), make("bread")
    assert make("soup").summary.metadata == {"with_bread": True}


def test_a_draft_that_fails_a_blocking_check_leaves_the_previous_version_current(make, bakery):
    make("flour")
    good = make("bread").version
    bakery.settings.sections["oven"] = OvenSettings(degrees=900)
    outcome = make("bread")
    assert outcome.status == "rejected"
    assert [report.name for report in outcome.failed_blocking_checks] == ["brown"]
    assert bakery.lake.current("bread") == good
    kept = bakery.lake.version("bread", outcome.version.id)
    assert kept.manifest.rejected and not good.manifest.rejected
    assert make("bread").status == "rejected"  # it is tried again, not taken for done


def test_a_check_that_does_not_block_or_only_warns_lets_the_version_pass(make, bakery):
    make("flour")
    bakery.settings.sections["oven"] = OvenSettings(degrees=900)
    loose = dataclasses.replace(brown, blocking=False)
    relaxed = dataclasses.replace(CATALOGUE["bread"], checks=(loose,))
    outcome = materialise(relaxed, None, bakery, CATALOGUE)
    assert outcome.status == "made" and not outcome.checks[0].outcome.passed


def test_a_contract_is_a_check_with_a_page_and_blocks(make, bakery):
    contract = Contract.model_validate(
        {
            "name": "jars",
            "description": "Jars.",
            "columns": [
                {"name": "jar", "type": "BIGINT", "description": "Which.", "tests": ["unique"]}
            ],
        }
    )
    promised = dataclasses.replace(jars, contract=contract)
    catalogue = Catalogue([promised], lambda platform: [])
    outcome = materialise(promised, None, bakery, catalogue)
    assert outcome.status == "rejected"
    (report,) = outcome.checks
    assert report.outcome.metadata["tests"] == 2 and report.outcome.metadata["failed"] == 1
    assert "unique on jar: 2 of 2 rows" in report.outcome.description
    page = bakery.reports / "data_docs" / "jars.html"
    assert page.is_file() and report.outcome.metadata["data_docs"] == page.as_uri()
    address = report.outcome.metadata["data_docs_page"]
    assert address == "http://127.0.0.1:8000/data_docs/jars.html"  # as `zipp ui` serves the reports


@artifact(**COMMON)
def jars(out: Draft) -> Summary:
    """Two jars with one number."""
    pq.write_table(pa.table({"jar": [1, 1]}), out.path("part-0.parquet"))
    return Summary(rows=2)


def test_an_error_in_the_body_leaves_the_previous_version_and_ends_the_mlflow_run(make, bakery):
    make("flour")
    good = make("bread").version
    bakery.settings.sections["oven"] = OvenSettings(degrees=1)

    def broken(inputs: Inputs, out: Draft, oven: OvenSettings) -> Summary:
        """Fails."""
        raise RuntimeError("no gas")

    failing = dataclasses.replace(CATALOGUE["bread"], function=broken)
    object.__setattr__(failing, "code_version", "broken")
    object.__setattr__(failing, "parameters", CATALOGUE["bread"].parameters)
    with pytest.raises(RuntimeError, match="no gas"):
        materialise(failing, None, bakery, CATALOGUE)
    assert bakery.lake.current("bread") == good
    assert list(bakery.lake.root.glob(".drafts/*")) == []
    client = bakery.registry.client
    run = client.search_runs([bakery.registry.experiment_id], max_results=1)[0]
    assert (run.info.run_name, run.info.status) == ("bread", "FAILED")


def test_partial_work_of_a_failed_body_is_found_again_and_gone_after_success(make, bakery):
    attempts = []

    def slow(out: Draft) -> Summary:
        """Keeps its dough."""
        dough = out.scratch / "dough"
        attempts.append(dough.exists())
        dough.write_text("risen")
        if len(attempts) == 1:
            raise RuntimeError("interrupted")
        return Summary()

    resumed = dataclasses.replace(CATALOGUE["shop_window"], function=slow)
    object.__setattr__(resumed, "code_version", "slow")
    object.__setattr__(resumed, "parameters", {"out": Draft})
    with pytest.raises(RuntimeError):
        materialise(resumed, None, bakery, CATALOGUE)
    materialise(resumed, None, bakery, CATALOGUE)
    materialise(resumed, None, bakery, CATALOGUE, force=True)
    assert attempts == [False, True, False]


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
