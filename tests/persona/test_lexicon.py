"""Word lists over one person's texts: the same answers as text by text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zipp_dagster.persona.aesthetics import tastes_in, telling_texts
from zipp_dagster.persona.lexicon import Lexicon, Passages, WordList

PHRASES = Lexicon([("oil paint", 1), ("paint", 2), ("paint it black", 3)], plurals=True)
WORDS = ["oil", "paint", "paints", "it", "black", "Paint,", "oil.", "-"]
SAID = (
    "I love hate not grain film watercolor prints dark moody soft colors blue and red tones photo of my "
    "dog is are looks style vintage noir but the neon glow , . ? please"
).split()
soup = st.lists(st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join), max_size=5)


@given(soup)
def test_a_phrase_is_found_within_a_text_and_never_across_two(texts: list[str]) -> None:
    passages = Passages(texts)
    found = PHRASES.find_in(passages)
    for number, text in enumerate(texts):
        tokens = passages[number]
        assert tokens == Passages([text])[0]
        words = [passages.tokens[hit.start : hit.end] for hit in found.get(number, [])]
        alone = PHRASES.find(tokens)
        assert words == [tokens[hit.start : hit.end] for hit in alone]
        assert [hit.value for hit in found.get(number, [])] == [hit.value for hit in alone]


@given(soup)
def test_a_list_that_is_made_later_finds_the_same(texts: list[str]) -> None:
    passages = Passages(texts)
    assert passages.words(WordList(["oil", "it"])) == {
        number: {"oil", "it"}.intersection(passages[number])
        for number in range(len(texts))
        if not {"oil", "it"}.isdisjoint(passages[number])
    }
    assert Lexicon([("oil paint", 1)]).find_in(passages).keys() == {
        number
        for number in range(len(texts))
        if any(hit.value == 1 for hit in Lexicon([("oil paint", 1)]).find(passages[number]))
    }


@given(st.lists(st.lists(st.sampled_from(SAID), max_size=14).map(" ".join), max_size=4))
def test_texts_that_tell_nothing_hold_no_taste(texts: list[str]) -> None:
    telling = telling_texts(Passages(texts))
    for number, text in enumerate(texts):
        assert number in telling or tastes_in(text, "WatercolorArt") == []
