"""The scale run at a few hundred users: all stages, going on after a kill, the tables made from it."""

from __future__ import annotations

import json
import math

import pytest
import scale
from scale_model import Assumptions, Line, cost_model
from scale_report import costs_of, document, growth, markdown
from scale_stages import Plan, stages_of

SMALL = {"zipbench.holdout_posts": 2, "zipbench.min_history_posts": 3, "encoder.hidden": 8}
SETTINGS = scale.SETTINGS | SMALL | {"zipbench.min_comments": 10, "warehouse.threads": 1}

MONTHS = ("2024-01", "2024-02")


def plan(entry: str, users: int = 400) -> Plan:
    return Plan(users, entry, 2, training_steps=4)  # type: ignore[arg-type]


def in_this_process(state: scale.State, name: str) -> dict[str, object]:
    """A unit without a process of its own, each of which would import torch anew."""
    scale.run_unit(state.home, name)
    cost = json.loads((state.home / scale.RESULT).read_text())
    return cost | {"anonymous_gib": 0.1, "disk_peak_gb": 0.1, "disk_gb": 0.1, "load": 0.0}


@pytest.fixture(scope="module")
def run_here(tmp_path_factory, environment):
    """Runs the stages of an entry in this process; returns what the state file says, and the home."""

    def run(entry: str, until: str | None):
        home = tmp_path_factory.mktemp(entry)
        variables = {f"ZIPP_{k.upper().replace('.', '__')}": v for k, v in SETTINGS.items()}
        with pytest.MonkeyPatch.context() as patch, environment(**variables):
            patch.setattr(scale, "_measured", in_this_process)
            scale.run_all(scale.State.open(home, plan(entry), SETTINGS), until)
        return json.loads((home / scale.STATE).read_text()) | {"home": home}

    return run


@pytest.fixture(scope="module")
def finished(run_here):
    return run_here("events", None)


def outputs(state, name):
    return state["units"][name]["outputs"]


def staged(state):
    """Comments and submissions after staging, of both months."""
    parts = [outputs(state, f"staging@{month}") for month in MONTHS]
    return sum(part["stg_comments"] + part["stg_submissions"] for part in parts)


def test_every_stage_hands_on_what_the_next_one_reads(finished):
    assert set(costs_of(finished)) == {stage.name for stage in stages_of("events")}
    assert staged(finished) == plan("events").events
    edges = outputs(finished, "graph")["edges"]
    assert edges == outputs(finished, "interactions")["interactions"]
    assert outputs(finished, "rankings")["rows"] == edges
    chosen = outputs(finished, "benchmark")["benchmark_users"]
    assert 0 < chosen < plan("events").users
    assert (
        outputs(finished, "evidence")["users"] == outputs(finished, "personas")["users"] == chosen
    )
    assert outputs(finished, "training")["steps"] == 4


def test_what_no_stage_reads_any_more_is_gone(finished):
    tables = {path.name for path in (finished["home"] / "tables").iterdir() if any(path.iterdir())}
    assert tables == {
        "benchmark_holdout", "image_posts", "int_bots", "int_newest_event", "subreddit_documents",
        "subreddits",
    }  # fmt: skip
    assert not (finished["home"] / "scratch").exists()


def test_dump_files_hold_the_same_events(run_here, finished):
    state = run_here("dumps", "staging")
    written = sum(outputs(state, f"dumps@{month}")["lines"] for month in MONTHS)
    read = sum(outputs(state, f"ingest@{month}")["rows"] for month in MONTHS)
    assert written == read == staged(state) == staged(finished)
    same = ("stg_accounts", "int_activity_monthly", "int_image_posts")
    for month in MONTHS:
        one, other = (outputs(s, f"staging@{month}") for s in (state, finished))
        assert {name: one[name] for name in same} == {name: other[name] for name in same}
    assert not any(state["home"].glob("dumps/*"))


def test_a_killed_run_goes_on_where_it_was(tmp_path, monkeypatch, environment):
    ran: list[str] = []

    def killed_once(state: scale.State, name: str) -> dict[str, object]:
        ran.append(name)
        if ran.count("staging@2024-02") == 1 and name == "staging@2024-02":
            # As a kill leaves it: a table half written.
            half = state.home / "tables" / "stg_accounts" / "2024-02"
            half.mkdir(parents=True)
            (half / "part-0.parquet").write_bytes(b"PAR1")
            raise KeyboardInterrupt
        return in_this_process(state, name)

    monkeypatch.setattr(scale, "_measured", killed_once)
    variables = {f"ZIPP_{k.upper().replace('.', '__')}": v for k, v in SETTINGS.items()}
    with environment(**variables):
        with pytest.raises(KeyboardInterrupt):
            scale.run_all(scale.State.open(tmp_path, plan("events"), SETTINGS), "staging")
        again = scale.State.open(tmp_path, plan("events"), SETTINGS)
        scale.run_all(again, "staging")
    assert ran == [
        "events@2024-01", "staging@2024-01", "events@2024-02", "staging@2024-02", "staging@2024-02",
    ]  # fmt: skip
    assert again.attempts["staging@2024-02"] == 2
    assert again.units["staging@2024-02"]["outputs"]["stg_comments"] > 0
    with pytest.raises(SystemExit, match="of another run, plan"):
        scale.State.open(tmp_path, plan("events", users=500), SETTINGS)


