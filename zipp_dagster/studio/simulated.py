"""Simulated raters: programs that vote as the sample world's people would, with documented noise.

They take the way of people: a study in a store, a participant, pairs, votes, attention checks. The
true tastes come from the caller (evaluation code alone may read them). What a rater sees in a picture
is what the independent factor classifier sees: the utility is the mean probability of the palette,
medium and mood that the rater truly likes.
"""

from __future__ import annotations

import math
import random
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from zipp_dagster.imaging.stored_images import several
from zipp_dagster.studio.config import RaterSettings
from zipp_dagster.studio.pairs import BROKEN, PlannedPair
from zipp_dagster.studio.pictures import broken, without_metadata
from zipp_dagster.studio.quality import with_flags
from zipp_dagster.studio.records import Participant, Picture
from zipp_dagster.studio.store import Store
from zipp_dagster.studio.study import StudyConfig
from zipp_dagster.zipbench.config import ZipbenchSettings
from zipp_dagster.zipbench.preferences import VOTES_SCHEMA, win_rates
from zipp_dagster.zipbench.statistics import Bootstrap

STUDY = "simulated-benchmark"
COMPARISONS = (("zipp_0shot", "no_persona"), ("zipp_0shot", "mismatched"))
FACTORS = ("palette", "medium", "mood")
DRAWN = ("method", "prompt", "seed", "case_id", "request_key")
"""Columns of generated_images that a picture's record keeps."""
_SEEN = 256
"""Pictures that the classifier is given at once; a multiple of its own batches."""
_START = datetime(2024, 1, 1, tzinfo=UTC)

Planted = dict[tuple[str, str], float]


@dataclass(frozen=True)
class RatedPair:
    """Two methods' pictures of one case, and what each is worth to the case's owner.

    `pictures` reads both when they are shown: those of all cases together may be too many to hold.
    """

    prompt: str
    seed: int
    methods: tuple[str, str]
    pictures: Callable[[], tuple[Picture, Picture]]
    utilities: tuple[float, float]


@dataclass(frozen=True)
class Choice:
    """The chances of a vote, given the utilities of both sides."""

    first: float
    second: float
    tie: float


def choice_of(first: float, second: float, settings: RaterSettings) -> Choice:
    """Logistic in the difference; ties fade as it grows; lapses spread evenly over three answers."""
    difference = (first - second) / settings.noise
    tie = settings.tie_share * math.exp(-abs(difference))
    win = 1.0 / (1.0 + math.exp(-difference))
    attentive, lapse = 1.0 - settings.lapse, settings.lapse / 3
    return Choice(
        attentive * (1 - tie) * win + lapse,
        attentive * (1 - tie) * (1 - win) + lapse,
        attentive * tie + lapse,
    )


def comparable_pairs(
    cases: Sequence[Mapping[str, Any]],
    images: Sequence[Mapping[str, Any]],
    pictures: Mapping[str, bytes],
    liked: Callable[[str], Mapping[str, str]],
    predict: Callable[[list[bytes]], Mapping[str, np.ndarray]],
) -> dict[str, list[RatedPair]]:
    """The pairs of each benchmark user, by pseudonym.

    `cases` and `images` are rows of benchmark_prompts and generated_images (`DRAWN`), `pictures` the
    latter's pictures by `case_id/method`, of which some are read at a time; `liked` gives a case's true
    palette, medium and mood; `predict` the probabilities [images, values] by factor.
    """
    from zipp_dagster.sampleworld.vocabulary import FACTOR_VALUES

    compared = {method for methods in COMPARISONS for method in methods}
    images = [row for row in images if row["method"] in compared]
    names = [f"{row['case_id']}/{row['method']}" for row in images]
    parts = [
        predict(several(pictures, names[start : start + _SEEN]))
        for start in range(0, max(len(names), 1), _SEEN)
    ]
    probabilities = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    by_case: dict[str, dict[str, int]] = defaultdict(dict)
    for number, row in enumerate(images):
        by_case[row["case_id"]][row["method"]] = number
    people: dict[str, list[RatedPair]] = defaultdict(list)
    for case in cases:
        drawn, taste = by_case[case["case_id"]], liked(case["case_id"])
        wanted = [(f, list(FACTOR_VALUES[f]).index(taste[f])) for f in FACTORS]
        for methods in COMPARISONS:
            if not set(methods) <= drawn.keys():
                continue
            rows = [images[drawn[method]] for method in methods]
            if rows[0]["prompt"] == rows[1]["prompt"]:
                continue
            utilities = [
                float(np.mean([probabilities[f][drawn[method], value] for f, value in wanted]))
                for method in methods
            ]
            people[f"{case['user_id']:016x}"].append(
                RatedPair(
                    case["base_prompt"],
                    rows[0]["seed"],
                    methods,
                    partial(_pictures, rows, pictures),
                    (utilities[0], utilities[1]),
                )
            )
    return dict(people)


