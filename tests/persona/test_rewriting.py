from __future__ import annotations

import json
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from zipp_dagster.persona.config import PersonaSettings
from zipp_dagster.persona.language_models import Usage
from zipp_dagster.persona.lexical import LexicalModel
from zipp_dagster.persona.prompts import CASES_SCHEMA
from zipp_dagster.persona.rewriting import METHODS, fit, rewrite_cases, rewrite_prompt
from zipp_dagster.persona.schema import Persona, Preference

SETTINGS = PersonaSettings()
DAY = datetime(2020, 1, 1)


def taste(context: str, facet: str, phrase: str, polarity: str = "like") -> Preference:
    return Preference(
        context=context, facet=facet, phrase=phrase, polarity=polarity, evidence=("c",)
    )


ANA = Persona(
    summary="I like quiet pictures.",
    preferences=(
        taste("animals", "medium", "watercolor painting"),
        taste("animals", "palette", "soft pastel colors"),
        taste("places", "medium", "ink drawing"),
        taste("general", "light", "misty morning"),
        taste("general", "medium", "oil painting"),
        taste("vehicles", "light", "misty morning", "dislike"),
    ),
)
BEN = Persona(
    summary="I like loud pictures.", preferences=(taste("general", "palette", "neon colors"),)
)


class Parrot:
    name, usage = "parrot", Usage()

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list = []

    def generate(self, conversations, schema=None):
        self.asked += list(conversations)
        return [
            self.answers.pop(0) if len(self.answers) > 1 else self.answers[0] for _ in conversations
        ]


def lexical(prompt: str, persona: Persona | None, shots: tuple[str, ...] = ()) -> str:
    return rewrite_prompt(prompt, persona, LexicalModel(), SETTINGS, shots)[0]


def test_the_taste_for_the_subject_wins_and_the_general_one_fills_in() -> None:
    assert lexical("a fox", ANA) == "a fox, watercolor painting, soft pastel colors, misty morning"
    assert lexical("a castle", ANA) == "a castle, ink drawing, misty morning"
    assert lexical("a bowl of ramen", ANA) == "a bowl of ramen, oil painting, misty morning"


def test_what_is_disliked_for_the_subject_is_not_added() -> None:
    assert lexical("an old boat", ANA) == "an old boat, oil painting"


def test_what_the_prompt_itself_states_stays() -> None:
    assert lexical("a fox, pixel art", ANA) == "a fox, pixel art, soft pastel colors, misty morning"


def test_without_a_persona_generic_words_are_added() -> None:
    prompt, flags = rewrite_prompt("a fox", None, LexicalModel(), SETTINGS)
    assert prompt.startswith("a fox, highly detailed") and flags == ()
    assert prompt.count(",") >= 3


def test_a_persona_without_tastes_gets_the_generic_words_and_a_flag() -> None:
    blank = Persona(summary="I am a nurse.")
    prompt, flags = rewrite_prompt("a fox", blank, LexicalModel(), SETTINGS)
    assert prompt == lexical("a fox", None) and flags == ("no_known_taste",)


def test_past_prompts_of_the_same_kind_of_subject_tip_the_scales() -> None:
    shots = (
        "an owl, pixel art, green tones",
        "a wolf, pixel art, starry night",
        "a car, oil painting",
    )
    assert lexical("a fox", ANA, shots).startswith("a fox, pixel art")
    assert lexical("a fox", ANA, ("a car, pixel art",)).startswith("a fox, watercolor painting")


def cases(*rows: dict) -> pa.Table:
    base = {"user_id": 1, "mismatched_user_id": 2, "reference_sha256": None, "created_at": DAY}
    return pa.Table.from_pylist([base | row for row in rows], schema=CASES_SCHEMA)


def history(*titles: str, user: int = 1) -> pa.Table:
    return pa.table(
        {
            "user_id": pa.array([user] * len(titles), pa.uint64()),
            "post_id": [f"p{i}" for i in range(len(titles))],
            "title": pa.array(titles, pa.string()),
            "created_at": [DAY + timedelta(days=i) for i in range(len(titles))]
            or pa.array([], pa.timestamp("us")),
        }
    )


FOX = {
    "case_id": "x",
    "base_prompt": "a fox",
    "reference_prompt": "a fox, ink drawing, starry night",
}
PEOPLE = {1: ("ana", ANA), 2: ("ben", BEN)}


def letters(texts) -> np.ndarray:
    """An encoder of the tests: counts of letters, unit norm."""
    rows = np.array([[text.count(c) for c in "abcdefghijklmnopqrstuvwxyz"] for text in texts], "f4")
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1)


