from __future__ import annotations

import random
import re

import pyarrow as pa

from zipp_dagster.persona.snippets_sql import _CLEANING, _SPACES
from zipp_dagster.persona.text_scan import Mark, count_tokens, find_marks

PIECES = (
    *"abtuwhp/AT09.@>&#*_`~|^\\[](){}-+ \t\n\f\r'é日😀",
    "u/some_body",
    "http://a.bc",
    "www.x.yz",
    "[here](http://x.y)",
    "a [at] b.cd",
    "AT",
    "&gt; said",
    "555-123-4567",
    "12 Long Lane",
    "  ",
)


def texts(count: int) -> list[str]:
    rng = random.Random(0)
    return ["".join(rng.choices(PIECES, k=rng.randrange(12))) for _ in range(count)]


def test_tokens_are_what_the_pattern_finds() -> None:
    some = ["", "don't stop_it, 2 be", "naïve 日本語 😀!", *texts(3000)]
    pattern = re.compile(r"\w+|[^\w\s]", re.ASCII)
    assert count_tokens(pa.array(some)).to_pylist() == [len(pattern.findall(t)) for t in some]


def test_a_text_that_a_pattern_of_cleaning_matches_has_its_mark() -> None:
    some = texts(5000)
    marks = [Mark(value) for value in find_marks(pa.array(some)).to_pylist()]
    tried = 0
    for mark, pattern, _ in (*_CLEANING, (Mark.SPACES, _SPACES, "")):
        found = re.compile(pattern, re.ASCII)
        for text, held in zip(some, marks, strict=True):
            if found.search(text):
                tried += 1
                assert mark in held, (text, pattern)
    assert tried > 5000
    assert find_marks(pa.array(["Most texts hold nothing, or so it seems."])).to_pylist() == [0]


def test_slices_chunks_and_nulls_are_read_where_they_lie() -> None:
    array = pa.array(["a b", None, "c", "日, d"])
    assert count_tokens(array).to_pylist() == [2, 0, 1, 3]
    assert count_tokens(array.slice(2)).to_pylist() == [1, 3]
    assert count_tokens(pa.chunked_array([array.slice(0, 1), array.slice(3)])).to_pylist() == [2, 3]
    assert find_marks(pa.array([], pa.string())).to_pylist() == []
