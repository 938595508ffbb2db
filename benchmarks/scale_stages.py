"""The stages of the scale run, from events or dump files to personas: each calls the product's own
functions on folders, as the assets of the same name do.

What lives here: what a stage reads, runs, writes and frees. What does not: measuring and resuming
(`scale`), the tables made from it (`scale_report`).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from reddit_events import COMMUNITIES, EVENTS_A_USER, Year, months, written
from sql_chain import SqlChain

from zipp_dagster.platform.warehouse import Warehouse
from zipp_dagster.settings import Settings, load_settings

Entry = Literal["events", "dumps"]
Outputs = dict[str, Any]
Spread = Literal["synthetic", "months", "users", "training", "serial"]

# As many steps at every size, so that their cost is one constant beside the part that grows.
TRAINING_STEPS, TRAINING_EPOCHS = 1_000, 4
USERS_A_COMMUNITY = 25
JSON_BYTES = "json_bytes.txt"


@dataclass(frozen=True)
class Plan:
    """What is generated, and how long the training is; goes into the state file."""

    users: int
    entry: Entry
    months: int
    training_steps: int

    @property
    def events(self) -> int:
        """Comments and submissions of all months."""
        return self.users * EVENTS_A_USER

    @property
    def month_names(self) -> tuple[str, ...]:
        """The months, as `YYYY-MM`."""
        return months(self.months)

    @property
    def year(self) -> Year:
        """The events. Few users get fewer communities, or each would have hardly anybody."""
        communities = min(COMMUNITIES, max(200, self.users // USERS_A_COMMUNITY))
        return Year(self.events, self.users, communities, self.month_names, written())


@dataclass(frozen=True)
class Run:
    """A plan in its folder. Folders below it: `tables/<name>/<month or _>`, and one an array kind."""

    plan: Plan
    home: Path

    @cached_property
    def settings(self) -> Settings:
        """The paper's profile, with what the environment changes."""
        return load_settings("paper")

    @property
    def tables(self) -> Path:
        """Where tables are."""
        return self.home / "tables"

    @property
    def warehouse(self) -> Warehouse:
        """DuckDB with the limits of the settings."""
        own = self.settings.warehouse
        return Warehouse(own.memory_limit, own.threads, self.home / "spill", own.row_bytes)

    @cached_property
    def chain(self) -> SqlChain:
        """The SQL models over the tables."""
        return SqlChain([self.tables], self.warehouse, self.settings)

    def files(self, name: str) -> list[Path]:
        """The files of a table, of all months."""
        return self.chain.files(name)

    def folder(self, name: str) -> Path:
        """The folder of something that is no table."""
        return self.home / name

    def fresh(self, name: str) -> Path:
        """Such a folder, made and empty."""
        shutil.rmtree(self.folder(name), ignore_errors=True)
        self.folder(name).mkdir(parents=True)
        return self.folder(name)

    def kept(self, name: str) -> Path:
        """Such a folder with what an interrupted stage has left, from which it goes on."""
        self.folder(name).mkdir(parents=True, exist_ok=True)
        return self.folder(name)

    def models(self, names: tuple[str, ...], month: str | None = None) -> Outputs:
        """Runs SQL models anew; rows of each."""
        rows = {}
        for name in names:
            shutil.rmtree(self.tables / name / (month or "_"), ignore_errors=True)
            rows[name] = self.chain.run(name, month).rows
        return rows

    @property
    def benchmark_users(self) -> list[int]:
        """Everybody whose posts are held out, up to the benchmark's size."""
        import pyarrow.parquet as pq

        table = pq.read_table(self.files("benchmark_holdout"), columns=["user_id", "split"])
        chosen = table.filter(table["split"].to_numpy(zero_copy_only=False) == "benchmark")
        return sorted(chosen["user_id"].unique().to_pylist())


@dataclass(frozen=True)
class Stage:
    """One stage: its work, whether it runs month by month, and what nobody reads after it.

    `spread` says what divides it over machines, for the cost model. What takes the same seconds at
    every size is done before the clock starts: `modules` are imported, with `sql` queries parsed.
    """

    name: str
    work: Callable[[Run, str | None], Outputs]
    spread: Spread
    monthly: bool = False
    frees: tuple[str, ...] = ()
    modules: tuple[str, ...] = ("duckdb",)
    sql: bool = False
    entry: Entry | None = None


def generate_events(run: Run, month: str | None) -> Outputs:
    """Not the product's: a month of comments and submissions as Parquet."""
    assert month is not None
    for kind in ("comments", "submissions"):
        shutil.rmtree(run.tables / kind / month, ignore_errors=True)
    run.plan.year.write(month, run.tables, run.settings.warehouse.threads)
    return {}


def generate_dumps(run: Run, month: str | None) -> Outputs:
    """Not the product's: the same month as dump files."""
    from event_dumps import write_month

    assert month is not None
    events = run.fresh(f"events/{month}")
    run.plan.year.write(month, events, run.settings.warehouse.threads)
    lines, json_bytes = write_month(events, month, run.fresh(f"dumps/{month}"))
    shutil.rmtree(events)
    # Ingest reports them too: its costs are those of the bytes that it reads.
    (run.folder(f"dumps/{month}") / JSON_BYTES).write_text(str(json_bytes))
    return {"lines": lines, "json_bytes": json_bytes}


