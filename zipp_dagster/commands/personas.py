"""`zipp personas` and `zipp personalize`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click


@click.group()
def personas() -> None:
    """Show, edit, import and export personas."""


@personas.command()
@click.argument("user", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
@click.option("--limit", default=10, show_default=True, help="How many to list without USER.")
def show(user: str | None, as_json: bool, limit: int) -> None:
    """The persona of USER (a pseudonym, as listed), or the first few personas."""
    from zipp_dagster.personal import PersonaStore
    from zipp_dagster.runner import local_platform

    store = PersonaStore(local_platform())
    entries = [store.get(user)] if user else store.list(limit)
    if as_json:
        click.echo(json.dumps([entry.to_json() for entry in entries], indent=1))
        return
    for entry in entries:
        click.echo(
            f"{entry.user}  {entry.origin}"
            + (f"  quarantined: {entry.quarantined}" if entry.quarantined else "")
        )
        click.echo(f"  {entry.persona.summary}\n")


@personas.command()
@click.argument("user")
def edit(user: str) -> None:
    """Open USER's persona in an editor; the edited one is used from then on."""
    from zipp_dagster.personal import PersonaStore
    from zipp_dagster.runner import local_platform

    store = PersonaStore(local_platform())
    before = json.dumps(store.get(user).persona.model_dump(mode="json"), indent=1)
    after = click.edit(before, extension=".json")
    if after is None or after.strip() == before.strip():
        click.echo("nothing was changed")
        return
    store.save(user, json.loads(after))
    click.echo(f"the edited persona of {user} is kept; personalize uses it")


@personas.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def import_(file: Path) -> None:
    """Take personas from a JSON FILE: a list of {"user": …, "persona": {…}}."""
    from zipp_dagster.personal import PersonaStore
    from zipp_dagster.runner import local_platform

    count = PersonaStore(local_platform()).load(file)
    click.echo(f"{count} personas imported")


@personas.command()
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="The JSON file to write."
)
def export(out: Path) -> None:
    """Write all usable personas to a JSON file, those of real people only if a setting allows it."""
    from zipp_dagster.personal import PersonaStore
    from zipp_dagster.runner import local_platform

    count = PersonaStore(local_platform()).export(out)
    click.echo(f"{count} personas written to {out}")


@click.command()
@click.option("--prompt", required=True, help="What to draw.")
@click.option("--user", help="A mined person's pseudonym, see `zipp personas show`.")
@click.option("--persona", "persona_text", help="A persona in your own words.")
@click.option("--shots", default=0, show_default=True, help="Past prompts of the user as examples.")
@click.option("--seed", default=0, show_default=True, help="The same seed draws both images.")
@click.option("--out", "out_dir", type=click.Path(path_type=Path), required=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def personalize(
    prompt: str,
    user: str | None,
    persona_text: str | None,
    shots: int,
    seed: int,
    out_dir: Path,
    as_json: bool,
) -> None:
    """The generic and the personalised prompt, and both images, from one seed."""
    from zipp_dagster.personal import Personalizer
    from zipp_dagster.runner import local_platform

    if (user is None) == (persona_text is None):
        raise click.UsageError("give either --user or --persona")
    result: dict[str, Any] = Personalizer(local_platform()).personalize(
        prompt, user=user, persona_text=persona_text, shots=shots, seed=seed, out_dir=out_dir
    )
    if as_json:
        click.echo(json.dumps(result, indent=1))
        return
    for name in ("generic", "personalized"):
        click.echo(f"{name}: {result[name]['prompt']}\n  {result[name]['image']}")
