"""The lineage for other people's tools: OpenLineage events, and a page."""

from __future__ import annotations

import json
import re

import pytest
from openlineage.client.serde import Serde

from zipp_dagster.platform.artifacts import Summary, artifact, sql_artifact
from zipp_dagster.platform.catalogue import Catalogue
from zipp_dagster.platform.lineage_page import lineage_page
from zipp_dagster.platform.openlineage import events
from zipp_dagster.platform.sql_models import load_model
from zipp_dagster.platform.versions import FileEntry

CONTRACT = """
name: loaves
description: What was baked, by baker.
owner: team:bakery
columns:
  - {name: baker, type: VARCHAR, description: Who baked.}
  - {name: loaves, type: BIGINT, description: How many.}
"""


@pytest.fixture
def catalogue(tmp_path):
    """Dough of a dump file, and a SQL model that counts it."""

    @artifact(group="bakery", kinds={"python"}, owner="team:bakery", partitioned=True)
    def dough() -> Summary:
        """A month's dough. Made <by> hand."""
        return Summary()

    (tmp_path / "loaves.yml").write_text(CONTRACT)
    (tmp_path / "loaves.sql").write_text(
        "SELECT name AS baker, count(*) AS loaves FROM dough GROUP BY name"
    )
    model = load_model(tmp_path / "loaves.sql")
    return Catalogue([dough, sql_artifact(model)], lambda platform: [])


@pytest.fixture
def bakery(publish):
    """A month of dough from one dump file, counted; the months before were counted too."""
    dump = FileEntry("/dumps/RC_2024-01.zst", 3, "ab" * 32)
    check = {"name": "contract", "blocking": True, "passed": True, "severity": "error"}
    dough = [publish("dough", month, external_files=(dump,)) for month in ("2024-01", "2024-02")]
    return dough, publish("loaves", inputs=dough, rows=7, checks=(check,))


def exported(lake, catalogue, **options):
    return [json.loads(Serde.to_json(e)) for e in events(lake, catalogue, "bakery", **options)]


def test_each_version_is_one_completed_run_of_its_asset(lake, catalogue, bakery):
    dough, loaves = bakery
    found = exported(lake, catalogue)
    assert [(e["job"]["name"], e["eventType"]) for e in found] == [
        ("dough", "COMPLETE"),
        ("dough", "COMPLETE"),
        ("loaves", "COMPLETE"),
    ]
    assert len({e["run"]["runId"] for e in found}) == 3
    assert exported(lake, catalogue) == found  # the same version is always the same run
    event = found[-1]
    assert [(i["name"], i["facets"]["version"]["datasetVersion"]) for i in event["inputs"]] == [
        ("dough/2024-01", dough[0].id),
        ("dough/2024-02", dough[1].id),
    ]
    (output,) = event["outputs"]
    assert output["facets"]["version"]["datasetVersion"] == loaves.id
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 7
    assert output["facets"]["dataQualityAssertions"]["assertions"] == [
        {"assertion": "contract", "success": True, "severity": "error", "params": {}}
    ]


def test_a_dump_file_is_an_input_with_its_hash_as_version(lake, catalogue, bakery):
    source = exported(lake, catalogue)[0]["inputs"][0]
    assert (source["namespace"], source["name"]) == ("file", "/dumps/RC_2024-01.zst")
    assert source["facets"]["version"]["datasetVersion"] == "ab" * 32


def test_schema_sql_owner_and_columns_come_from_the_catalogue(lake, catalogue, bakery):
    event = exported(lake, catalogue)[-1]
    assert event["job"]["facets"]["sql"]["query"].startswith("SELECT name AS baker")
    assert event["job"]["facets"]["ownership"]["owners"] == [{"name": "team:bakery"}]
    facets = event["outputs"][0]["facets"]
    assert [f["name"] for f in facets["schema"]["fields"]] == ["baker", "loaves"]
    baker = facets["columnLineage"]["fields"]["baker"]["inputFields"]
    assert [(f["name"], f["field"]) for f in baker] == [
        ("dough/2024-01", "name"),
        ("dough/2024-02", "name"),
    ]


def test_a_version_of_an_asset_that_is_gone_from_the_code_is_still_exported(
    lake, catalogue, publish
):
    publish("retired")
    (event,) = exported(lake, catalogue)
    assert event["job"]["name"] == "retired" and event["job"]["facets"] == {}


def test_a_rejected_version_is_a_failed_run_and_is_left_out_of_what_is_current(
    lake, catalogue, publish
):
    bad = {"name": "contract", "blocking": True, "passed": False, "severity": "error"}
    publish("dough", "2024-01", checks=(bad,), make_current=False)
    good = publish("dough", "2024-01")
    assert [e["eventType"] for e in exported(lake, catalogue)] == ["FAIL", "COMPLETE"]
    (current,) = exported(lake, catalogue, only_current=True)
    assert current["outputs"][0]["facets"]["version"]["datasetVersion"] == good.id


def data_of(page: str) -> dict:
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])


def test_the_page_holds_every_asset_version_column_and_dump_file(lake, catalogue, bakery):
    dough, _ = bakery
    page = lineage_page(lake, catalogue, "loaves")
    assert page.count('role="button" data-name=') == 2 and "/dumps/RC_2024-01.zst" in page
    data = data_of(page)
    assert [v["version"] for v in data["boxes"]["dough"]["versions"]] == [d.id for d in dough]
    assert data["columns"]["loaves"]["baker"] == [["dough", "name"]]
    assert data["boxes"]["loaves"]["versions"][0]["checks"] == [["contract", True, "error"]]


def test_the_page_shows_what_was_remade_skipped_or_removed_since(lake, catalogue, publish, bakery):
    dough, _ = bakery
    publish("dough", "2024-01", text="rye")
    states = {
        n: b["state"] for n, b in data_of(lineage_page(lake, catalogue, "loaves"))["boxes"].items()
    }
    assert states == {"dough": "current", "loaves": "outdated"}
    dough[1].directory.rename(lake.root / "gone")
    states = {
        n: b["state"] for n, b in data_of(lineage_page(lake, catalogue, "loaves"))["boxes"].items()
    }
    assert states["dough"] == "pruned"
    publish("loaves", skipped="no flour")
    page = data_of(lineage_page(lake, catalogue, "loaves"))
    assert page["boxes"]["loaves"]["state"] == "skipped"


def test_text_of_descriptions_cannot_end_the_pages_script(lake, catalogue, publish):
    publish("dough", "2024-01", config={"note": "</script><script>alert(1)</script>"})
    page = lineage_page(lake, catalogue, "dough", "2024-01")
    assert "<script>alert(1)" not in page
    (version,) = data_of(page)["boxes"]["dough"]["versions"]
    assert version["config"]["note"].startswith("</script>")
