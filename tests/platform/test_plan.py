from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from zipp_dagster.platform.artifacts import Artifact, Inputs, Summary, artifact
from zipp_dagster.platform.catalogue import Catalogue, Platform
from zipp_dagster.platform.lake import Draft
from zipp_dagster.platform.materialise import materialise
from zipp_dagster.platform.plan import SelectionError, Step, plan, select
from zipp_dagster.section import Section

MONTHS = ["2024-01", "2024-02"]


class MillSettings(Section):
    """How fine the flour is."""

    fineness: int = 1


def weather(platform: Platform, partition: str | None) -> str:
    path = platform.home / "weather.txt"
    return path.read_text() if path.exists() else ""


def _of(group: str) -> dict[str, Any]:
    return {"group": group, "kinds": {"python"}, "owner": "team:mill"}


@artifact(**_of("field"), partitioned=True)
def wheat(out: Draft) -> Summary:
    """A month's wheat."""
    return Summary()


@artifact(**_of("mill"), inputs=["wheat"])
def flour(inputs: Inputs, mill: MillSettings) -> Summary:
    """All months' flour."""
    return Summary()


@artifact(**_of("mill"), inputs=["flour"], external_state=weather)
def bread(inputs: Inputs) -> Summary:
    """Bread."""
    return Summary()


@artifact(**_of("field"))
def water() -> Summary:
    """Water."""
    return Summary()


def catalogue_of(*artifacts: Artifact) -> Catalogue:
    return Catalogue(
        list(artifacts), lambda platform: [str(m) for m in platform.lake.partitions("wheat")]
    )


CATALOGUE = catalogue_of(wheat, flour, bread, water)


@pytest.fixture
def mill(platform: Platform) -> Platform:
    """A platform on which everything has been made."""
    platform.settings.sections["mill"] = MillSettings()
    for name, entry in CATALOGUE.items():
        for month in MONTHS if entry.partitioned else [None]:
            materialise(CATALOGUE[name], month, platform, CATALOGUE)
    return platform


def todo(steps: list[Step]) -> dict[str, tuple[str, str]]:
    return {step.name: (step.state, step.reason) for step in steps if step.state != "fresh"}


def test_nothing_is_to_do_where_everything_is_made(mill):
    steps = plan(CATALOGUE, mill, MONTHS)
    assert todo(steps) == {}
    assert [step.name for step in steps if step.asset == "wheat"] == [
        "wheat[2024-01]",
        "wheat[2024-02]",
    ]
    assert {step.reason for step in steps} == {"up to date"}


def test_everything_is_missing_at_first_and_is_planned_in_order(platform):
    platform.settings.sections["mill"] = MillSettings()
    steps = plan(CATALOGUE, platform, MONTHS)
    assert todo(steps) == {step.name: ("missing", "never materialised") for step in steps}
    names = [step.name for step in steps]
    assert names.index("wheat[2024-02]") < names.index("flour") < names.index("bread")


def test_a_changed_setting_is_named_and_what_follows_from_it_waits(mill):
    mill.settings.sections["mill"] = MillSettings(fineness=2)
    assert todo(plan(CATALOGUE, mill, MONTHS)) == {
        "flour": ("stale", "settings changed: mill.fineness"),
        "bread": ("stale", "flour will be made"),
    }


def test_changed_code_is_named(mill):
    edited = dataclasses.replace(CATALOGUE["flour"])
    object.__setattr__(edited, "code_version", "edited")
    steps = plan(catalogue_of(wheat, edited, bread, water), mill, MONTHS)
    assert todo(steps)["flour"] == ("stale", "its code changed")


def test_a_new_month_makes_what_reads_all_months_stale(mill):
    assert todo(plan(CATALOGUE, mill, [*MONTHS, "2024-03"])) == {
        "wheat[2024-03]": ("missing", "never materialised"),
        "flour": ("stale", "wheat[2024-03] will be made"),
        "bread": ("stale", "flour will be made"),
    }


