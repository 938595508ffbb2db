"""`zipp lineage show | verify | diff | stale | export`."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from zipp_dagster.platform.lake import Lake
    from zipp_dagster.platform.lineage import LineageNode
    from zipp_dagster.platform.versions import Version


@click.group()
def lineage() -> None:
    """What an asset was made from, what is stale, whether files are intact, why versions differ.

    Reads the lake's manifests only: works with the Dagster database deleted.
    """


@lineage.command()
@click.argument("asset")
@click.option("--partition", metavar="YYYY-MM", help="The month of a monthly asset.")
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a page instead: the graph, every version, the lineage of columns.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def show(asset: str, partition: str | None, page: Path | None, as_json: bool) -> None:
    """The provenance tree of an asset's current version, down to the dump files.

    ASSET may be ASSET@VERSION, also of a version that was erased since.
    """
    from rich.tree import Tree

    from zipp_dagster.console import out
    from zipp_dagster.platform.lineage import lineage_tree
    from zipp_dagster.runner import local_platform

    if page is not None:
        _write_page(asset, partition, page)
        return
    asset, _, version = asset.partition("@")
    root = lineage_tree(local_platform().lake, asset, partition, version or None)
    if as_json:
        click.echo(json.dumps(root.to_json(), indent=1))
        return
    shown: set[str] = set()

    def grow(node: LineageNode, parent: Any) -> None:
        branch = parent.add(_label(node, node.version in shown))
        if node.version in shown:
            return
        shown.add(node.version)
        for path in node.external_files:
            branch.add(f"[cyan]{path}[/]")
        for child in node.inputs:
            grow(child, branch)

    tree = Tree(f"[bold]{asset}[/] is made from", guide_style="dim")
    grow(root, tree)
    out.print(tree)
    files = {path for node in root.walk() for path in node.external_files}
    out.print(f"{len(shown)} versions, {len(files)} dump files")


def _write_page(asset: str, partition: str | None, page: Path) -> None:
    from assets.catalogue import catalogue
    from zipp_dagster.console import out
    from zipp_dagster.platform.lineage_page import lineage_page
    from zipp_dagster.runner import local_platform

    html = lineage_page(local_platform().lake, catalogue(), asset, partition)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(html, encoding="utf-8")
    out.print(f"{page} written", markup=False)


def _label(node: LineageNode, seen: bool) -> str:
    name = node.asset if node.partition is None else f"{node.asset}\\[{node.partition}]"
    text = f"{name} [dim]{node.version}[/]"
    if node.erased is not None:
        text += f" [yellow]erased {node.erased['at']}, receipt {node.erased['receipt']}[/]"
        return text + (" [dim](above)[/]" if seen and node.inputs else "")
    if not node.kept:
        return f"{text} [yellow]pruned[/]"
    if node.rows is not None:
        text += f" {node.rows:,} rows"
    if node.skipped:
        text += f" [yellow]skipped: {node.skipped}[/]"
    return text + (" [dim](above)[/]" if seen and node.inputs else "")


@lineage.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def verify(as_json: bool) -> None:
    """Re-hash every file of every version, and the dump files; ends with 1 on damage."""
    from zipp_dagster.console import human_size, out
    from zipp_dagster.platform.lineage import verify as verify_lake
    from zipp_dagster.runner import local_platform

    result = verify_lake(local_platform().lake)
    if as_json:
        document = {
            "passed": result.passed,
            "versions": result.versions,
            "files": result.files,
            "bytes": result.bytes,
            "damages": [damage.__dict__ for damage in result.damages],
            "erased": [
                {
                    "asset": entry.asset,
                    "partition": entry.partition,
                    "version": entry.version,
                    "at": entry.erased_at,
                    "receipt": entry.receipt,
                }
                for entry in result.erased
            ],
        }
        click.echo(json.dumps(document, indent=1))
    else:
        for damage in result.damages:
            where = (
                damage.asset if damage.partition is None else f"{damage.asset}[{damage.partition}]"
            )
            out.print(f"{damage.state}: {where} {damage.version}: {damage.file}", markup=False)
        for receipt, count in Counter(entry.receipt for entry in result.erased).items():
            out.print(f"erased: {count} versions, receipt {receipt}", markup=False)
        verdict = "[green]all intact[/]" if result.passed else "[red]damaged[/]"
        size = human_size(result.bytes)
        out.print(f"{verdict}: {result.files} files ({size}) in {result.versions} versions")
    if not result.passed:
        sys.exit(1)


@lineage.command()
@click.argument("before")
@click.argument("after")
@click.option("--partition", metavar="YYYY-MM", help="The month of a monthly asset.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def diff(before: str, after: str, partition: str | None, as_json: bool) -> None:
    """Why two versions of an asset differ: the first inputs, settings or code that changed.

    BEFORE and AFTER are ASSET@VERSION, or ASSET@-1 for the version before the current one; AFTER
    may be ASSET for the current one.
    """
    from zipp_dagster.console import out
    from zipp_dagster.platform.lineage import diff as compare
    from zipp_dagster.runner import local_platform

    lake = local_platform().lake
    old, new = _version(lake, before, partition), _version(lake, after, partition)
    if old.asset != new.asset:
        raise click.UsageError(f"{old.asset} and {new.asset} are different assets")
    found = compare(lake, old, new)
    if as_json:
        click.echo(json.dumps([entry.__dict__ for entry in found], indent=1))
        return
    out.print(f"{old.asset}: {old.id} → {new.id}")
    for entry in found:
        where = entry.asset if entry.partition is None else f"{entry.asset}[{entry.partition}]"
        out.print(
            f"  {where}: {entry.kind} {entry.what}: {entry.before} → {entry.after}", markup=False
        )
    if not found:
        out.print("  no difference in data, code or settings")


@lineage.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def stale(as_json: bool) -> None:
    """Current versions whose inputs are no longer current; ends with 1 where there are any.

    Needs the lake only. What a run would make, and why, is `zipp run --plan`.
    """
    from zipp_dagster.console import out
    from zipp_dagster.platform.staleness import staleness
    from zipp_dagster.runner import local_platform

    report = staleness(local_platform().lake)
    if as_json:
        click.echo(json.dumps(report.to_json(), indent=1))
    else:
        for entry in report.outdated:
            out.print(entry.sentence, markup=False)
        if report.affected:
            out.print(f"and what follows from them: {', '.join(report.affected)}", markup=False)
        verdict = "[green]consistent[/]" if report.consistent else "[red]outdated[/]"
        out.print(
            f"{verdict}: {len(report.outdated)} outdated inputs in {report.versions} current versions"
        )
    if not report.consistent:
        sys.exit(1)


@lineage.command()
@click.option(
    "--out",
    "target",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The file: one OpenLineage run event a line.",
)
@click.option("--namespace", default="zipp", show_default=True, help="Of jobs and datasets.")
@click.option("--only-current", is_flag=True, help="Leave older and rejected versions out.")
def export(target: Path, namespace: str, only_current: bool) -> None:
    """Export the lineage as OpenLineage events, for Marquez, DataHub and other catalogues."""
    from openlineage.client.serde import Serde

    from assets.catalogue import catalogue
    from zipp_dagster.console import out
    from zipp_dagster.platform.openlineage import events
    from zipp_dagster.runner import local_platform

    found = events(local_platform().lake, catalogue(), namespace, only_current=only_current)
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with target.open("w", encoding="utf-8") as file:
        for event in found:
            file.write(Serde.to_json(event) + "\n")
            written += 1
    out.print(f"{written} events in {target}", markup=False)


def _version(lake: Lake, text: str, partition: str | None) -> Version:
    asset, _, name = text.partition("@")
    if not name:
        return lake.current(asset, partition)
    if name.startswith("-") and name[1:].isdigit():
        current = lake.current(asset, partition)
        kept = [v for v in lake.versions(asset, partition) if not v.manifest.rejected]
        older = [version for version in kept if version.id <= current.id]
        steps = int(name[1:])
        if steps >= len(older):
            raise click.UsageError(
                f"{asset} has only {len(older) - 1} versions before the current one"
            )
        return older[-1 - steps]
    return lake.version(asset, name, partition)
