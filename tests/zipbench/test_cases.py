from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pyarrow as pa
import pytest

from tests.zipbench.worlds import cases_table
from zipp_dagster.zipbench.cases import (
    LEAKS,
    NEAR_DUPLICATE,
    QUERY_IS_TARGET,
    SCHEMA,
    TARGET_IN_HISTORY,
    Case,
    CasesError,
    PastImage,
    case_set,
    find_case_leaks,
    pipeline_cases,
)

CLEAN = Case(
    case_id="a",
    benchmark="test",
    user_id="u",
    base_prompt="a fox",
    reference_prompt="a fox in the mist, watercolor",
    reference_image="picture-1",
    history=(PastImage("an owl at dawn, oil", "picture-2"),),
)


def with_past(*past: PastImage) -> Case:
    return replace(CLEAN, history=(*CLEAN.history, *past))


@pytest.mark.parametrize(
    ("case", "leaks"),
    [
        (CLEAN, ()),
        (with_past(PastImage("A fox in the mist; watercolor!")), (TARGET_IN_HISTORY,)),
        (with_past(PastImage("something else", "picture-1")), (TARGET_IN_HISTORY,)),
        (with_past(PastImage("watercolor, a fox in the mist")), (NEAR_DUPLICATE,)),
        (with_past(PastImage("a fox in a mist, oil")), ()),
        (replace(CLEAN, base_prompt="A fox, in the mist watercolor"), (QUERY_IS_TARGET,)),
    ],
)
def test_a_planted_leak_is_flagged_by_its_kind_and_a_clean_case_is_not(case, leaks):
    assert find_case_leaks(case) == leaks


def test_a_preferred_picture_in_the_history_is_a_leak_and_a_rejected_one_is_not():
    pair = Case("p", "test", "u", "a fox", preferred_image="x", rejected_image="y")
    assert find_case_leaks(replace(pair, history=(PastImage("", "y"),))) == ()
    assert find_case_leaks(replace(pair, history=(PastImage("", "x"),))) == (TARGET_IN_HISTORY,)


def test_clean_and_leaked_cases_are_told_apart_and_counted():
    leaked = replace(CLEAN, case_id="b", base_prompt=CLEAN.reference_prompt)
    cases = case_set([CLEAN, leaked])
    assert cases.split(clean=True) == (CLEAN,) and cases.split(clean=False) == (leaked,)
    counts = cases.counts()
    assert (counts["cases"], counts["users"], counts["clean"], counts["leaked"]) == (2, 1, 1, 1)
    assert [counts[leak] for leak in LEAKS] == [0, 0, 1]


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (replace(CLEAN, base_prompt=" "), "an empty base prompt"),
        (replace(CLEAN, reference_prompt=None, reference_image=None), "nothing to be judged by"),
        (replace(CLEAN, preferred_image="x"), "half a preference pair"),
    ],
)
def test_a_case_that_cannot_be_judged_is_an_error_with_its_id(case, message):
    with pytest.raises(CasesError, match=f"test: case a has {message}"):
        case_set([case])
    with pytest.raises(CasesError, match="two cases have the id 'a'"):
        case_set([CLEAN, CLEAN])


def test_the_table_has_the_canonical_columns_and_keeps_everything():
    table = case_set([replace(CLEAN, groups={"gender": "female"})]).table()
    assert table.schema == SCHEMA
    row = table.to_pylist()[0]
    assert row["history"] == [{"prompt": "an owl at dawn, oil", "image": "picture-2"}]
    assert row["groups"] == [("gender", "female")] and row["leaks"] == []


def test_our_own_cases_carry_the_visible_posts_of_their_own_person_only():
    prompts = cases_table([("c1", 7, "sha1"), ("c2", 8, None)]).append_column(
        "created_at", pa.array([datetime(2020, 1, 1)] * 2)
    )
    history = pa.table(
        {
            "user_id": pa.array([7, 9], pa.uint64()),
            "title": ["a fox, watercolor", "a ship"],
            "sha256": ["s", "t"],
        }
    )
    own, other = pipeline_cases(prompts, history, {7: {"gender": "male"}}).cases
    assert own.history == (PastImage("a fox, watercolor", "s"),) and own.groups == {
        "gender": "male"
    }
    assert other.history == () and other.reference_image is None
    assert find_case_leaks(own) == (TARGET_IN_HISTORY,)
