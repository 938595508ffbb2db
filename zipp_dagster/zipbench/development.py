"""The development benchmark: candidate against champion on people whom ZIPBench never reports.

What lives here: its cases, and the paired scores of two sets of pictures. What does not: drawing
them (the caller's, with both models), and the decision (`promotion`). The people are the split
`development` of benchmark_holdout, so their pictures are held out of training, evidence and examples
like the benchmark's own, and choosing a model by them spends nothing of the benchmark.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from zipp_dagster.zipbench.config import ZipbenchSettings
from zipp_dagster.zipbench.metrics import (
    ImageEmbedder,
    ImageEmbeddings,
    cosine,
    embed_images,
    embed_references,
)
from zipp_dagster.zipbench.promotion import Comparison, MetricRole
from zipp_dagster.zipbench.statistics import Bootstrap, Interval, paired_difference

if TYPE_CHECKING:
    from zipp_dagster.persona.prompts import CasesReport

BENCHMARK, DEVELOPMENT = "benchmark", "development"
"""The splits of benchmark_holdout; no user is in both."""

METRIC = "clip_i"
SCORES = pa.schema(
    [
        ("case_id", pa.string()),
        ("user_id", pa.uint64()),
        ("candidate", pa.float64()),
        ("champion", pa.float64()),
    ]
)

Pictures = Mapping[str, bytes] | ImageEmbeddings
"""case_id → encoded picture, or embeddings of the evaluation encoder under case ids."""


@dataclass(frozen=True)
class DevelopmentResult:
    """clip_i of both sides on the same cases, and why the candidate may not be used at all.

    `scores` has one row a case (SCHEMA `SCORES`); `gain` is the mean over users of candidate − champion,
    None where no case could be scored; `invalid` holds faults of the candidate in words, for
    `decide_promotion(invalid=…)`.
    """

    scores: pa.Table
    gain: Interval | None
    invalid: tuple[str, ...] = field(default=())

    @property
    def cases(self) -> int:
        """Cases that both sides have a score for."""
        return self.scores.num_rows

    @property
    def users(self) -> int:
        """Their users."""
        return pc.count_distinct(self.scores["user_id"]).as_py()

    def comparison(self, role: MetricRole = "primary") -> Comparison:
        """What `decide_promotion` takes: each user's mean on both sides."""
        return Comparison(
            METRIC,
            "the development benchmark",
            _user_means(self.scores, "candidate"),
            _user_means(self.scores, "champion"),
            role,
        )


def split_of_holdout(holdout_files: Sequence[Path], split: str, target: Path) -> Path:
    """Writes the rows of one split of benchmark_holdout to a Parquet file, and returns it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    rows = pq.read_table(list(holdout_files))
    pq.write_table(rows.filter(pc.equal(rows["split"], split)), target)
    return target


def development_cases(
    holdout_files: Sequence[Path], persona_files: Sequence[Path], seed: int, scratch: Path
) -> tuple[pa.Table, CasesReport]:
    """The development people's cases, in the schema of benchmark_prompts; `scratch` is a folder.

    No rows where everybody who qualifies is a benchmark user.
    """
    from zipp_dagster.persona.prompts import benchmark_cases

    file = split_of_holdout(holdout_files, DEVELOPMENT, scratch / f"{DEVELOPMENT}.parquet")
    return benchmark_cases([file], persona_files, seed)


def development_benchmark(
    cases: pa.Table,
    references: Mapping[str, bytes],
    candidate: Pictures,
    champion: Pictures,
    embedder: ImageEmbedder,
    settings: ZipbenchSettings,
    *,
    benchmark_users: Collection[int] = (),
) -> DevelopmentResult:
    """Scores the pictures that candidate and champion drew of the same cases with the same seeds.

    `cases` is what `development_cases` gives (case_id, user_id, reference_sha256); `references` maps
    sha256 to the posted picture; `embedder` is the evaluation encoder's. A case without a reference
    picture, or without one of the champion, is left out. A candidate that lacks pictures, or whose
    pictures cannot be read or embedded, is invalid, never an error. ValueError for a case of one of
    `benchmark_users`; EmbeddingError where the champion's or the posted pictures cannot be embedded:
    then it is the encoder that is broken.
    """
    reported = sorted(set(cases["user_id"].to_pylist()) & set(benchmark_users))
    if reported:
        raise ValueError(
            f"{len(reported)} users of the development benchmark are benchmark users too (the first: "
            f"{reported[0]}): take cases of the split {DEVELOPMENT!r} of benchmark_holdout"
        )
    posted = embed_references(cases, references, embedder)
    place, theirs = posted.row(), _embedded(champion, embedder)
    known = theirs.row()
    wanted = [
        row
        for row in cases.select(["case_id", "user_id", "reference_sha256"]).to_pylist()
        if row["reference_sha256"] in place and row["case_id"] in known
    ]
    if not wanted:
        return DevelopmentResult(SCORES.empty_table(), None)
    invalid: list[str] = []
    try:
        ours = _embedded(candidate, embedder)
    except ValueError as error:  # an EmbeddingError is one
        ours = ImageEmbeddings((), np.zeros((0, 0), np.float32))
        invalid.append(f"its pictures cannot be judged: {error}")
    drawn = ours.row()
    scored = [row for row in wanted if row["case_id"] in drawn]
    if len(scored) < len(wanted) and not invalid:
        invalid.append(f"it drew no picture for {len(wanted) - len(scored)} of {len(wanted)} cases")
    if not scored:
        return DevelopmentResult(SCORES.empty_table(), None, tuple(invalid))
    reference = posted.vectors[[place[row["reference_sha256"]] for row in scored]]
    ids = [row["case_id"] for row in scored]
    scores = pa.table(
        {
            "case_id": ids,
            "user_id": [row["user_id"] for row in scored],
            "candidate": cosine(ours.vectors[[drawn[case] for case in ids]], reference),
            "champion": cosine(theirs.vectors[[known[case] for case in ids]], reference),
        },
        schema=SCORES,
    )
    ours_by, theirs_by = (_user_means(scores, side) for side in ("candidate", "champion"))
    users = sorted(ours_by)
    gain = paired_difference(
        [ours_by[user] for user in users],
        [theirs_by[user] for user in users],
        users,
        Bootstrap.of(settings),
    )
    return DevelopmentResult(scores, gain, tuple(invalid))


def _embedded(pictures: Pictures, embedder: ImageEmbedder) -> ImageEmbeddings:
    if isinstance(pictures, ImageEmbeddings):
        return pictures
    return embed_images(pictures, embedder)


def _user_means(scores: pa.Table, side: str) -> dict[int, float]:
    means = scores.group_by("user_id").aggregate([(side, "mean")])
    return dict(zip(means["user_id"].to_pylist(), means[f"{side}_mean"].to_pylist(), strict=True))
