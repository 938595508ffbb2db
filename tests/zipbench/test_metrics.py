from __future__ import annotations

import random

import numpy as np
import pytest

from tests.zipbench.worlds import cases_table, embed, generated_table, picture
from zipp_dagster.zipbench.metrics import EmbeddingError, score_cases
from zipp_dagster.zipbench.text_metrics import rouge_l, token_f1


def test_identical_pictures_score_one_and_opposite_ones_minus_one():
    cases = cases_table([("a", 1, "ref"), ("b", 1, "ref")])
    made = generated_table(
        {("a", "no_persona"): picture(3, 4), ("b", "no_persona"): picture(-3, -4)}
    )
    scores = score_cases(cases, made, {"ref": picture(3, 4)}, embed)
    assert scores["clip_i"].to_pylist() == pytest.approx([1.0, -1.0], abs=1e-6)


def test_a_case_without_its_reference_picture_has_a_null_and_never_a_zero():
    cases = cases_table([("a", 1, None), ("b", 1, "gone"), ("c", 2, "ref")])
    made = generated_table({(case, "m"): picture(1, 0) for case in "abc"})
    scores = score_cases(cases, made, {"ref": picture(0, 1)}, embed)
    assert scores["clip_i"].to_pylist() == [None, None, 0.0]
    assert scores["clip_t"].null_count == 3
    assert scores["user_id"].to_pylist() == [1, 1, 2]


def test_clip_t_compares_the_picture_with_the_reference_prompt():
    cases = cases_table([("a", 1, None)])
    made = generated_table({("a", "m"): picture(1, 1)})
    scores = score_cases(cases, made, {}, embed, lambda texts: np.array([[1.0, 0.0]] * len(texts)))
    assert scores["clip_t"].to_pylist() == pytest.approx([0.5**0.5])


@pytest.mark.parametrize("vector", [(float("nan"), 1.0), (0.0, 0.0), (float("inf"), 0.0)])
def test_an_embedding_that_is_not_a_vector_stops_and_names_the_case(vector):
    cases = cases_table([("a", 1, None), ("b", 1, None)])
    made = generated_table({("a", "m"): picture(1, 0), ("b", "m"): picture(*vector)})
    with pytest.raises(EmbeddingError, match="b/m"):
        score_cases(cases, made, {}, embed)


def test_a_broken_text_embedding_names_the_case_too():
    cases = cases_table([("a", 1, None)])
    made = generated_table({("a", "m"): picture(1, 0)})
    with pytest.raises(EmbeddingError, match="case a"):
        score_cases(cases, made, {}, embed, lambda texts: np.full((len(texts), 2), np.nan))


def test_a_picture_without_a_case_and_a_double_picture_are_errors():
    made = generated_table({("z", "m"): picture(1, 0)})
    with pytest.raises(ValueError, match="case z has pictures but no row"):
        score_cases(cases_table([("a", 1, None)]), made, {}, embed)
    import pyarrow as pa

    with pytest.raises(ValueError, match="two pictures bear one name"):
        score_cases(cases_table([("z", 1, None)]), pa.concat_tables([made, made]), {}, embed)


def test_rouge_l_has_the_published_values():
    # Lin 2004, section 3: "police killed the gunman" against the two candidates.
    reference = "police killed the gunman"
    assert rouge_l("police kill the gunman", reference) == pytest.approx(0.75)
    assert rouge_l("the gunman kill police", reference) == pytest.approx(0.5)
    assert rouge_l("", reference) == 0.0
    assert rouge_l("Police, KILLED: the gunman!", reference) == 1.0


def test_the_bit_parallel_subsequence_equals_the_textbook_table():
    draw = random.Random(1)
    for _ in range(200):
        left = [draw.choice("abcd") for _ in range(draw.randint(1, 70))]
        right = [draw.choice("abcd") for _ in range(draw.randint(1, 70))]
        table = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
        for i, a in enumerate(left):
            for j, b in enumerate(right):
                table[i + 1][j + 1] = (
                    table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
                )
        expected = 2 * table[-1][-1] / (len(left) + len(right))
        assert rouge_l(" ".join(left), " ".join(right)) == pytest.approx(expected)


def test_token_f1_counts_distinct_tokens_and_ignores_case_and_order():
    assert token_f1("A Fox, a fox in mist", "mist in a fox") == 1.0
    assert token_f1("a fox in the mist", "a fox") == pytest.approx(4 / 7)
    assert token_f1("", "") == 0.0


def test_rouge_l_agrees_with_rouge_score():
    from rouge_score.rouge_scorer import RougeScorer

    scorer, rng = RougeScorer(["rougeL"], use_stemmer=False), random.Random(4)
    vocabulary = "a fox owl in the mist, Watercolor; soft pastel-colors 2 lights".split()
    for _ in range(200):
        first, second = (" ".join(rng.choices(vocabulary, k=rng.randint(1, 14))) for _ in "ab")
        oracle = scorer.score(second, first)["rougeL"].fmeasure
        assert rouge_l(first, second) == pytest.approx(oracle, abs=1e-12)
