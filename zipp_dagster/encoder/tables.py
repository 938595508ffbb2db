"""Every encoder on anybody's table: fit on one `user,item,count` CSV, find the new links of another.

What lives here: from two parsed tables to a graph, a split, and the scores. What does not: reading
the CSV (`csv_links`), the encoders, and how links are ranked (`evaluation`).

- Each (user, item) pair of the training file is a link; repeated rows add their counts. Items take
  the part of communities: `count` is their activity, and they have no score, no age and no text.
- Test links are the pairs of the test file whose user and item are both in the training file and
  that are not links of it. Each is ranked among all items that the user does not have in training.
- One random link of up to `VALIDATION_USERS` users is held out of training, for early stopping and
  tuning. For the test all encoders read the whole training file again.
- Every encoder has the same number of tuning runs: `encoder.tuning_variants` variants with each
  popularity weight (`tuning`). The runs are in the result.
- Items have no text. What stands in for it are the top singular vectors of the TF-IDF table (of the
  training links, validation left out), centred and of unit length: a graph encoder then starts
  from which items occur together, where id vectors alone would have to find that from a few links an
  item. LightGCN reads none. ImageAlign is off.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool, Float32, Int, UInt8

from zipp_dagster.encoder import rivals
from zipp_dagster.encoder.config import Architecture, EncoderSettings
from zipp_dagster.encoder.csv_links import Links, TableError, read_links
from zipp_dagster.encoder.evaluation import LinkTask, Scorer, evaluate
from zipp_dagster.encoder.tuning import TuningRun, tune
from zipp_dagster.encoder.variants import training_variants
from zipp_dagster.graph.split import MESSAGE, SEEN, TEST, VALIDATION, LinkSplit
from zipp_dagster.graph.store import InteractionGraph
from zipp_dagster.progress import Progress, silent

VALIDATION_USERS = 5_000
# Scores held at once: 20 million float32 and their masks are some 200 MB, for any number of items.
SCORES_AT_ONCE = 20_000_000
METRICS = ("hits10", "hits50", "mrr")
# Both trained encoders settle within so many steps, on tables of 300 to 15,000 users; a table of
# many batches gets some passes all the same.
STEPS, PASSES = 1_200, 8
VALIDATIONS, PATIENCE = 20, 5
TEXT_RANK = 64


def evaluate_tables(
    train_file: Path, test_file: Path, settings: EncoderSettings, progress: Progress = silent
) -> dict[str, Any]:
    """Fit every encoder that needs no text or images on a table, and score another's new links.

    Args:
        train_file: CSV with a header; columns user and item (any strings), optionally count (a
            positive number, 1 where the column is missing), in any order; others are ignored.
        test_file: the same; its counts are not read into the scores.
        settings: of the trained encoders and the tuning; only how long they train (epochs,
            validation_every, patience) follows from the size of the table instead.
        progress: told hundredths of an encoder.

    Returns:
        `users`, `items`, `train_links`, `test_links`, `dropped` (rows left out or merged, by
        reason), `results`: one `{encoder, hits10, hits50, mrr, seconds}` an encoder, where the
        seconds are fitting, tuning and scoring; and `tuning`: one `{encoder, variant,
        popularity_weight, validation_mrr}` a run.

    Raises:
        TableError: a file that is no such table (naming file and line), or nothing to fit or rank.
        FileNotFoundError: a file is missing.
    """
    train = read_links(train_file)
    test = read_links(test_file, known=train)
    new = ~np.isin(test.pairs, train.pairs)
    dropped = {
        "train_repeated_rows": train.repeated,
        "test_repeated_rows": test.repeated,
        "test_rows_unknown_user": test.unknown_users,
        "test_rows_unknown_item": test.unknown_items,
        "test_links_in_train": int((~new).sum()),
    }
    if not new.any():
        raise TableError(
            f"{test_file}: no new link is left to rank ({_in_words(dropped)}); give pairs of known "
            f"users and items that {train_file} does not have."
        )
    with tempfile.TemporaryDirectory(prefix="zipp-tables-") as folder:
        data = _Data.build(Path(folder), train, test.pairs[new], settings, train_file)
        results, tuning = data.results(settings, progress)
    return {
        "users": len(train.users),
        "items": len(train.items),
        "train_links": len(train.pairs),
        "test_links": int(new.sum()),
        "dropped": dropped,
        "results": results,
        "tuning": tuning,
    }


def _in_words(dropped: dict[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')}: {count}" for name, count in dropped.items())


@dataclass(frozen=True)
class _Data:
    """Two tables as one graph on disk, split for tuning and for the test."""

    folder: Path
    graph: InteractionGraph
    tuning: LinkSplit
    final: LinkSplit

    @classmethod
    def build(
        cls,
        folder: Path,
        train: Links,
        test_pairs: Int[np.ndarray, " links"],
        settings: EncoderSettings,
        train_file: Path,
    ) -> _Data:
        for part in ("graph", "split"):
            (folder / part).mkdir()
        graph = _build_graph(folder, train, test_pairs)
        roles = np.full(graph.edges, MESSAGE, dtype=np.uint8)
        roles[_edges_of_pairs(graph, train, test_pairs)] = TEST
        everyone = np.full(graph.users, SEEN, dtype=np.uint8)
        final = LinkSplit(roles, everyone)
        tuning = LinkSplit(_with_validation(graph, roles, settings.seed, train_file), everyone)
        np.save(folder / "split" / "roles.npy", tuning.roles)
        np.save(folder / "split" / "user_roles.npy", everyone)
        return cls(folder, graph, tuning, final)

    def results(
        self, settings: EncoderSettings, progress: Progress
    ) -> tuple[list[dict[str, Any]], list[TuningRun]]:
        """One row an encoder, and all tuning runs."""
        task = LinkTask.of(self.graph, self.final)
        block = int(np.clip(SCORES_AT_ONCE // self.graph.subreddits, 16, 2_048))
        own = _schedule(settings, self.graph.users)
        fitted: dict[str, Callable[[Progress], tuple[Scorer, list[TuningRun]]]] = {
            "popularity": lambda _: (rivals.popularity(self.graph, self.final), []),
            "tfidf_svd": lambda _: self._direct(rivals.tfidf_svd, rivals.RANKS, settings),
            "tfidf_nmi": lambda _: self._direct(rivals.tfidf_nmi, rivals.NEIGHBOURS, settings),
            "lightgcn": lambda told: self._trained("lightgcn", own, told),
            "graphsage": lambda told: self._trained("graphsage", own, told),
            "gatv2": lambda told: self._trained("gatv2", own, told),
        }
        rows: list[dict[str, Any]] = []
        tuning: list[TuningRun] = []
        for place, (name, fit) in enumerate(fitted.items()):
            started = perf_counter()
            scorer, runs = fit(_part_of(progress, place, len(fitted), name))
            scores = evaluate(scorer, task, seed=settings.seed, block_links=block)
            row: dict[str, Any] = {"encoder": name}
            row |= {metric: scores.mean(metric) for metric in METRICS}
            rows.append(row | {"seconds": round(perf_counter() - started, 2)})
            tuning += runs
            progress(100 * (place + 1), 100 * len(fitted), name)
        return rows, tuning

    def _direct(
        self,
        fit: Callable[[InteractionGraph, LinkSplit, tuple[int, ...]], rivals.Variants],
        sizes: tuple[int, ...],
        settings: EncoderSettings,
    ) -> tuple[Scorer, list[TuningRun]]:
        sizes = sizes[: settings.tuning_variants]
        tuned = tune(fit(self.graph, self.tuning, sizes), self.graph, self.tuning)
        ((_, again),) = fit(self.graph, self.final, (sizes[tuned.variant],))
        return tuned.refitted(again, self.graph, self.final), tuned.runs

    def _trained(
        self, architecture: Architecture, settings: EncoderSettings, progress: Progress
    ) -> tuple[Scorer, list[TuningRun]]:
        # Here, not above: these import torch, which a wrong CSV should not have to wait for.
        from zipp_dagster.encoder.comparison import model_scorer
        from zipp_dagster.encoder.model_io import load_model
        from zipp_dagster.encoder.training import train

        features, text = self._features(architecture)
        variants: list[tuple[str, Scorer]] = []
        chosen = training_variants(settings, settings.tuning_variants, architecture)
        for number, (description, own) in enumerate(chosen):
            out = self.folder / f"{architecture}.{number}"
            scratch = self.folder / f"{architecture}.{number}.unfinished"
            out.mkdir()
            scratch.mkdir()
            train(
                self.folder / "graph", self.folder / "split", features, None, own, out, scratch,
                _part_of(progress, number, len(chosen), ""), architecture=architecture,
            )  # fmt: skip
            scorer = model_scorer(
                architecture, load_model(out), self.graph, self.tuning, text, settings
            )
            variants.append((description, scorer))
        tuned = tune(variants, self.graph, self.tuning)
        best = load_model(self.folder / f"{architecture}.{tuned.variant}")
        final = model_scorer(architecture, best, self.graph, self.final, text, settings)
        return tuned.refitted(final, self.graph, self.final), tuned.runs

    def _features(self, architecture: Architecture) -> tuple[Path, Float32[np.ndarray, "items k"]]:
        """What stands in for the items' text; made once."""
        from zipp_dagster.graph.features import (
            build_subreddit_features,
            load_subreddit_text,
            write_no_text,
        )

        kind = "no_text" if architecture == "lightgcn" else "svd"
        folder = self.folder / f"features.{kind}"
        if not folder.exists():
            folder.mkdir()
            if kind == "no_text":
                write_no_text(self.graph, folder)
            else:
                vectors = rivals.svd_basis(
                    rivals.tfidf_profiles(self.graph, self.tuning), TEXT_RANK
                )
                build_subreddit_features(self.graph, self.graph.subreddit_names, vectors, folder)
        return folder, load_subreddit_text(folder, self.graph)