def test_an_input_that_has_come_gone_or_changed_since_is_named(mill):
    materialise(CATALOGUE["wheat"], "2024-03", mill, CATALOGUE)
    chosen = {"flour"}
    new = plan(CATALOGUE, mill, [*MONTHS, "2024-03"], chosen)
    assert todo(new) == {"flour": ("stale", "wheat[2024-03] is new")}
    (mill.lake.root / "wheat" / "2024-03" / "current").unlink()
    (mill.lake.root / "wheat" / "2024-02" / "current").unlink()
    assert todo(plan(CATALOGUE, mill, ["2024-01"], chosen)) == {
        "flour": ("stale", "wheat[2024-02] is gone")
    }
    edited = dataclasses.replace(CATALOGUE["wheat"])
    object.__setattr__(edited, "code_version", "edited")
    for month in MONTHS:
        materialise(edited, month, mill, CATALOGUE)
    assert todo(plan(CATALOGUE, mill, MONTHS, chosen)) == {
        "flour": ("stale", "wheat[2024-01] changed")
    }


def test_what_changed_outside_the_lake_is_said_so(mill):
    (mill.home / "weather.txt").write_text("rain")
    assert todo(plan(CATALOGUE, mill, MONTHS)) == {
        "bread": ("stale", "what it reads outside the lake changed")
    }


def test_an_input_that_is_missing_and_not_selected_is_named(mill):
    (mill.lake.root / "flour" / "_" / "current").unlink()
    state, reason = todo(plan(CATALOGUE, mill, MONTHS, {"bread"}))["bread"]
    assert state == "stale" and "flour has not been materialised yet" in reason


def test_a_damaged_version_is_planned_and_the_damage_is_the_reason(mill):
    manifest = mill.lake.current("water").directory / "manifest.json"
    manifest.write_text("{")
    state, reason = todo(plan(CATALOGUE, mill, MONTHS))["water"]
    assert state == "missing" and str(manifest) in reason


def test_a_step_says_how_long_it_took_before_here_or_in_another_month(mill):
    steps = {step.name: step for step in plan(CATALOGUE, mill, [*MONTHS, "2024-03"])}
    assert steps["wheat[2024-03]"].seconds == mill.lake.current("wheat", "2024-01").manifest.seconds
    assert steps["water"].to_json() == {
        "asset": "water",
        "partition": None,
        "state": "fresh",
        "reason": "up to date",
        "seconds": mill.lake.current("water").manifest.seconds,
        "size": 0,
        "prompt_tokens": 0,
        "completion_tokens": 0,
    }


def test_a_step_says_how_many_tokens_of_a_language_model_it_took_before(mill):
    manifest = mill.lake.current("water").directory / "manifest.json"
    document = json.loads(manifest.read_text())
    costs = [{"prompt_tokens": 100, "completion_tokens": 7}, {"prompt_tokens": 11}]
    document["metadata"] = {"costs": costs, "usage": {"prompt_tokens": 1000, "calls": 2}}
    manifest.write_text(json.dumps(document))
    (step,) = [s for s in plan(CATALOGUE, mill, MONTHS) if s.asset == "water"]
    assert (step.prompt_tokens, step.completion_tokens) == (1111, 7)


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        (None, {"wheat", "flour", "bread", "water"}),
        ("*", {"wheat", "flour", "bread", "water"}),
        ("flour", {"flour"}),
        ("+flour", {"wheat", "flour"}),
        ("flour+", {"flour", "bread"}),
        ("+flour+", {"wheat", "flour", "bread"}),
        ("group:field", {"wheat", "water"}),
        ("group:field+", {"wheat", "water", "flour", "bread"}),
        ("bread, water", {"bread", "water"}),
        ("bread water", {"bread", "water"}),
    ],
)
def test_a_selection_names_assets_groups_and_what_is_up_or_downstream(expression, names):
    assert select(CATALOGUE, expression) == names


@pytest.mark.parametrize("expression", ["flower", "group:meadow", "flour,flower", "+", "group:"])
def test_a_selection_of_nothing_is_an_error_that_lists_what_there_is(expression):
    with pytest.raises(SelectionError, match=r"selects nothing\. Assets: .*flour.* group:field"):
        select(CATALOGUE, expression)
