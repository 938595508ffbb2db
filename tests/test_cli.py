from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from zipp_dagster.cli import COMMANDS, cli
from zipp_dagster.platform.lake import Lake

GROUPS = {
    name: command
    for name in COMMANDS
    if isinstance(command := cli.get_command(click.Context(cli), name), click.Group)
}
ALL = [[name] for name in COMMANDS] + [
    [name, inner] for name, group in GROUPS.items() for inner in group.commands
]
FIELDS: dict[str, Any] = {
    "code_version": "1",
    "config_hash": "c",
    "config": {},
    "inputs": (),
    "run_id": None,
    "seconds": 0.1,
}


@pytest.fixture
def home(tmp_path: Path, environment):
    """A ZIPP_HOME of the test's own, with nothing in it."""
    with environment(ZIPP_HOME=tmp_path / "home", ZIPP_SAMPLEWORLD__PEOPLE=40):
        yield tmp_path / "home"


@pytest.fixture
def publish(home: Path):
    """Publishes a version of an asset, with one file."""
    lake = Lake(home / "lake")

    def make(asset: str, text: str = "x", **changes: Any):
        with lake.draft(asset, None, text) as draft:
            draft.path("data.txt").write_text(text)
            return lake.publish(draft, **(FIELDS | {"data_version": text} | changes))

    return make


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments), catch_exceptions=False)


