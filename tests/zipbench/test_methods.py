from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute
import pytest

from tests.zipbench.worlds import cases_table
from zipp_dagster.persona.config import LanguageModelSettings, PersonaSettings
from zipp_dagster.persona.language_models import load_language_model
from zipp_dagster.persona.schema import Persona
from zipp_dagster.zipbench import registry
from zipp_dagster.zipbench.methods import run
from zipp_dagster.zipbench.methods.base import Method, PromptContext, Rewriting
from zipp_dagster.zipbench.methods.oracle import ReferencePrompts
from zipp_dagster.zipbench.methods.run import chosen_methods, write_prompts


def context() -> PromptContext:
    prompts = cases_table([("c2", 1, None), ("c1", 2, None)])
    prompts = prompts.append_column("mismatched_user_id", pa.array([2, 1], pa.uint64()))
    personas = {
        user: (
            f"p{user}",
            Persona(
                summary="I paint.",
                preferences=[{"context": "animals", "facet": "medium", "phrase": phrase}],
            ),
        )
        for user, phrase in ((1, "watercolor"), (2, "oil painting"))
    }
    history = pa.table(
        {
            "user_id": pa.array([1], pa.uint64()),
            "post_id": ["old"],
            "title": ["a cat, ink drawing"],
            "created_at": pa.array([datetime(2020, 1, 1)]),
        }
    )
    model = load_language_model(LanguageModelSettings())
    return PromptContext(prompts, personas, history, model, PersonaSettings())


def test_every_method_is_registered_under_its_own_name_and_rewrites_or_reads_the_reference():
    assert all(name == method.name for name, method in registry.METHODS.items())
    readers = {name for name, method in registry.METHODS.items() if method.opens_reference}
    assert readers == {"oracle"}
    assert {"no_persona", "zipp_0shot", "zipp_3shot", "mismatched", "oracle"} <= set(
        chosen_methods()[0]
    )


def test_the_methods_write_the_same_cases_and_say_what_they_cost():
    wanted = ("no_persona", "zipp_0shot", "mismatched", "oracle")
    table, report = write_prompts(context(), wanted)
    rows = table.select(["case_id", "method"]).to_pylist()
    order = ("no_persona", "mismatched", "zipp_0shot", "oracle")
    assert [(r["case_id"], r["method"]) for r in rows] == [
        (case, method) for case in ("c2", "c1") for method in order
    ]
    prompts = {(r["case_id"], r["method"]): r["prompt"] for r in table.to_pylist()}
    assert prompts["c2", "zipp_0shot"] == prompts["c1", "mismatched"] == "a fox, watercolor"
    assert prompts["c2", "oracle"] == "a fox, watercolor"
    assert report.by_method == dict.fromkeys(order, 2)
    assert {cost.method for cost in report.costs} == set(order)
    assert report.not_run["zipp_3shot"] == "left out by the setting methods.run"


def test_a_method_that_cannot_run_is_left_out_with_its_reason_unless_it_was_asked_for(monkeypatch):
    later = Method("later", "later", "ours", "", Rewriting("of_another_version"))
    monkeypatch.setitem(registry.METHODS, "later", later)
    names, left_out = chosen_methods()
    assert "later" not in names and "offers no of_another_version" in left_out["later"]
    with pytest.raises(ValueError, match=r"the method later \(setting methods.run\) cannot run"):
        chosen_methods(("no_persona", "later"))


def test_wrong_names_and_a_missing_baseline_are_errors():
    with pytest.raises(ValueError, match="no method is called 'zip'"):
        chosen_methods(("no_persona", "zip"))
    with pytest.raises(ValueError, match="leaves out no_persona"):
        chosen_methods(("oracle",))


def test_a_step_that_writes_a_case_twice_is_an_error(monkeypatch):
    class Twice(ReferencePrompts):
        def write(self, method, context):
            return pa.concat_tables([super().write(method, context)] * 2)

    monkeypatch.setitem(
        registry.METHODS, "twice", Method("twice", "twice", "ours", "", prompts=Twice())
    )
    with pytest.raises(ValueError, match="the method twice gave a case two prompts"):
        write_prompts(context(), ("no_persona", "twice"))
    assert run.METHODS is registry.METHODS


def pictured(per_user: dict[int, int]) -> pa.Table:
    rows = [(user, f"p{user}-{n}") for user, count in per_user.items() for n in range(count)]
    return pa.table(
        {
            "user_id": pa.array([user for user, _ in rows], pa.uint64()),
            "post_id": [post for _, post in rows],
            "title": ["a cat, ink drawing"] * len(rows),
            "created_at": pa.array([datetime(2020, 1, 1)] * len(rows)),
            "sha256": ["0" * 64] * len(rows),
        }
    )


def test_methods_that_learn_a_person_write_prompts_for_the_same_few_people_with_pictures():
    some = replace(context(), history=pictured({1: 2, 2: 3}), personal_users=5)
    table, report = write_prompts(some, ("no_persona", "fabric", "viper", "drum", "lora"))
    of = {name: [] for name in report.by_method}
    for row in table.to_pylist():
        of[row["method"]].append((row["case_id"], row["prompt"]))
    assert of["fabric"] == of["viper"] == of["drum"] == of["lora"]
    # Two pictures are too few; the prompt is the generic one, so that only the drawing differs.
    assert of["fabric"] == [pair for pair in of["no_persona"] if pair[0] == "c1"]
    nobody, report = write_prompts(context(), ("no_persona", "lora"))
    assert report.by_method["lora"] == 0 and "methods.personal_users is 0" in report.not_run["lora"]
    assert set(nobody["method"].to_pylist()) == {"no_persona"}


def test_the_method_of_the_guide_runs_as_it_stands(monkeypatch):
    guide = (Path(__file__).parents[2] / "docs" / "add-a-method.md").read_text()
    assert len(guide.splitlines()) <= 30
    names: dict[str, object] = {}
    exec(guide.split("```python\n")[1].split("```")[0], names)
    method = names["METHOD"]
    monkeypatch.setitem(registry.METHODS, method.name, method)
    table, report = write_prompts(context(), ("no_persona", "mine"))
    mine = table.filter(pa.compute.equal(table["method"], "mine"))
    assert mine["prompt"].to_pylist() == ["a fox, in fog"] * 2 and report.by_method["mine"] == 2