def test_a_stage_runs_and_is_measured_in_a_process_of_its_own(tmp_path):
    state = scale.State.open(tmp_path, plan("events"), SETTINGS)
    state.save()
    cost = scale._measured(state, "events@2024-01")
    assert 0 < cost["anonymous_gib"] <= cost["peak_rss_gib"] < 2
    assert cost["cpu_s"] > 0 and cost["disk_gb"] > 0
    assert len(list((tmp_path / "tables" / "comments" / "2024-01").iterdir())) == 1
    with pytest.raises(SystemExit, match=r"staging@2024-07 ended with code 1"):
        scale._measured(state, "staging@2024-07")


def stated(users: int, cpu_s: float, entry: str = "events") -> dict[str, object]:
    """A state whose stages all took so long."""
    unit = dict.fromkeys((*("wall_s", "cpu_s"), "peak_rss_gib", "anonymous_gib"), cpu_s)
    unit |= dict.fromkeys(("read_gb", "written_gb", "disk_peak_gb"), 1.0)
    made = {"json_bytes": 1e9, "target_edges": 3_000, "users_read": 1_000}
    made["target_edges_per_cpu_s"] = 30_000
    units = {}
    for stage in stages_of(entry):  # type: ignore[arg-type]
        for name in [f"{stage.name}@2024-01"] if stage.monthly else [stage.name]:
            units[name] = unit | {"outputs": made}
    written = {"users": users, "entry": entry, "months": 1, "training_steps": 4}
    machine = {"cpus": 2, "processor": "x86_64"}
    return {"plan": written, "units": units, "attempts": {}, "machine": machine}


def test_growth_is_the_slope_of_the_logarithms():
    states = [stated(10_000, 10.0), stated(100_000, 200.0), stated(1_000_000, 4_000.0)]
    exponent, sizes = growth(states)["graph"]
    assert exponent == pytest.approx(1 + math.log10(2)) and sizes == 3
    # Where hardly anything is done, what does not grow would hide the growth.
    assert growth([stated(10_000, 1.0), stated(100_000, 200.0)]) == {}


def test_the_paper_costs_what_its_lines_say():
    runs = {
        "events": (2_200_000, costs_of(stated(2_200_000, 360.0))),
        "dumps": (22_000, costs_of(stated(22_000, 36.0, "dumps"))),
    }
    model = cost_model(runs, {"rankings": 2.0, "interactions": 0.5}, Assumptions())  # type: ignore[arg-type]
    hours = {line.name: line.hours for line in model.lines}
    cores = 16 * 0.7
    assert model.complete
    assert hours["interactions"] == pytest.approx(360 * 10 / cores / 3600)  # never below linear
    assert hours["rankings"] == pytest.approx(360 * 100 / cores / 3600)
    assert hours["split"] == pytest.approx(360 * 10 / 2 / 3600)
    assert hours["staging"] == pytest.approx(360 * 10 * 14.7e9 / 682e6 / cores / 3600)
    # A gigabyte of JSON in 36 CPU seconds, 21 terabytes of it.
    assert hours["ingest"] == pytest.approx(36 * 21_000 / cores / 3600)
    assert hours["training, full"] == pytest.approx(3 * 22e6 * 20 / 30_000 / 50 / 3600)
    # The paper's 40,000 images are those of all methods.
    assert hours["images"] == pytest.approx(40_000 * 4 / 3600)
    read, wrote = 21_000 * 4_700 + 250_000 * 2_000, 21_000 * 600 + 250_000 * 80
    assert hours["language models"] == pytest.approx((read / 8_000 + wrote / 1_500) / 3600)
    assumed = [hours[name] for name in ("training, full", "images", "language models")]
    assert model.hours(1, assumed=True) == pytest.approx(sum(assumed))
    parts = model.hours(1, assumed=True) + model.hours(1, assumed=False)
    assert parts == pytest.approx(model.hours(1))
    assert model.hours(8) < model.hours(1) and model.hours(64) > model.hours(1) / 64
    table = model.markdown()
    assert "| ingest | by months |" in table and "40,000 of all methods together" in table
    assert " 0.00 |" not in table and "| < 0.01 |" in table


def test_more_machines_wait_for_the_largest_month_and_for_what_is_serial():
    assumed = Assumptions(largest_month=0.02, training_machines=8)
    assert Line("ingest", 100, "by months", "").on(64, assumed) == 2.0
    assert Line("ingest", 100, "by months", "").on(8, assumed) == 12.5
    assert Line("split", 100, "serial", "").on(64, assumed) == 100
    assert Line("training", 100, "training", "").on(64, assumed) == 12.5
    assert Line("images", 128, "fans out", "").on(64, assumed) == 2.0


def test_the_tables_say_what_is_missing_and_where_figures_are_from():
    whole, part = stated(1_000_000, 90.0), stated(100_000, 9.0)
    del part["units"]["rankings"]  # type: ignore[attr-defined]
    text = markdown([part, whole])
    assert "Not run yet: rankings." in text and "Not in it" in text  # no dumps: no ingest
    assert "| split | 9.0 | 90.0 | 1.00 |" in text
    rows = {row["name"]: row["value"] for row in document([whole, part], {"cpus": 2})["results"]}
    assert rows["split_growth"] == pytest.approx(1.0)
    # The generator is not the product's.
    assert rows["cpu_s"] == 90.0 * (len(stages_of("events")) - 1)