def process(*arguments: str, **variables: object) -> subprocess.CompletedProcess[str]:
    """The real console script, in its own process."""
    environment = os.environ | {name: str(value) for name, value in variables.items()}
    command = [sys.executable, "-m", "zipp_dagster.cli", *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_every_command_explains_itself(command):
    result = call(*command, "--help")
    assert result.exit_code == 0
    assert result.output.startswith("Usage: ")
    inner: Any = cli.get_command(click.Context(cli), command[0])
    inner = inner.commands[command[1]] if len(command) == 2 else inner
    assert inner.help
    undescribed = [p.name for p in inner.params if isinstance(p, click.Option) and not p.help]
    assert undescribed == []


def test_the_overview_lists_every_command_and_imports_none():
    script = (
        "import sys; from click.testing import CliRunner; from zipp_dagster.cli import cli\n"
        "print(CliRunner().invoke(cli, ['--help']).output)\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('dagster', 'torch', 'mlflow', 'duckdb')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert [name for name in COMMANDS if f"  {name} " not in done.stdout] == []
    assert done.stdout.strip().endswith("[]")


def test_wrong_settings_are_one_clear_line_without_a_traceback():
    done = process("status", ZIPP_ENCODER__HIDDEN="0")
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(
        "zipp: setting encoder.hidden (environment variable ZIPP_ENCODER__HIDDEN)"
    )
    assert "≥ 4" in line


def test_an_mlflow_server_that_is_not_there_is_one_clear_line(home):
    done = process(
        "models",
        "list",
        ZIPP_MLFLOW__TRACKING_URI="http://127.0.0.1:9",
        MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.startswith("zipp: MLflow at http://127.0.0.1:9: ")


def test_an_unknown_selection_lists_what_there_is(home):
    done = process("run", "--plan", "--select", "personaz")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.startswith("zipp: 'personaz' selects nothing. Assets: ")
    assert "personas" in done.stderr and "group:warehouse" in done.stderr


def test_an_unknown_command_and_option_are_usage_errors():
    for arguments in (["fly"], ["run", "--fast"]):
        done = process(*arguments)
        assert done.returncode == 2 and done.stderr.startswith("Usage: ")


def test_a_missing_dump_folder_is_one_clear_line_whatever_is_asked(home, tmp_path):
    missing = tmp_path / "nowhere"
    for arguments in (["run"], ["run", "--plan"], ["status"]):
        done = process(*arguments, ZIPP_REDDIT__DUMPS_DIR=missing)
        assert done.returncode == 1
        assert done.stderr.strip().splitlines() == [
            f"zipp: dump folder {missing} does not exist; set reddit.dumps_dir to the folder"
        ]
    assert not (home / "lake").exists()


def test_the_plan_as_json_is_one_document_and_runs_nothing(home):
    result = call("run", "--plan", "--json", "--select", "+comments")
    assert result.exit_code == 0
    steps = json.loads(result.output)
    assert {step["asset"] for step in steps} == {"sample_world", "erasures"}
    assert {step["state"] for step in steps} == {"missing"}
    assert not (home / "lake").exists()


def test_the_plan_names_a_given_month(home):
    steps = json.loads(
        call("run", "--plan", "--json", "--select", "+comments", "--partition", "2024-05").output
    )
    assert [s["asset"] for s in steps if s["partition"] == "2024-05"] == [
        "reddit_dumps",
        "comments",
    ]


def test_the_plan_says_how_much_time_disk_and_tokens_it_took_before(home, publish, monkeypatch):
    costs = [{"prompt_tokens": 2_000_000, "completion_tokens": 500_000}]
    publish("rewritten_prompts", "x" * 3000, seconds=90.0, metadata={"costs": costs})
    plan = ("run", "--plan", "--select", "rewritten_prompts,personas")
    said = " ".join(call(*plan).output.split())
    assert "2 of 2 would run, about 90 s and 2.9 KiB of disk" in said
    assert "1 never ran here: not counted" in said and "tokens" not in said
    for name, value in {"KIND": "http", "MODEL": "m", "PRICE_IN": "1.5", "PRICE_OUT": "4"}.items():
        monkeypatch.setenv(f"ZIPP_PERSONA__LANGUAGE_MODEL__{name}", value)
    from zipp_dagster.settings import settings

    settings.cache_clear()
    said = " ".join(call(*plan).output.split())
    assert "2,500,000 tokens of m (5.00 in the currency of the prices)" in said


def test_the_plan_for_a_person_says_how_many_would_run(home):
    assert "2 of 2 would run" in call("run", "--plan", "--select", "+comments").output


def test_a_selection_of_monthly_assets_only_is_no_success_where_no_month_is_known(home):
    result = call("run", "--plan", "--select", "comments")
    assert "0 of 0 would run" in result.output


def test_the_status_as_json_has_a_row_for_each_asset(home, publish):
    publish("erasures", rows=3)
    rows = {row["name"]: row for row in json.loads(call("status", "--json").output)}
    assert rows["erasures"]["rows"] == 3 and rows["erasures"]["version"]
    assert rows["leaderboard"]["state"] == "missing" and rows["leaderboard"]["version"] is None
    assert "erasures" in call("status").output


def test_lineage_verify_is_green_and_ends_with_1_after_one_flipped_byte(home, publish):
    version = publish("erasures", "intact")
    assert json.loads(call("lineage", "verify", "--json").output)["passed"]
    (version.directory / "data.txt").write_text("Intact")
    result = call("lineage", "verify", "--json")
    assert result.exit_code == 1
    assert json.loads(result.output)["damages"][0]["state"] == "changed"
    assert "changed: erasures" in call("lineage", "verify").output


def test_lineage_show_draws_the_tree_and_names_what_was_never_made(home, publish):
    source = publish("erasures")
    publish("comments", inputs=(source.ref(),))
    assert [
        n["asset"]
        for n in json.loads(call("lineage", "show", "comments", "--json").output)["inputs"]
    ] == ["erasures"]
    assert source.id in call("lineage", "show", "comments").output
    done = process("lineage", "show", "leaderboard")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("zipp: leaderboard has not been materialised yet")


def test_lineage_diff_counts_versions_from_the_current_one_and_leaves_rejected_ones_out(
    home, publish
):
    old, new = (
        publish("erasures", "a", code_version="1"),
        publish("erasures", "b", code_version="2"),
    )
    rejected = ({"name": "c", "blocking": True, "passed": False, "severity": "error"},)
    publish("erasures", "c", code_version="3", checks=rejected, make_current=False)
    found = json.loads(call("lineage", "diff", "erasures@-1", "erasures", "--json").output)
    assert [(d["kind"], d["before"], d["after"]) for d in found] == [("code", "1", "2")]
    assert f"{old.id} → {new.id}" in call("lineage", "diff", "erasures@-1", "erasures").output
    result = CliRunner().invoke(cli, ["lineage", "diff", "erasures@-2", "erasures"])
    assert result.exit_code == 2 and "has only 1 versions before the current one" in result.output


def test_the_doctor_says_what_is_wrong_and_ends_with_1(home, tmp_path):
    findings = json.loads(call("doctor", "--json").output)
    assert {f["what"] for f in findings} >= {"python", "packages", "profile", "disk", "dumps"}
    done = process("doctor", ZIPP_REDDIT__DUMPS_DIR=tmp_path / "nowhere")
    assert done.returncode == 1 and "✗ dumps: dump folder" in done.stdout


def test_settings_are_shown_by_name_with_who_set_them(home):
    facts = json.loads(call("settings", "imaging.steps", "raters", "--json").output)
    assert {fact["name"].split(".")[0] for fact in facts} == {"imaging", "raters"}
    changed = json.loads(call("settings", "--changed", "--json").output)
    assert "home" in {fact["name"] for fact in changed if fact["source"] == "environment"}
    done = process("settings", "imaging.steps", ZIPP_IMAGING__STEPS=9)
    assert re.search(r"imaging\.steps +9 +environment +Denoising", done.stdout)
    missing = CliRunner().invoke(cli, ["settings", "stepps"])
    assert missing.exit_code == 1 and "no setting has stepps in its name" in missing.output


def test_an_erasure_of_nobody_is_a_usage_error(home):
    result = CliRunner().invoke(cli, ["erase"])
    assert result.exit_code == 2 and "name somebody with --user" in result.output


def test_an_erasure_is_recorded_once_says_what_follows_and_keeps_no_name(home):
    receipt = json.loads(call("erase", "--user", "Alice_Private", "--json").output)
    assert (receipt["recorded"], receipt["known_before"]) == (1, 0)
    assert "erasures" in receipt["must_be_rebuilt"]
    again = json.loads(call("erase", "--user", "Alice_Private", "--json").output)
    assert (again["recorded"], again["known_before"]) == (0, 1)
    kept = "".join(p.read_text(errors="replace") for p in home.rglob("*") if p.is_file())
    assert "alice" not in kept.lower()


def test_lineage_stale_ends_with_1_where_an_input_was_made_anew(home, publish):
    source = publish("benchmark_scores")
    publish("leaderboard", inputs=(source.ref(),))
    assert json.loads(call("lineage", "stale", "--json").output)["consistent"]
    publish("benchmark_scores", "more", data_version="another")
    result = call("lineage", "stale")
    assert result.exit_code == 1 and "leaderboard was made from benchmark_scores" in result.output


def test_lineage_is_written_as_a_page_and_as_openlineage_events(home, publish, tmp_path):
    publish("comments", inputs=(publish("erasures").ref(),))
    page, events = tmp_path / "sub" / "lineage.html", tmp_path / "events.ndjson"
    assert call("lineage", "show", "comments", "--html", str(page)).exit_code == 0
    assert "Lineage of comments" in page.read_text()
    assert "2 events" in call("lineage", "export", "--out", str(events)).output
    jobs = [json.loads(line)["job"]["name"] for line in events.read_text().splitlines()]
    assert jobs == ["erasures", "comments"]


def test_prune_keeps_partial_work_that_the_next_run_goes_on_with(home):
    from assets.catalogue import catalogue
    from zipp_dagster.platform.materialise import expect
    from zipp_dagster.runner import local_platform

    entries = catalogue()
    wanted = expect(entries["sample_world"], None, local_platform(), entries).data_version[:16]
    folders = [
        home / "lake" / ".scratch" / asset / "_" / key
        for asset, key in (("sample_world", wanted), ("sample_world", "of-other-settings"),
                           ("no_such_asset", "x"), ("erasures", "not-the-current-one"))
    ]  # fmt: skip
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "half.txt").write_text("half")
    call("prune", "--dry-run")
    assert all(folder.exists() for folder in folders)
    call("prune")
    assert [folder.exists() for folder in folders] == [True, False, False, False]


def test_the_servers_get_absolute_paths(tmp_path, monkeypatch):
    from zipp_dagster.commands.servers import absolute_paths
    from zipp_dagster.settings import load_settings

    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text('extends = "sample"\n')
    monkeypatch.setenv("ZIPP_HOME", "home")
    monkeypatch.setenv("ZIPP_REDDIT__DUMPS_DIR", "dumps")
    assert absolute_paths(load_settings("mine.toml")) == {
        "ZIPP_PROFILE": str(tmp_path / "mine.toml"),
        "ZIPP_HOME": str(tmp_path / "home"),
        "ZIPP_REDDIT__DUMPS_DIR": str(tmp_path / "dumps"),
    }
    assert absolute_paths(load_settings("sample"))["ZIPP_PROFILE"] == "sample"
