"""The lineage of one asset as a self-contained HTML page: graph, versions, columns.

The page holds numbers, names of assets and columns, and hashes; no row of any table.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import jinja2

from zipp_dagster.platform.artifacts import first_line
from zipp_dagster.platform.catalogue import Catalogue
from zipp_dagster.platform.lake import Lake
from zipp_dagster.platform.layered_drawing import BOX_HEIGHT, BOX_WIDTH, draw
from zipp_dagster.platform.lineage import LineageNode, lineage_tree
from zipp_dagster.platform.staleness import staleness
from zipp_dagster.platform.versions import LakeError


@dataclass(frozen=True)
class Box:
    """An asset of the tree: its inputs and its versions."""

    name: str
    inputs: tuple[str, ...]
    nodes: list[LineageNode]


def lineage_page(lake: Lake, catalogue: Catalogue, asset: str, partition: str | None = None) -> str:
    """The page of an asset's current version, down to the dump files."""
    root = lineage_tree(lake, asset, partition)
    boxes = _boxes(root)
    drawing = draw({name: box.inputs for name, box in boxes.items()})
    report = staleness(lake)
    stale = {entry.version: entry.sentence for entry in report.outdated}
    columns = {name: catalogue.column_lineage(name) for name in boxes if name in catalogue}
    shown = {name: _box(box, lake, catalogue, stale) for name, box in boxes.items()}
    data = {
        "asset": asset,
        "boxes": shown,
        "columns": {name: found for name, found in columns.items() if found},
    }
    template = files(__package__).joinpath("templates/lineage.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(template).render(
        asset=asset,
        version=root.version,
        created=root.created,
        boxes=boxes,
        drawing=drawing,
        box=(BOX_WIDTH, BOX_HEIGHT),
        states={name: entry["state"] for name, entry in shown.items()},
        dump_files=sorted({path for node in root.walk() for path in node.external_files}),
        versions=sum(len(box.nodes) for box in boxes.values()),
        # Inside a script element only `<` can end it early.
        data=json.dumps(data).replace("<", "\\u003c"),
    )


def _boxes(root: LineageNode) -> dict[str, Box]:
    inputs: dict[str, set[str]] = {}
    nodes: dict[str, list[LineageNode]] = {}
    for node in root.walk():
        nodes.setdefault(node.asset, []).append(node)
        inputs.setdefault(node.asset, set()).update(child.asset for child in node.inputs)
    return {
        name: Box(name, tuple(sorted(inputs[name])), sorted(found, key=lambda n: n.partition or ""))
        for name, found in nodes.items()
    }


def _box(box: Box, lake: Lake, catalogue: Catalogue, stale: Mapping[str, str]) -> dict[str, Any]:
    entry = catalogue.get(box.name)
    versions = [_version(node, lake, stale) for node in box.nodes]
    states = {version["state"] for version in versions}
    worst = next((s for s in ("pruned", "outdated", "skipped") if s in states), "current")
    return {
        "description": first_line(entry.description) if entry else "",
        "group": entry.group if entry else "",
        "inputs": list(box.inputs),
        "state": worst,
        "versions": versions,
    }


def _version(node: LineageNode, lake: Lake, stale: Mapping[str, str]) -> dict[str, Any]:
    state = "current"
    if not node.kept:
        state = "pruned"
    elif node.version in stale:
        state = "outdated"
    elif node.skipped:
        state = "skipped"
    details: dict[str, Any] = {}
    if node.kept:
        try:
            manifest = lake.version(node.asset, node.version, node.partition).manifest
        except LakeError as error:  # removed while this page was made
            details = {"problem": str(error)}
        else:
            details = {
                "files": len(manifest.files),
                "bytes": manifest.size,
                "seconds": manifest.seconds,
                "config": manifest.config,
                "checks": [[c["name"], c["passed"], c["severity"]] for c in manifest.checks],
            }
    return {
        "partition": node.partition,
        "version": node.version,
        "created": node.created,
        "run": node.run,
        "code": node.code_version,
        "rows": node.rows,
        "skipped": node.skipped,
        "outdated": stale.get(node.version),
        "files_outside": node.external_files,
        "state": state,
        **details,
    }
