from __future__ import annotations

import numpy as np

from zipp_dagster.sampleworld.captions import caption, plain_caption
from zipp_dagster.sampleworld.vocabulary import FACTOR_VALUES, PARAPHRASES, Factors, all_factors

CAT = Factors("cat", "autumn", "watercolor", "mist")


def named(text, values):
    return {value for value, phrases in values.items() if any(p in text for p in phrases)}


def test_a_caption_names_all_factors_when_nothing_is_dropped():
    rng = np.random.default_rng(0)
    for factors in all_factors()[::37]:
        text = caption(factors, rng)
        assert text == text.lower()
        for name, values in FACTOR_VALUES.items():
            assert getattr(factors, name) in named(text, values), text


def test_dropping_leaves_the_subject():
    texts = [caption(CAT, np.random.default_rng(i), drop=1.0) for i in range(20)]
    assert set(texts) <= set(FACTOR_VALUES["subject"]["cat"])


def test_captions_vary_and_repeat_with_their_seed():
    texts = {caption(CAT, np.random.default_rng(i)) for i in range(60)}
    assert len(texts) > 40
    assert caption(CAT, np.random.default_rng(3)) == caption(CAT, np.random.default_rng(3))


def test_paraphrased_captions_use_other_words():
    text = caption(CAT, np.random.default_rng(1), paraphrase=True)
    assert any(p in text for p in PARAPHRASES["subject"]["cat"])
    assert not any(p in text for p in FACTOR_VALUES["medium"]["watercolor"])


def test_the_plain_caption_is_canonical():
    assert plain_caption(CAT) == "a cat, warm autumn colors, watercolor, serene mist"
