"""`zipp zipbench methods | cases | export`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from zipp_dagster.platform.catalogue import Platform
    from zipp_dagster.platform.lake import Lake


@click.group()
def zipbench() -> None:
    """The benchmark: its methods, cases of public data sets, and its export."""


@zipbench.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def methods(as_json: bool) -> None:
    """The registered methods, and which of them can run here."""
    from zipp_dagster.console import out
    from zipp_dagster.zipbench.registry import METHODS

    rows = [
        {
            "method": method.name,
            "role": method.role,
            "description": method.description,
            "unavailable": method.unavailable(),
        }
        for method in METHODS.values()
    ]
    if as_json:
        click.echo(json.dumps({"methods": rows}, indent=1))
        return
    for row in rows:
        state = f"[yellow]cannot run: {row['unavailable']}[/]" if row["unavailable"] else ""
        out.print(f"[bold]{row['method']}[/] ({row['role']}): {row['description']} {state}")


@zipbench.command()
@click.option(
    "--from", "name", required=True, help="Data set: pip, movielens, rapidata or pickapic."
)
@click.option(
    "--path", required=True, type=click.Path(exists=True, path_type=Path), help="Its files."
)
@click.option("--out", type=click.Path(path_type=Path), help="Parquet file of canonical rows.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def cases(name: str, path: Path, out: Path | None, as_json: bool) -> None:
    """Loads a public data set into canonical cases, and counts clean and leaking ones."""
    import pyarrow.parquet as parquet

    from zipp_dagster.zipbench.cases import CasesError
    from zipp_dagster.zipbench.loaders import load_cases

    try:
        found = load_cases(name, path)
    except (CasesError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(found.table(), out, compression="zstd")
    document = {**found.counts(), "dropped": dict(found.dropped)}
    if as_json:
        click.echo(json.dumps(document, indent=1))
        return
    for key, value in found.counts().items():
        click.echo(f"{key.replace('_', ' '):>20} {value:,}")
    for reason, count in found.dropped.items():
        click.echo(f"{'left out':>20} {count:,}: {reason}")


@zipbench.command()
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Directory."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def export(out: Path, as_json: bool) -> None:
    """The current benchmark as a Hugging Face data set directory that `datasets` loads.

    Cases, prompts, images, scores and a card. Real people's posts are exported only where the
    setting zipbench.show_real_personas allows it.
    """
    from zipp_dagster.runner import local_platform
    from zipp_dagster.zipbench.export import ExportSource, export_benchmark

    platform = local_platform()
    lake = platform.lake
    world = lake.find("sample_world")
    synthetic = world is not None and world.skipped is None
    if not (synthetic or platform.settings.zipbench.show_real_personas):
        raise click.ClickException(
            "these are posts of real people: set zipbench.show_real_personas to export them"
        )
    prompts = _table(lake, "benchmark_prompts")
    wanted = {sha for sha in prompts["reference_sha256"].to_pylist() if sha}
    names = ("benchmark_cases", "rewritten_prompts", "generated_images", "benchmark_scores")
    versions = {name: lake.current(name) for name in names}
    source = ExportSource(
        cases=_table(lake, "benchmark_cases"),
        prompts=_table(lake, "rewritten_prompts"),
        scores=_table(lake, "benchmark_scores"),
        images=versions["generated_images"].files(),
        references=_references(platform, wanted),
        facts={
            "profile": platform.settings.profile,
            **{name: f"version {version.id}" for name, version in versions.items()},
        },
        synthetic=synthetic,
    )
    try:
        report = export_benchmark(source, out)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    document = {"directory": str(out), "rows": dict(report.rows), "bytes": report.size}
    if as_json:
        click.echo(json.dumps(document, indent=1))
        return
    counts = ", ".join(f"{count:,} {name}" for name, count in report.rows.items())
    click.echo(f"{out}: {counts}; {report.size / 1e6:.1f} MB")
    click.echo(f'load it: datasets.load_dataset("{out}", "cases")')


def _table(lake: Lake, asset: str) -> Any:
    import pyarrow.parquet as parquet

    return parquet.read_table(lake.current(asset).files())


def _references(platform: Platform, wanted: set[str]) -> Mapping[str, bytes]:
    """SHA-256 → picture, of all months that have media; they lie in a nameless file, not in memory."""
    from zipp_dagster.imaging.stored_images import StoredImages

    lake = platform.lake
    files = [
        path
        for partition in lake.partitions("media")
        for path in lake.current("media", partition).files()
    ]
    return StoredImages(files, ["sha256"], wanted).spooled(platform.home) if files else {}
