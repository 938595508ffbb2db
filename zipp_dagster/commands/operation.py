"""`zipp bootstrap`: makes a Dagster instance ready before its first run."""

from __future__ import annotations

import json

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def bootstrap(as_json: bool) -> None:
    """Make the Dagster instance ready: dagster.yaml, concurrency pools, known months, lost runs.

    Uses DAGSTER_HOME where it is set (a deployment), else the folder below ZIPP_HOME. May be run
    again at any time, for instance after operation.pools changed. Closes runs of `zipp run` that
    were killed; run before a code server starts, it marks the runs that died with the one before.
    """
    from assets.catalogue import catalogue
    from zipp_dagster.dead_runs import RUNNING, close_dead_runs
    from zipp_dagster.operation.instance import instance_folder, open_instance, set_pools
    from zipp_dagster.operation.launcher import mark_lost_runs
    from zipp_dagster.platform.dagster_assets import MONTHS
    from zipp_dagster.runner import known_months, local_platform

    platform = local_platform()
    with open_instance(platform.home) as instance:
        home = instance.root_directory
        pools = set_pools(instance, platform.settings.operation.pools)
        months = known_months(catalogue(), platform)
        fresh = sorted(set(months) - set(instance.get_dynamic_partitions(MONTHS.name or "")))
        instance.add_dynamic_partitions(MONTHS.name or "", fresh)
        end_tracking = platform.registry.close_runs_of
        closed = close_dead_runs(instance, instance_folder(platform.home) / RUNNING, end_tracking)
        lost = mark_lost_runs(instance, end_tracking)
    document = {
        "dagster_home": home,
        "pools_set": pools,
        "months_added": fresh,
        "runs_closed": closed,
        "runs_lost": lost,
    }
    if as_json:
        click.echo(json.dumps(document, indent=1))
        return
    limits = ", ".join(f"{name} {limit}" for name, limit in sorted(pools.items()))
    click.echo(f"{document['dagster_home']}: pools {limits or 'as they were'}")
    click.echo(f"months added: {', '.join(fresh) or 'none'}")
    if closed:
        click.echo(f"closed, their processes were killed: {', '.join(closed)}")
    if lost:
        click.echo(f"lost with the code server, to fail once it answers again: {', '.join(lost)}")