def _schedule(settings: EncoderSettings, users: int) -> EncoderSettings:
    """The settings with ImageAlign off and with epochs for about `STEPS` steps."""
    epochs = max(PASSES, math.ceil(STEPS / max(1, users // settings.users_per_batch)))
    return settings.model_copy(
        update={
            "image_align_weight": 0.0,
            "epochs": epochs,
            "validation_every": max(1, epochs // VALIDATIONS),
            "patience": PATIENCE,
        }
    )


def _build_graph(
    folder: Path, train: Links, test_pairs: Int[np.ndarray, " links"]
) -> InteractionGraph:
    """Training and test links as one graph; user ids are the users' order in the training file."""
    import duckdb

    from zipp_dagster.graph.csr import build_csr

    pairs = np.concatenate([train.pairs, test_pairs])
    counts = np.concatenate([train.counts, np.ones(len(test_pairs))])
    user, item = train.unpack(pairs)
    nothing = np.zeros(len(pairs))
    columns = {
        "user_id": user.astype(np.uint64),
        "subreddit": pa.DictionaryArray.from_arrays(pa.array(item), pa.array(train.items)),
        "posts": nothing,
        "comments": counts,
        "score_log": nothing,
        "first_at": pa.array(np.zeros(len(pairs), dtype=np.int64), pa.timestamp("us")),
        "recency": nothing + 1.0,
    }
    path = folder / "interactions.parquet"
    pq.write_table(pa.table(columns), path, compression="zstd")
    limits: dict[str, str | bool | int | float | list[str]] = {
        "threads": 1,
        "memory_limit": "1GB",
        "temp_directory": str(folder / "spill"),
    }
    with duckdb.connect(config=limits) as connection:
        build_csr([path], folder / "graph", connection)
    return InteractionGraph.open(folder / "graph")


def _edges_of_pairs(
    graph: InteractionGraph, train: Links, pairs: Int[np.ndarray, " links"]
) -> Int[np.ndarray, " links"]:
    """The positions of some pairs among the graph's edges, which are sorted by user and item."""
    place = {name: index for index, name in enumerate(graph.subreddit_names)}
    index_of = np.array([place[name] for name in train.items])
    user, item = train.unpack(pairs)
    owner = np.repeat(np.arange(graph.users), graph.degrees)
    edges = owner * graph.subreddits + np.asarray(graph.subreddit).astype(np.int64)
    return np.searchsorted(edges, user * graph.subreddits + index_of[item])


def _with_validation(
    graph: InteractionGraph, roles: UInt8[np.ndarray, " edges"], seed: int, train_file: Path
) -> UInt8[np.ndarray, " edges"]:
    """One random training link of some users becomes a validation link; two at least stay."""
    owner = np.repeat(np.arange(graph.users), graph.degrees)
    message: Bool[np.ndarray, " edges"] = roles == MESSAGE
    able = np.flatnonzero(np.bincount(owner[message], minlength=graph.users) >= 3)
    if len(able) == 0 or graph.users < 2:
        raise TableError(
            f"{train_file}: nothing can be held out for tuning: give at least two users, one of "
            "them with three items or more."
        )
    rng = np.random.default_rng([seed, 51])
    chosen = np.zeros(graph.users, dtype=bool)
    chosen[rng.permutation(able)[:VALIDATION_USERS]] = True
    # The first of each chosen user's links in a random order.
    edges = np.flatnonzero(message & chosen[owner])
    edges = edges[np.lexsort((rng.random(len(edges)), owner[edges]))]
    first = np.concatenate([[True], owner[edges][1:] != owner[edges][:-1]])
    changed = roles.copy()
    changed[edges[first]] = VALIDATION
    return changed


def _part_of(progress: Progress, place: int, parts: int, name: str) -> Progress:
    """The progress of one encoder as its hundredths of the whole."""

    def told(done: int, total: int, note: str = "") -> None:
        progress(100 * place + 100 * done // max(total, 1), 100 * parts, f"{name} {note}".strip())

    return told
