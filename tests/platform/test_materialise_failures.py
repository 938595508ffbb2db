"""Skips, failed checks, errors in a body: what stays current, and what is kept."""

from __future__ import annotations

import dataclasses

import pytest

from tests.platform.bakery import CATALOGUE, OvenSettings, brown, jars
from zipp_dagster.platform.artifacts import Inputs, Summary
from zipp_dagster.platform.catalogue import Catalogue
from zipp_dagster.platform.contracts import Contract
from zipp_dagster.platform.lake import Draft
from zipp_dagster.platform.materialise import materialise


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
