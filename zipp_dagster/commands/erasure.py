"""`zipp erase`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME | t1_… | t3_…]...")
@click.option(
    "--user", "users", multiple=True, metavar="NAME", help="A Reddit user name; repeatable."
)
@click.option(
    "--item", "items", multiple=True, metavar="ID", help="A comment or post, t1_… or t3_…."
)
@click.option(
    "--file",
    "listing",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="One entry a line: u/NAME, or an item id such as t1_abc or t3_abc.",
)
@click.option("--reason", default="", help="A short note; it must name nobody.")
@click.option(
    "--apply", "apply_now", is_flag=True, help="Rebuild without them, then remove what held them."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def erase(
    names: tuple[str, ...],
    users: tuple[str, ...],
    items: tuple[str, ...],
    listing: Path | None,
    reason: str,
    apply_now: bool,
    as_json: bool,
) -> None:
    """Leave people or single items out, everywhere, from comments to images.

    Records them as keyed hashes (names are not kept) and says what must be rebuilt. With --apply it
    is rebuilt, and the old versions are removed; a receipt goes to reports/erasures/. --apply alone
    completes what was recorded before. After a kill, repeat the command.
    """
    from zipp_dagster import runner
    from zipp_dagster.erasing.apply import apply, must_be_rebuilt, receipts_of
    from zipp_dagster.erasing.holding import pending
    from zipp_dagster.erasing.receipts import open_receipt
    from zipp_dagster.erasing.record import record
    from zipp_dagster.personal import PersonaStore
    from zipp_dagster.reddit.erasure import Request

    lines = listing.read_text(encoding="utf-8").splitlines() if listing else []
    entries = [*names, *(line.strip() for line in lines if line.strip())]
    request = Request.of(
        [*users, *(entry for entry in entries if not _is_item(entry))],
        [*items, *(entry for entry in entries if _is_item(entry))],
    )
    platform = runner.local_platform()
    nobody = not request.users and not request.items
    if nobody and not (apply_now and (pending(platform) or open_receipt(platform))):
        raise click.UsageError(
            "name somebody with --user, or a file with --file; nothing recorded waits for --apply"
        )
    from assets.sources import pseudonymizer

    recorded = record(platform, request, reason)
    PersonaStore(platform).forget_erased()
    document: dict[str, Any] = {
        "recorded": recorded.added,
        "known_before": recorded.known_before,
        "unknown": recorded.unknown,
        "items_of_users": recorded.items_of_users,
    }
    if apply_now:
        receipt = _applied(platform, apply)
        document["receipt"] = receipt.to_json() if receipt else None
        if receipt is None:
            marks = request.marks(pseudonymizer(platform))
            document["receipts_before"] = receipts_of(platform, marks)
    else:
        document["must_be_rebuilt"] = ["erasures", *must_be_rebuilt(platform)]
    if as_json:
        click.echo(json.dumps(document, indent=1))
    else:
        _show(document, platform)


def _is_item(entry: str) -> bool:
    return entry.lower().startswith(("t1_", "t3_"))


def _applied(platform: Any, apply: Any) -> Any:
    from zipp_dagster.console import RunConsole, err

    with RunConsole(err) as console:
        return apply(platform, console)


def _show(document: dict[str, Any], platform: Any) -> None:
    from zipp_dagster.erasing.receipts import folder_of

    click.echo(f"{document['recorded']} erasures recorded, {document['known_before']} were known")
    if document["unknown"]:
        click.echo(
            f"{document['unknown']} of those named are unknown: nothing of theirs is kept here. Their "
            "tombstones stay, so that later dumps leave them out"
        )
    if "must_be_rebuilt" in document:
        names = ", ".join(document["must_be_rebuilt"])
        click.echo(f"must be rebuilt (zipp run, then --apply; or --apply at once): {names}")
        return
    receipt = document["receipt"]
    if receipt is None:
        known = ", ".join(document["receipts_before"]) or "none"
        click.echo(f"nothing is left to erase; receipts: {known}")
        return
    for entry in receipt["removed"]:
        name = entry["asset"] + (f"[{entry['partition']}]" if entry["partition"] else "")
        removed = entry["rows_removed"]
        rows = "" if removed is None else f", {removed} rows less"
        click.echo(f"{name}: {entry['old_version']} → {entry['new_version'] or 'none'}{rows}")
    click.echo(f"{len(receipt['erased_versions'])} versions erased")
    for model in receipt["models"]:
        click.echo(f"model {model['model']} {model['version']} was trained with it: flagged")
    for path in receipt["source_files"]:
        click.echo(f"still holds it, yours to delete: {path}")
    click.echo(f"receipt: {folder_of(platform) / (receipt['receipt'] + '.json')}")