def ingest(run: Run, month: str | None) -> Outputs:
    """Dump files to the tables comments and submissions."""
    from zipp_dagster.reddit import Pseudonymizer, dump_to_parquet
    from zipp_dagster.reddit.dumps import find_dumps

    kept = size = 0
    dumps = run.folder(f"dumps/{month}")
    for dump in find_dumps(dumps):
        out = run.fresh(f"tables/{dump.kind}/{month}")
        kept += dump_to_parquet(dump, out, Pseudonymizer(bytes(32))).kept
        size += dump.size
    json_bytes = int((dumps / JSON_BYTES).read_text())
    return {"rows": kept, "dump_bytes": size, "json_bytes": json_bytes}


def staging(run: Run, month: str | None) -> Outputs:
    """The monthly models: who is a bot, clean texts, activity, image posts, samples of text."""
    monthly = ("stg_accounts", "stg_comments", "stg_submissions", "int_activity_monthly")
    monthly += ("int_image_posts", "int_snippets_monthly", "int_communities_monthly")
    return run.models(monthly, month)


def benchmark(run: Run, month: str | None) -> Outputs:
    """The choice of the benchmark: whose last image posts are held out, and what remains."""
    rows = run.models(("int_bots", "benchmark_holdout", "image_posts", "int_newest_event"))
    return rows | {"benchmark_users": len(run.benchmark_users)}


def interactions(run: Run, month: str | None) -> Outputs:
    """Who is active where: one row a user and community."""
    return run.models(("interactions",))


def documents(run: Run, month: str | None) -> Outputs:
    """What each community talks about, in one text."""
    return run.models(("subreddit_documents",))


def communities(run: Run, month: str | None) -> Outputs:
    """The communities: sizes and flags."""
    return run.models(("subreddits",))


def snippets(run: Run, month: str | None) -> Outputs:
    """What the benchmark's users wrote, cleaned, scored and counted."""
    from zipp_dagster.persona.snippets import SnippetInputs, write_snippets

    inputs = SnippetInputs(
        run.files("stg_comments"),
        run.files("subreddits"),
        run.files("stg_submissions"),
        run.files("benchmark_holdout"),
    )
    report = write_snippets(
        run.warehouse.connect, inputs, run.settings.snippets, run.fresh("snippets"),
        users=run.benchmark_users,
    )  # fmt: skip
    return {"users": report.users, "snippets": report.snippets}


def graph(run: Run, month: str | None) -> Outputs:
    """Interactions to CSR arrays."""
    from zipp_dagster.graph.csr import build_csr

    own = run.settings.graph
    with run.warehouse.connect() as connection:
        report = build_csr(
            run.files("interactions"), run.fresh("graph"), connection,
            min_subreddit_users=own.min_subreddit_users, batch_rows=own.batch_rows,
        )  # fmt: skip
    return {"users": report.users, "subreddits": report.subreddits, "edges": report.edges}


def split(run: Run, month: str | None) -> Outputs:
    """Which links are held out, and which users training never sees."""
    from zipp_dagster.graph.split import temporal_split
    from zipp_dagster.graph.store import InteractionGraph

    own = run.settings.graph
    report = temporal_split(
        InteractionGraph.open(run.folder("graph")), run.fresh("split"), seed=own.seed,
        min_communities=own.min_communities, unseen_share=own.unseen_share,
    )  # fmt: skip
    return {"messages": report.messages, "test": report.test}


def features(run: Run, month: str | None) -> Outputs:
    """A text vector a community, by TF-IDF and SVD fitted here."""
    import pyarrow.parquet as pq

    from zipp_dagster.graph.features import build_subreddit_features
    from zipp_dagster.graph.store import InteractionGraph
    from zipp_dagster.imaging.text_encoder import fit_text_encoder

    table = pq.read_table(run.files("subreddit_documents"))
    documents = table["document"].to_pylist()
    out = run.fresh("features")
    encoder = fit_text_encoder(documents, out / "text_encoder", run.settings.imaging.text_dim)
    report = build_subreddit_features(
        InteractionGraph.open(run.folder("graph")),
        table["subreddit"].to_pylist(),
        encoder.embed(documents),
        out,
    )
    return {"subreddits": report.subreddits, "dimensions": report.dimensions}


