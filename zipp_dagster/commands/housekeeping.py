"""`zipp prune` and `zipp doctor`."""

from __future__ import annotations

import json
import os
import shutil
import sys
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from zipp_dagster.platform.catalogue import Platform
    from zipp_dagster.platform.partial_work import UsefulWork
    from zipp_dagster.settings import Settings


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def prune(dry_run: bool, as_json: bool) -> None:
    """Remove old versions from the lake, their history, and what killed runs left behind.

    Keeps what is current, what current versions were made from, what a model alias points to, and
    the newest `lake.keep_versions` of each asset partition. Partial work of killed runs stays for a
    day where the next run would go on with it. Dagster's runs and ticks and MLflow's
    runs go after `lake.keep_days`, but not those of kept versions or registered models.
    """
    from zipp_dagster.console import human_size
    from zipp_dagster.operation.instance import open_instance
    from zipp_dagster.operation.retention import forget_history, kept_versions
    from zipp_dagster.runner import local_platform

    platform = local_platform()
    sizes: dict[str, int] = {}
    keep, days = platform.settings.lake.keep_versions, platform.settings.lake.keep_days
    protected = platform.registry.protected_lake_versions()
    going = platform.lake.prune(keep, protected, dry_run=True)
    for entry in going:
        sizes[f"{entry.asset}/{entry.id}"] = entry.manifest.size
    kept = kept_versions(platform.lake, {version.id for version in going})
    if not dry_run:
        platform.lake.prune(keep, protected, useful=_goes_on(platform))
    with open_instance(platform.home) as instance:
        history = forget_history(instance, kept, days, dry_run=dry_run)
    before = datetime.now(UTC) - timedelta(days=days)
    tracked = platform.registry.prune_runs({v.id for v in kept}, before, dry_run=dry_run)
    if as_json:
        document = {
            "dry_run": dry_run,
            "removed": list(sizes),
            "bytes": sum(sizes.values()),
            "dagster_runs": list(history.runs),
            "ticks": history.ticks,
            "mlflow_runs": tracked,
        }
        click.echo(json.dumps(document, indent=1))
        return
    for name, size in sizes.items():
        click.echo(f"{name}  {human_size(size)}")
    verb = "would go" if dry_run else "removed"
    click.echo(f"{len(sizes)} versions, {human_size(sum(sizes.values()))} {verb}")
    click.echo(
        f"older than {days} days: {len(history.runs)} runs and {history.ticks} ticks of Dagster, "
        f"{len(tracked)} runs of MLflow {verb}"
    )


def _goes_on(platform: Platform) -> UsefulWork:
    """Whether the next run with these settings would go on with what a killed one left."""
    from assets.catalogue import catalogue
    from zipp_dagster.platform.materialise import expect
    from zipp_dagster.platform.versions import LakeError

    entries = catalogue()

    def useful(asset: str, partition: str | None, key: str) -> bool:
        if asset not in entries:
            return False
        try:
            expected = expect(entries[asset], partition, platform, entries)
        except LakeError:  # an input is missing: nobody can tell
            return True
        return expected.data_version.startswith(key)

    return useful


def _lake(chosen: Settings) -> tuple[str, str, str]:
    from zipp_dagster.platform.object_lake import ObjectLake, open_lake
    from zipp_dagster.platform.versions import LakeError

    try:
        lake = open_lake(chosen.lake.url, chosen.home_directory, chosen.lake.cache_gib)
        found = lake.check() if isinstance(lake, ObjectLake) else f"in {lake.root}"
    except LakeError as error:
        return "wrong", "lake", str(error)
    return "ok", "lake", found


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def doctor(as_json: bool) -> None:
    """Environment, disk, GPU and settings in words; ends with 1 if something is wrong."""
    findings = list(_findings())
    if as_json:
        document = [dict(zip(("state", "what", "detail"), finding)) for finding in findings]
        click.echo(json.dumps(document, indent=1))
    else:
        for state, what, detail in findings:
            mark = {"ok": "✓", "note": "·", "wrong": "✗"}[state]
            click.echo(f"{mark} {what}: {detail}")
    if any(state == "wrong" for state, _, _ in findings):
        sys.exit(1)


def _findings() -> Any:
    from zipp_dagster.settings import SettingsError, profile_path, settings

    yield "ok", "python", f"{sys.version.split()[0]} at {sys.executable}"
    packages = ("dagster", "duckdb", "mlflow", "great_expectations", "torch", "diffusers")
    yield "ok", "packages", ", ".join(f"{name} {version(name)}" for name in packages)
    try:
        chosen = settings()
    except SettingsError as error:
        yield "wrong", "settings", str(error)
        return
    yield "ok", "profile", f"{chosen.profile} ({profile_path(chosen.profile)})"
    overrides = sorted(name for name in os.environ if name.startswith("ZIPP_"))
    yield "note", "overrides", ", ".join(overrides) or "none"
    home = chosen.home_directory
    home.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(home).free / 2**30
    yield ("ok" if free > 2 else "wrong"), "disk", f"{free:.1f} GiB free at {home}"
    yield _lake(chosen)
    yield "note", "processors", f"{os.cpu_count()}, {chosen.warehouse.threads} threads for queries"
    import torch

    cuda = torch.cuda.is_available()
    yield (
        "note",
        "GPU",
        torch.cuda.get_device_name(0) if cuda else "none: everything runs on the CPU",
    )
    dumps = chosen.reddit.dumps_dir
    if dumps is None:
        yield "note", "dumps", "reddit.dumps_dir is not set: the sample world is generated"
    else:
        from zipp_dagster.reddit.dumps import DumpError, find_dumps

        try:
            found = find_dumps(dumps.expanduser())
            yield "ok", "dumps", f"{len(found)} files in {dumps}"
        except DumpError as error:
            yield "wrong", "dumps", str(error)
    media = chosen.reddit.media_dir
    if media is not None and not media.expanduser().is_dir():
        yield "wrong", "media", f"reddit.media_dir={media} is not a folder"
