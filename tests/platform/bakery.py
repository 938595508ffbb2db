"""A bakery as a catalogue: artifacts of every kind that `materialise` knows."""

from __future__ import annotations

from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from zipp_dagster.fanout import FanOut
from zipp_dagster.platform.artifacts import CheckOutcome, Inputs, Skip, Summary, artifact, check
from zipp_dagster.platform.catalogue import Catalogue, Platform
from zipp_dagster.platform.lake import Draft
from zipp_dagster.platform.registry import Registry
from zipp_dagster.platform.tracking import Tracker
from zipp_dagster.platform.versions import FileEntry
from zipp_dagster.platform.warehouse import Warehouse
from zipp_dagster.progress import Progress
from zipp_dagster.section import Section

COMMON = {"group": "bakery", "kinds": {"python"}, "owner": "team:bakery"}
MONTHS = ["2024-01", "2024-02"]


class OvenSettings(Section):
    """How the oven is set; `shelves` says only where loaves lie."""

    operational: ClassVar[frozenset[str]] = frozenset({"shelves"})
    degrees: int = 200
    shelves: int = 2


def sack(platform: Platform, partition: str | None) -> str:
    """What lies outside the lake: a file of the test."""
    path = platform.home / f"sack-{partition or 'all'}.txt"
    return path.read_text() if path.exists() else "empty"


@artifact(**COMMON, external_state=sack)
def flour(out: Draft, platform: Platform) -> Summary:
    """Flour, as it is in the sack."""
    content = sack(platform, None)
    if content == "empty":
        raise Skip("the sack is empty")
    out.path("flour.txt").write_text(content)
    return Summary(metadata={"grams": 500, "external_files": [FileEntry("/mill", 1, "00")]})


@artifact(
    **COMMON, external_state=sack, inputs=["flour"], optional=["flour"], version_by_content=True
)
def raisins(out: Draft, platform: Platform) -> Summary:
    """Known by what they are, not by when they were made."""
    return Summary(rows=7)


@check("brown")
def brown(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """The loaf is brown."""
    text = draft.path("bread.txt").read_text()
    return CheckOutcome("black" not in text, f"it is {text}")


@artifact(**COMMON, inputs=["flour"], checks=[brown])
def bread(inputs: Inputs, out: Draft, oven: OvenSettings) -> Summary:
    """Bread of flour."""
    kind = inputs["flour"].path("flour.txt").read_text()
    out.path("bread.txt").write_text("black" if oven.degrees > 300 else f"brown {kind}")
    return Summary(metadata={"crumbs": 3, "crust": "hard"})


@artifact(**COMMON, inputs=["bread", "raisins"])
def sandwich(inputs: Inputs, out: Draft) -> Summary:
    """Needs bread."""
    out.path("x.txt").write_text("x")
    return Summary()


@artifact(**COMMON, inputs=["bread"], optional=["bread"])
def soup(inputs: Inputs, out: Draft) -> Summary:
    """Is made with or without bread."""
    with_bread = inputs.available("bread")
    return Summary(metadata={"with_bread": with_bread})


@artifact(**COMMON, partitioned=True, external_state=sack)
def milk(out: Draft, platform: Platform) -> Summary:
    """A month's milk."""
    out.path("part-0.parquet").write_bytes(b"")
    return Summary(rows=1, metadata={"state": sack(platform, out.partition)})


@artifact(**COMMON, partitioned=True, inputs=["milk", "flour"], optional=["flour"])
def cream(inputs: Inputs, out: Draft) -> Summary:
    """A month's cream, of the same month's milk."""
    return Summary(metadata={"milk": inputs["milk"].version.partition})


@artifact(**COMMON, inputs=["cream"])
def butter(inputs: Inputs, out: Draft) -> Summary:
    """Of all months' cream."""
    return Summary(metadata={"months": [v.partition for v in inputs["cream"].versions]})


@artifact(**COMMON, model_name="test-recipe")
def recipe(out: Draft, tracker: Tracker) -> Summary:
    """A model: registered in MLflow."""
    out.path("recipe.json").write_text("{}")
    tracker.log_history([{"step": 0, "taste": 0.5}, {"step": 1, "taste": 0.75}])
    return Summary(metadata={"quality": 0.75})


SEEN: list[str] = []


@artifact(**COMMON, after_publish=lambda platform, version: SEEN.append(version.id))
def shop_window(out: Draft) -> Summary:
    """Says when it has become current."""
    return Summary()


@artifact(**COMMON)
def everything(
    inputs: Inputs,
    out: Draft,
    tracker: Tracker,
    warehouse: Warehouse,
    registry: Registry,
    compute: FanOut,
    platform: Platform,
    progress: Progress,
    oven: OvenSettings,
) -> Summary:
    """Takes all that a body can ask for."""
    same = warehouse is platform.warehouse and registry is platform.registry
    return Summary(metadata={"same": same and compute is platform.compute, "oven": oven.degrees})


@artifact(**COMMON)
def jars(out: Draft) -> Summary:
    """Two jars with one number."""
    pq.write_table(pa.table({"jar": [1, 1]}), out.path("part-0.parquet"))
    return Summary(rows=2)


CATALOGUE = Catalogue(
    [sandwich, bread, soup, flour, raisins, milk, cream, butter, recipe, shop_window, everything],
    lambda platform: [str(month) for month in platform.lake.partitions("milk")],
)