def training(run: Run, month: str | None) -> Outputs:
    """So many steps of training, with four validations; goes on from its checkpoint."""
    from zipp_dagster.encoder.training import train
    from zipp_dagster.graph.store import InteractionGraph

    own, users = run.settings.encoder, InteractionGraph.open(run.folder("graph")).users
    batch = min(own.users_per_batch, max(2, users // 4))
    steps = run.plan.training_steps
    # About three quarters of the users have two links or more outside of the hold-out.
    an_epoch = min(steps // TRAINING_EPOCHS, max(1, users // 2 // batch))
    epochs = max(1, steps // an_epoch)
    settings = own.model_copy(
        update={
            "users_per_batch": batch,
            "epoch_users": an_epoch * batch,
            "epochs": epochs,
            "validation_every": max(1, epochs // TRAINING_EPOCHS),
            "patience": epochs,
        }
    )
    report = train(
        run.folder("graph"), run.folder("split"), run.folder("features"), None, settings,
        run.fresh("model"), run.kept("scratch/training"),
    )  # fmt: skip
    return {
        "steps": int(report.history[-1]["step"]),
        "users_read": epochs * an_epoch * batch,
        "target_edges": report.target_edges,
        "target_edges_per_cpu_s": round(report.target_edges_per_cpu_second),
        f"validation_hits{report.validation_k}": round(report.validation_hits, 4),
        "resumed_at_step": report.resumed_at_step,
    }


def inference(run: Run, month: str | None) -> Outputs:
    """Everybody's embedding and attention; goes on from its checkpoints."""
    from zipp_dagster.encoder.embedding_files import embed_all

    report = embed_all(
        run.folder("model"), run.folder("graph"), run.folder("features"),
        run.fresh("embeddings"), run.kept("scratch/inference"), run.settings.encoder,
    )  # fmt: skip
    return {"users": report.users, "dimensions": report.dimensions}


def rankings(run: Run, month: str | None) -> Outputs:
    """Each user's communities by attention and by dot product."""
    from zipp_dagster.encoder.rankings import write_rankings
    from zipp_dagster.fanout import Local

    own = run.settings.encoder
    report = write_rankings(
        run.folder("graph"), run.folder("embeddings"), run.fresh("rankings") / "part-0.parquet",
        kept=own.rankings_kept, fan_out=Local(own.inference_lanes),
    )  # fmt: skip
    return {"rows": report.rows, "same_first": round(report.same_first, 3)}


def evidence(run: Run, month: str | None) -> Outputs:
    """What the benchmark's personas may rest on, under the token budget."""
    from zipp_dagster.persona.evidence import EvidenceInputs, collect_evidence

    inputs = EvidenceInputs(
        sorted(run.folder("snippets").glob("part-*.parquet")),
        [run.folder("rankings") / "part-0.parquet"],
        run.files("subreddits"),
    )
    report = collect_evidence(
        run.warehouse.connect, inputs, run.settings.persona, run.settings.snippets,
        run.fresh("evidence"), users=run.benchmark_users,
    )  # fmt: skip
    return {"users": report.users, "snippets": report.snippets, "tokens": report.tokens}


def personas(run: Run, month: str | None) -> Outputs:
    """The benchmark's personas, by the deterministic model."""
    from zipp_dagster.persona.lexical import LexicalModel
    from zipp_dagster.persona.personas import build_personas

    report = build_personas(
        sorted(run.folder("evidence").glob("part-*.parquet")), LexicalModel(),
        run.settings.persona, run.fresh("personas"),
    )  # fmt: skip
    return {"users": report.users, "quarantined": report.quarantined}


STAGES = (
    Stage("events", generate_events, "synthetic", True, entry="events"),
    Stage("dumps", generate_dumps, "synthetic", True, entry="dumps"),
    Stage("ingest", ingest, "months", True, ("dumps/{month}",), ("zipp_dagster.reddit.ingest",),
          entry="dumps"),
    Stage("staging", staging, "months", True,
          ("tables/comments/{month}", "tables/submissions/{month}"), sql=True),
    Stage("benchmark", benchmark, "serial", frees=("tables/stg_accounts", "tables/int_image_posts"),
          sql=True),
    Stage("documents", documents, "serial", frees=("tables/int_snippets_monthly",), sql=True),
    Stage("interactions", interactions, "users", frees=("tables/int_activity_monthly",), sql=True),
    Stage("communities", communities, "serial", frees=("tables/int_communities_monthly",), sql=True),
    Stage("snippets", snippets, "months", frees=("tables/stg_comments", "tables/stg_submissions"),
          modules=("zipp_dagster.persona.snippets",)),
    Stage("graph", graph, "serial", frees=("tables/interactions",),
          modules=("zipp_dagster.graph.csr",)),
    Stage("split", split, "serial", modules=("zipp_dagster.graph.split",)),
    Stage("features", features, "serial", modules=("zipp_dagster.imaging.text_encoder",)),
    Stage("training", training, "training", modules=("zipp_dagster.encoder.training",)),
    Stage("inference", inference, "users", frees=("scratch",),
          modules=("zipp_dagster.encoder.embedding_files",)),
    Stage("rankings", rankings, "users", modules=("zipp_dagster.encoder.rankings",)),
    Stage("evidence", evidence, "users", modules=("zipp_dagster.persona.evidence",)),
    Stage("personas", personas, "users", modules=("zipp_dagster.persona.personas",)),
)  # fmt: skip


def stages_of(entry: Entry) -> tuple[Stage, ...]:
    """The stages of an entry, in order."""
    return tuple(stage for stage in STAGES if stage.entry in (None, entry))