def rewritten(
    *methods: str, case: dict | None = None, embed=letters, titles=("an owl, pixel art",)
):
    table, report = rewrite_cases(
        cases(case or FOX),
        PEOPLE,
        history(*titles),
        LexicalModel(),
        SETTINGS,
        methods,
        embed=embed,
    )
    return {row["method"]: row for row in table.to_pylist()}, report


def test_every_method_makes_one_row_a_case() -> None:
    rows, report = rewritten(*METHODS)
    assert tuple(rows) == METHODS and report.rows == len(METHODS) and report.skipped == {}
    assert rows["mismatched"]["prompt"] == "a fox, neon colors"
    owners = {method: row["persona_id"] for method, row in rows.items()}
    assert {m for m, who in owners.items() if who is None} == {
        "no_persona",
        "tailored_visions",
        "tailored_visions_bm25",
    }
    assert owners["mismatched"] == "ben" and owners["shuffled"] == "ana"


def test_a_method_shows_as_many_past_prompts_as_its_name_says() -> None:
    titles = ("an owl", "a wolf den", "two castles", "old boats", "ramen", "a nurse", "the moon")
    rows, _ = rewritten(*METHODS, titles=titles)
    shots = {method: row["shots"] for method, row in rows.items() if row["shots"]}
    assert shots == {
        "zipp_1shot": 1,
        "zipp_3shot": 3,
        "zipp_5shot": 5,
        "tailored_visions": 3,
        "tailored_visions_bm25": 3,
    }


def test_tailored_visions_reads_past_prompts_and_no_persona() -> None:
    rows, _ = rewritten("tailored_visions", "tailored_visions_bm25")
    assert {row["prompt"] for row in rows.values()} == {"a fox, pixel art"}
    nobody, report = rewritten("tailored_visions", titles=())
    assert nobody["tailored_visions"]["prompt"] == lexical("a fox", None)
    assert report.flags == {"no_history": 1}
    with pytest.raises(ValueError, match="was given no encoder"):
        rewritten("tailored_visions", embed=None)


def test_a_static_taste_is_the_same_for_every_subject_and_asks_no_model() -> None:
    for base in ("a fox", "a castle", "an old boat"):
        rows, _ = rewritten("static_taste", case=FOX | {"base_prompt": base})
        # The three media tie: the last in the alphabet. A dislike cancels the light that is liked.
        assert rows["static_taste"]["prompt"] == f"{base}, watercolor painting, soft pastel colors"
        assert rows["static_taste"]["language_model"] == "none"


def test_a_static_taste_of_somebody_without_any_is_nobodys_prompt() -> None:
    table, report = rewrite_cases(
        cases(FOX),
        {1: ("blank", Persona(summary="I am a nurse."))},
        history(),
        LexicalModel(),
        SETTINGS,
        ["static_taste"],
    )
    assert table["prompt"].to_pylist() == [lexical("a fox", None)]
    assert report.flags == {"no_known_taste": 1}


def test_the_shuffled_persona_draws_the_subject_in_another_contexts_taste() -> None:
    rows, report = rewritten("zipp_0shot", "shuffled")
    assert rows["zipp_0shot"]["prompt"].startswith("a fox, watercolor painting")
    assert rows["shuffled"]["prompt"].startswith(("a fox, ink drawing", "a fox, oil painting"))
    assert report.flags == {}
    _, report = rewrite_cases(
        cases(FOX | {"user_id": 2}), PEOPLE, history(), LexicalModel(), SETTINGS, ["shuffled"]
    )
    assert report.flags == {"not_shuffled": 1}


def test_a_target_in_the_history_is_an_error_and_a_near_copy_is_no_shot() -> None:
    near = "A fox: ink drawing, starry nights"
    table, report = rewrite_cases(
        cases(FOX),
        PEOPLE,
        history(near, "an owl, pixel art"),
        LexicalModel(),
        SETTINGS,
        ["zipp_3shot"],
    )
    assert table.to_pylist()[0]["shots"] == 1 and report.flags == {"near_target_left_out": 1}
    with pytest.raises(ValueError, match="its target is among the past prompts"):
        rewrite_cases(
            cases(FOX | {"case_id": "p0"}), PEOPLE, history("b"), LexicalModel(), SETTINGS
        )


def test_a_case_without_the_persona_that_it_needs_is_skipped_and_counted() -> None:
    table, report = rewrite_cases(
        cases(FOX | {"mismatched_user_id": None}),
        {},
        history(),
        LexicalModel(),
        SETTINGS,
        [method for method in METHODS if method != "tailored_visions"],
    )
    assert [row["method"] for row in table.to_pylist()] == ["no_persona", "tailored_visions_bm25"]
    assert report.skipped["zipp_0shot: no persona"] == 1
    assert report.skipped["mismatched: no other persona"] == 1


