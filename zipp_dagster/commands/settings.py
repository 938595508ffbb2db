"""`zipp settings`: every setting with its value, where that comes from, and what it means."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

SHOWN_CHARS = 48
"""Of a longer value, such as a list, the table shows the beginning; --json has it all."""


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]…")
@click.option("--changed", is_flag=True, help="Only those that a profile or the environment sets.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def settings(names: tuple[str, ...], changed: bool, as_json: bool) -> None:
    """Every setting: its value, who set it, and what it means. Secrets are masked.

    NAME is a section (imaging), a setting (imaging.steps) or a part of one (batch): all that contain one
    of them are shown. A setting is changed by a profile, or by the environment: ZIPP_IMAGING__STEPS=20
    sets imaging.steps.
    """
    from zipp_dagster.settings import described, load_settings

    wanted = [name.lower() for name in names]
    found = [
        fact
        for fact in described(load_settings())
        if (not wanted or any(name in fact.name for name in wanted))
        and (not changed or fact.source != "default")
    ]
    if not found and names:
        click.echo(f"no setting has {' or '.join(names)} in its name", err=True)
        sys.exit(1)
    if as_json:
        click.echo(json.dumps([asdict(fact) for fact in found], indent=1, ensure_ascii=False))
        return
    from rich.markup import escape
    from rich.table import Table

    from zipp_dagster.console import out

    table = Table(box=None, pad_edge=False)
    table.add_column("setting", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("set by", no_wrap=True)
    table.add_column("meaning")
    colours = {"default": "dim", "profile": "cyan", "environment": "green"}
    for fact in found:
        text = "–" if fact.value is None else fact.value
        text = text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)
        text = text if len(text) <= SHOWN_CHARS else f"{text[: SHOWN_CHARS - 1]}…"
        source = f"[{colours[fact.source]}]{fact.source}[/]"
        table.add_row(fact.name, escape(text), source, escape(fact.meaning))
    out.print(table)
