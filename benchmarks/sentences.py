"""What people of the benchmarks write: enough different sentences that cleaning, duplicates and the
lexical model meet their usual work, tastes and self-descriptions among them. All are invented.
"""

from __future__ import annotations

import numpy as np

from zipp_dagster.sampleworld.captions import caption
from zipp_dagster.sampleworld.vocabulary import all_factors

OPENINGS = (
    "I think", "Honestly", "My brother says", "In my experience", "No idea why but", "Last week",
    "Yesterday", "For what it's worth", "As a nurse", "I'm 27 and", "Here in Ohio", "We always said",
    "It seems to me that", "Never mind,", "When I was young", "Am I the only one who feels that",
)  # fmt: skip
MIDDLES = (
    "I love watercolor landscapes with soft pastel colors", "the new patch broke my favorite build",
    "this recipe needs far more garlic than it says", "that goal in the second half was offside",
    "foggy mornings in the woods look best in black and white", "you should rotate the tires first",
    "the second season was better written than the first", "nobody reads the manual of a router",
    "my dog sleeps on the couch all day", "neon signs at night are my kind of picture",
    "a long exposure of the harbor would hang on my wall", "the commute takes an hour each way",
    "the documentation is at https://example.org/page if you need it", "the prices went up again",
    "pencil sketches of old people have so much dignity", "I can't stand glossy 3d renders of cars",
)  # fmt: skip
LOOKS = ("pastel", "black and white", "neon", "exposure", "sketches", "renders")
ENDINGS = (
    "and that is fine by me", "which surprised everybody", "as /u/somebody_else pointed out",
    "but your mileage may vary", "and I would do it again", "so take it with a grain of salt",
    "for about twenty dollars", "at least that is what I was told", "and it shows", "to be fair",
)  # fmt: skip
# One sentence in twenty speaks of looks, far more than in real dumps.
OF_LOOKS = 0.05


def sentences() -> tuple[list[str], np.ndarray]:
    """All sentences, and with which probability each is written."""
    texts = [f"{a} {b} {c}" for a in OPENINGS for b in MIDDLES for c in ENDINGS]
    of_looks = np.array([any(word in text for word in LOOKS) for text in texts])
    weight = np.where(of_looks, OF_LOOKS / of_looks.sum(), (1 - OF_LOOKS) / (~of_looks).sum())
    return texts, weight


def drawn_sentences(count: int, seed: int = 0) -> list[str]:
    """So many sentences as people write them; where all are equally likely, looks keep their share."""
    texts, weight = sentences()
    return [str(text) for text in np.random.default_rng(seed).choice(texts, count, p=weight)]


def titles(count: int, seed: int = 0) -> list[str]:
    """So many titles of pictures, of which hardly two say the same."""
    rng = np.random.default_rng([seed, 1])
    factors = all_factors()
    return [caption(factors[int(rng.integers(len(factors)))], rng, drop=0.2) for _ in range(count)]