def test_a_lost_subject_is_asked_for_once_more_and_then_the_base_prompt_stands_in() -> None:
    good = Parrot(json.dumps({"prompt": "A wolf"}), 'Prompt: "Foxes, ink drawing"')
    assert rewrite_prompt("a fox", ANA, good, SETTINGS) == ("foxes, ink drawing", ("retried",))
    assert "fox" in good.asked[1][-1].content
    bad = Parrot("a wolf, ink drawing")
    assert rewrite_prompt("a fox", ANA, bad, SETTINGS) == ("a fox", ("retried", "subject_lost"))


def test_a_prompt_far_from_the_subject_is_lost_though_its_words_are_there() -> None:
    far = Parrot(json.dumps({"prompt": "a fox, zzz zzz zzz zzz zzz zzz zzz zzz"}))
    settings = PersonaSettings(subject_similarity=0.5)
    asked = rewrite_prompt("a fox", ANA, far, settings, embed=letters)
    assert asked == ("a fox", ("retried", "subject_lost", "unlike"))
    assert "Add nothing that the prompt does not show" in far.asked[1][-1].content
    assert rewrite_prompt("a fox", ANA, far, settings)[1] == ()
    unchecked = PersonaSettings(subject_similarity=0)
    assert rewrite_prompt("a fox", ANA, far, unchecked, embed=letters)[1] == ()


def test_a_synonym_keeps_the_subject() -> None:
    model = Parrot(json.dumps({"prompt": "a kitten by the seaside, ink drawing"}))
    prompt, flags = rewrite_prompt("a cat on a beach", ANA, model, SETTINGS)
    assert prompt == "a kitten by the seaside, ink drawing" and flags == ()


def test_a_long_rewrite_loses_its_last_segments_never_its_subject() -> None:
    assert (
        fit("a fox, one two, three four", "a fox", 5, lambda t: len(t.split())) == "a fox, one two"
    )
    assert fit("one two three, a fox", "a fox", 3, lambda t: len(t.split())) == "a fox"
    long = Parrot(json.dumps({"prompt": "a fox, " + ", ".join(["very fine"] * 90)}))
    prompt, flags = rewrite_prompt("a fox", ANA, long, SETTINGS)
    assert "shortened" in flags and len(prompt.split()) < 75


def test_the_prompt_of_a_model_says_who_it_is_and_shows_past_prompts() -> None:
    model = Parrot(json.dumps({"prompt": "a fox"}))
    rewrite_prompt("a fox", ANA, model, SETTINGS, shots=("an owl, pixel art",))
    system, user = model.asked[0]
    assert (
        "You are the person" in system.content
        and "animals: like watercolor painting" in system.content
    )
    assert '\n"an owl, pixel art"\n' in user.content and user.content.endswith("Prompt: a fox")
    rewrite_prompt("a fox", None, model, SETTINGS)
    assert "person" not in model.asked[1][0].content
    rewrite_prompt("a fox", None, model, SETTINGS, shots=("an owl, pixel art",))
    system, user = model.asked[2]
    assert "earlier prompts" in system.content and '\n"an owl, pixel art"\n' in user.content


@pytest.mark.parametrize(
    ("answer", "prompt"),
    [
        ('{"prompt": "a fox with a "hello" sign"}', 'a fox with a "hello" sign'),
        ('```json\n{"prompt": "a "red" fox, ink"}\n```', 'a "red" fox, ink'),
        ('{"prompt": "a "red" fox", "style": "ink"}', 'a "red" fox'),
        ('Here it is: {"prompt": "a \\"red\\" "old" fox"}', 'a "red" "old" fox'),
        ('{"prompt": "a fox,\nink"}', "a fox, ink"),
        ("a fox, ink drawing\nEnjoy!", "a fox, ink drawing"),
    ],
)
def test_a_prompt_is_found_in_json_whose_quotes_are_bare(answer: str, prompt: str) -> None:
    assert rewrite_prompt("a fox", ANA, Parrot(answer), SETTINGS) == (prompt, ())


@pytest.mark.parametrize(
    "answer",
    [
        '{"prompt": "a fox, soft light',
        'Sure: {"prompt": "a fox, soft light',
        '```json\n{"prompt": "a fox',
        '["a fox"]',
        '{"prompt": {"text": "a fox"}}',
        '{"prompt": "a fox with \\x"}',
        "",
    ],
)
def test_json_without_a_whole_prompt_is_asked_for_again_and_never_drawn(answer: str) -> None:
    cut = Parrot(answer, json.dumps({"prompt": "a fox, ink"}))
    assert rewrite_prompt("a fox", ANA, cut, SETTINGS) == ("a fox, ink", ("retried",))
    assert all(message.content for message in cut.asked[1])
    asked = rewrite_prompt("a fox", ANA, Parrot(answer), SETTINGS)
    assert asked == ("a fox", ("retried", "subject_lost"))