def simulate_study(
    people: Mapping[str, Sequence[RatedPair]], settings: RaterSettings
) -> tuple[pa.Table, Planted]:
    """Votes of all raters (VOTES_SCHEMA), and the win rates that their tastes imply.

    The planted rate of a comparison is the share of decided votes that the first method is expected
    to win, over the same pairs. Repeatable: times and ids follow from the seed.
    """
    rng = random.Random(settings.seed)
    clock = _Clock()
    study = StudyConfig(
        name=STUDY,
        title="Simulated raters on the benchmark's images",
        methods=COMPARISONS,
        participants=max(1, len(people)),
        attention_checks=1,
    )
    with tempfile.TemporaryDirectory(prefix="zipp-raters-") as folder:
        store = Store(
            f"sqlite:///{Path(folder) / 'studio.db'}",
            clock=clock,
            new_id=lambda: f"{rng.getrandbits(128):032x}",
            durable=False,
        )
        try:
            store.create(study)
            for pairs in people.values():
                _take_part(store, study, pairs, settings, rng, clock)
            votes = with_flags(store.votes(study.name))
        finally:
            store.close()
    return votes_table(STUDY, votes), _planted(people, settings)


def votes_table(study: str, votes: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Votes of the store as VOTES_SCHEMA, which ZIPBench reads."""
    rows = [
        {
            "study": study,
            **{name: vote[name] for name in ("participant", "pair", "left_method", "right_method")},
            **{name: vote[name] for name in ("choice", "seconds", "prompt", "flags")},
            "simulated": bool(vote["simulated"]),
            "created_at": datetime.fromisoformat(vote["created_at"])
            .astimezone(UTC)
            .replace(tzinfo=None),
        }
        for vote in votes
    ]
    return pa.Table.from_pylist(rows, schema=VOTES_SCHEMA)


def recovered(
    votes: pa.Table, planted: Planted, settings: ZipbenchSettings
) -> list[dict[str, Any]]:
    """Planted and found win rates beside each other, one row a comparison."""
    kept = ("method", "opponent", "win_rate", "low", "high", "wins", "losses", "ties", "flagged")
    return [
        {name: row[name] for name in kept} | {"planted": planted[row["method"], row["opponent"]]}
        for row in win_rates(votes, Bootstrap.of(settings)).to_pylist()
        if row["win_rate"] is not None
    ]


def _take_part(
    store: Store,
    study: StudyConfig,
    pairs: Sequence[RatedPair],
    settings: RaterSettings,
    rng: random.Random,
    clock: _Clock,
) -> None:
    """One rater, from joining to the last vote."""
    order = rng.sample(list(pairs), len(pairs))
    turned = [rng.random() < 0.5 for _ in order]
    place = rng.randint(1, len(order))
    shown: list[tuple[PlannedPair, Picture, Picture, Choice]] = []
    for number, (pair, turn) in enumerate(zip(order, turned, strict=True)):
        left, right = (1, 0) if turn else (0, 1)
        planned = PlannedPair(
            number, "vote", pair.prompt, pair.seed, pair.methods[left], pair.methods[right]
        )
        chances = choice_of(pair.utilities[left], pair.utilities[right], settings)
        both = pair.pictures()
        shown.append((planned, both[left], both[right], chances))
    good = order[0].pictures()[0]
    bad = Picture(broken(good.png, order[0].seed), {"method": BROKEN})
    check = PlannedPair(0, "attention", order[0].prompt, order[0].seed, order[0].methods[0], BROKEN)
    # A broken picture is worth nothing to anybody, so that only a lapse can prefer it.
    shown.insert(place, (check, good, bad, choice_of(1.0, -1.0, settings)))
    planned_pairs = [
        PlannedPair(i, p.kind, p.prompt, p.seed, p.left_method, p.right_method)
        for i, (p, *_) in enumerate(shown)
    ]
    who, _ = store.join(study, {}, "", simulated=True, planned=planned_pairs)
    chances_of: dict[str, Choice] = {}
    for (pair_id, position), (_, left_picture, right_picture, chances) in zip(
        store.pairs_of(who.id), shown, strict=True
    ):
        assert planned_pairs[position].position == position
        store.save_drawing(pair_id, left_picture, right_picture)
        chances_of[pair_id] = chances
    _vote_on_all(store, study, who, chances_of, rng, clock)


def _vote_on_all(
    store: Store,
    study: StudyConfig,
    who: Participant,
    chances_of: Mapping[str, Choice],
    rng: random.Random,
    clock: _Clock,
) -> None:
    while (seen := store.next_pair(who.id)).state == "pair":
        assert seen.pair is not None
        chances = chances_of[seen.pair]
        clock.pass_by(max(1.0, rng.lognormvariate(math.log(4.0), 0.5)))
        weights = (chances.first, chances.second, chances.tie)
        choice = rng.choices(("left", "right", "tie"), weights)[0]
        store.vote(who.id, seen.pair, choice, study.too_fast_s)


def _planted(people: Mapping[str, Sequence[RatedPair]], settings: RaterSettings) -> Planted:
    wins: dict[tuple[str, str], float] = defaultdict(float)
    decided: dict[tuple[str, str], float] = defaultdict(float)
    for pairs in people.values():
        for pair in pairs:
            chances = choice_of(*pair.utilities, settings)
            wins[pair.methods] += chances.first
            decided[pair.methods] += chances.first + chances.second
    return {methods: wins[methods] / decided[methods] for methods in wins}


def _pictures(
    rows: Sequence[Mapping[str, Any]], pictures: Mapping[str, bytes]
) -> tuple[Picture, Picture]:
    first, second = (
        Picture(
            without_metadata(pictures[f"{row['case_id']}/{row['method']}"]),
            {name: row[name] for name in DRAWN},
        )
        for row in rows
    )
    return first, second


class _Clock:
    """The raters' own time."""

    def __init__(self) -> None:
        self.now = _START

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, seconds: float) -> None:
        """Moves on."""
        self.now += timedelta(seconds=seconds)
