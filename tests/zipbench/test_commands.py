from __future__ import annotations

import json

import pyarrow.parquet as pq
from click.testing import CliRunner

from tests.zipbench.test_loaders import sample, write_pip
from zipp_dagster.cli import cli
from zipp_dagster.zipbench.cases import SCHEMA


def run(*arguments: str):
    return CliRunner().invoke(cli, ["zipbench", *arguments])


def test_the_methods_are_listed_with_what_keeps_them_from_running():
    rows = json.loads(run("methods", "--json").stdout)["methods"]
    by_name = {row["method"]: row for row in rows}
    assert by_name["no_persona"]["unavailable"] is None and by_name["oracle"]["role"] == "control"


def test_a_public_data_set_becomes_canonical_rows_with_its_leaks_counted(tmp_path):
    folder = tmp_path / "pip"
    folder.mkdir()
    test = [sample("a fox, oil", 2, query="fox"), sample("an owl, ink", 3, query="owl")]
    write_pip(folder, "u", [sample("a fox, oil", 1)], test)
    out = tmp_path / "cases.parquet"
    result = run("cases", "--from", "pip", "--path", str(folder), "--out", str(out), "--json")
    counts = json.loads(result.stdout)
    assert (counts["cases"], counts["clean"], counts["leaked"]) == (2, 1, 1)
    assert pq.read_table(out).schema.names == SCHEMA.names


def test_a_folder_of_something_else_is_one_clear_line(tmp_path):
    result = run("cases", "--from", "pip", "--path", str(tmp_path))
    assert result.exit_code == 1 and "holds no USER.jsonl" in result.output
    result = run("cases", "--from", "imagenet", "--path", str(tmp_path))
    assert result.exit_code == 1 and "no loader for 'imagenet'" in result.output
