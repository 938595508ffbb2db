"""`zipp models`, `zipp encoder`, `zipp train-sample-models`."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from zipp_dagster.platform.registry import ModelVersion


@click.group()
def models() -> None:
    """Registered models: list them, promote one to champion, roll back, read the history."""


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def list_models(as_json: bool) -> None:
    """Every registered version, its aliases, and who promoted it why."""
    from zipp_dagster.console import out
    from zipp_dagster.runner import local_platform

    registry = local_platform().registry
    entries = [_entry(version) for name in registry.names() for version in registry.versions(name)]
    if as_json:
        click.echo(json.dumps(entries, indent=1))
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("model", "version", "aliases", "created", "lake version", "promoted"):
        table.add_column(column)
    for entry in entries:
        promoted = entry["promoted"]
        why = f"{promoted['when']} by {promoted['who']}: {promoted['why']}" if promoted else ""
        table.add_row(
            entry["model"],
            str(entry["version"]),
            ", ".join(entry["aliases"]),
            entry["created"],
            entry["lake_version"],
            why,
        )
    out.print(table if entries else "no model is registered yet: zipp run")


@models.command()
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def history(model: str, as_json: bool) -> None:
    """Every change of a MODEL's champion: when, from and to which version, who, why.

    A champion that was changed in MLflow itself is written down first.
    """
    from zipp_dagster.console import out
    from zipp_dagster.platform.registry import RegistryError
    from zipp_dagster.runner import local_platform

    registry = local_platform().registry
    if model not in registry.names():
        raise RegistryError(f"no model is called {model}; there are: {', '.join(registry.names())}")
    registry.audit(model)
    moves = registry.moves(model)
    if as_json:
        click.echo(json.dumps([move.__dict__ for move in moves], indent=1))
        return
    for move in moves:
        out.print(
            f"{move.when}  {move.before or '–'} → {move.after or '–'}  {move.who}: {move.why}",
            markup=False,
        )
    if not moves:
        out.print(f"{model} has had no champion yet")


@models.command()
@click.argument("model")
@click.argument("version", type=int)
@click.option("--why", required=True, help="The reason, kept with the version.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def promote(model: str, version: int, why: str, as_json: bool) -> None:
    """Make a VERSION of a MODEL the champion; say what becomes stale."""
    from zipp_dagster.runner import local_platform

    registry = local_platform().registry
    _report(registry.promote(model, version, who=getpass.getuser(), why=why), as_json)


@models.command()
@click.argument("model")
@click.option("--why", required=True, help="The reason, kept with the version.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def rollback(model: str, why: str, as_json: bool) -> None:
    """Make the previous champion of a MODEL the champion again; say what becomes stale."""
    from zipp_dagster.runner import local_platform

    registry = local_platform().registry
    _report(registry.rollback(model, who=getpass.getuser(), why=why), as_json)


def _report(champion: ModelVersion, as_json: bool) -> None:
    from zipp_dagster.runner import full_plan, local_platform

    stale = [step.name for step in full_plan(local_platform()) if step.state != "fresh"]
    if as_json:
        click.echo(json.dumps({"champion": _entry(champion), "stale": stale}, indent=1))
        return
    click.echo(f"champion of {champion.name}: version {champion.version} ({champion.lake_version})")
    click.echo(
        f"stale now: {', '.join(stale) or 'nothing'}" + ("; zipp run rebuilds it" if stale else "")
    )


def _entry(version: ModelVersion) -> dict[str, Any]:
    tags = version.tags
    promoted = {key: tags.get(f"zipp.promoted.{key}") for key in ("who", "when", "why")}
    return {
        "model": version.name,
        "version": version.version,
        "aliases": list(version.aliases),
        "created": version.created.isoformat(timespec="seconds"),
        "asset": version.asset,
        "lake_version": version.lake_version,
        "mlflow_run": version.run_id,
        "promoted": promoted if promoted["who"] else None,
    }


@click.group()
def encoder() -> None:
    """Encoders on anybody's interaction tables."""


@encoder.command()
@click.option(
    "--train",
    "train_file",
    type=click.Path(path_type=Path),
    required=True,
    help="CSV with a header: user, item and, if you like, count. What the encoders learn from.",
)
@click.option(
    "--test",
    "test_file",
    type=click.Path(path_type=Path),
    required=True,
    help="CSV of the same form: its links that --train does not have are ranked.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def evaluate(train_file: Path, test_file: Path, as_json: bool) -> None:
    """Fit encoders on a user,item,count CSV and score the new links of another one."""
    from zipp_dagster.console import RunConsole, err, out
    from zipp_dagster.encoder.tables import evaluate_tables
    from zipp_dagster.settings import settings

    with RunConsole(err) as console:
        console.started("encoders", None)
        result = evaluate_tables(train_file, test_file, settings().encoder, console.progressed)
    if as_json:
        click.echo(json.dumps(result, indent=1))
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    columns = ("encoder", "hits10", "hits50", "mrr", "seconds")
    for column in columns:
        table.add_column(column)
    for row in result["results"]:
        cells = [row[c] if isinstance(row[c], str) else f"{row[c]:.3f}" for c in columns]
        table.add_row(*cells)
    out.print(
        f"{result['users']:,} users, {result['items']:,} items, {result['test_links']:,} new links"
    )
    out.print(table)


@click.command()
@click.option(
    "--out",
    "out_dir",
    type=click.Path(path_type=Path),
    required=True,
    help="Resumable state and results.",
)
@click.option("--minutes", type=float, help="Stop the generator's training after this long.")
@click.option(
    "--only", help="Comma-separated: clip, vae, unet, evaluation_encoder, factor_classifier."
)
def train_sample_models(out_dir: Path, minutes: float | None, only: str | None) -> None:
    """Train the small CLIP, Stable Diffusion and judges from scratch (hours on a CPU).

    An interrupted training resumes with the same command.
    """
    from zipp_dagster.imaging.train import main

    arguments = ["--out", str(out_dir)]
    arguments += ["--minutes", str(minutes)] if minutes is not None else []
    arguments += ["--only", only] if only else []
    main(arguments)
