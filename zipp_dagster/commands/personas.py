"""`zipp personas` and `zipp personalize`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from zipp_dagster.personal import PersonaEntry, PersonaStore

AS_JSON = click.option(
    "--json", "as_json", is_flag=True, help="One JSON document on standard output."
)


@click.group()
def personas() -> None:
    """Show, edit, import and export personas.

    Edited, imported and hand-written ones are kept in ZIPP_HOME/personas and win over mined ones.
    """


@personas.command()
@click.argument("user", required=False)
@AS_JSON
@click.option(
    "--limit",
    default=10,
    show_default=True,
    type=click.IntRange(min=1),
    help="How many to list without USER.",
)
def show(user: str | None, as_json: bool, limit: int) -> None:
    """The persona of USER (a pseudonym, as listed, or a name), or the first few personas."""
    store = _store()
    entries = [store.get(user)] if user is not None else store.list(limit)
    if as_json:
        click.echo(json.dumps([entry.to_json() for entry in entries], indent=1))
    else:
        for entry in entries:
            _print(entry)
        if not entries:
            click.echo("no persona to list; `zipp personas edit NAME` writes one")
    if user is None:
        _say_who_is_hidden(store)


def _print(entry: PersonaEntry) -> None:
    reason = f"  quarantined: {entry.quarantined}" if entry.quarantined else ""
    click.echo(f"{entry.user}  {entry.origin}{reason}")
    if entry.persona is not None:
        click.echo(f"  {entry.persona.summary}")
    click.echo()


def _say_who_is_hidden(store: PersonaStore) -> None:
    if store.hides_people:
        click.echo(
            "personas of real people are left out; ZIPP_ZIPBENCH__SHOW_REAL_PERSONAS=true lets them "
            "in, `zipp personas show USER` shows one",
            err=True,
        )


@personas.command()
@click.argument("user")
@AS_JSON
def edit(user: str, as_json: bool) -> None:
    """Open USER's persona in an editor ($EDITOR); the edited one is used from then on.

    With a new NAME, write a persona by hand.
    """
    from zipp_dagster.personal import PersonaError

    store = _store()
    before = _to_edit(store, user)
    text = before
    while True:
        after = click.edit(text, extension=".json")
        if after is None or after.strip() == before.strip():
            click.echo(json.dumps(None) if as_json else "nothing was changed")
            return
        text = after
        try:
            entry = store.save(user, json.loads(text))
            break
        except (PersonaError, json.JSONDecodeError) as error:
            click.echo(f"not kept: {error}", err=True)
            click.confirm("edit again?", default=True, abort=True, err=True)
    if as_json:
        click.echo(json.dumps(entry.to_json(), indent=1))
    else:
        click.echo(f"the persona of {entry.user} is kept; personalize uses it")


def _to_edit(store: PersonaStore, user: str) -> str:
    """The persona as JSON text: a blank one where it is quarantined, or for a new name."""
    from zipp_dagster.persona.schema import Persona
    from zipp_dagster.personal import UnknownUser
    from zipp_dagster.personal.entries import is_pseudonym, user_names

    blank = Persona(summary="")
    try:
        persona = store.get(user).persona or blank
    except UnknownUser:
        if is_pseudonym(user_names(user)[0]):
            raise
        click.echo(f"there is no persona of {user!r} yet: this writes one", err=True)
        persona = blank
    return json.dumps(persona.model_dump(mode="json"), indent=1, ensure_ascii=False)


@personas.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@AS_JSON
def import_(file: Path, as_json: bool) -> None:
    """Take personas from a JSON FILE: a list of {"user": …, "persona": {…}}; all or none."""
    count = _store().load(file)
    click.echo(json.dumps({"imported": count}) if as_json else f"{count} personas imported")


@personas.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="A file ending in .json, or a folder: a data set with a card, ready for a hub.",
)
@AS_JSON
def export(out: Path, as_json: bool) -> None:
    """Write all usable personas, those of real people only if a setting allows it.

    A .json file can be imported again; a folder is a data set (Parquet and a card), which
    `datasets.load_dataset` reads.
    """
    store = _store()
    count = store.export(out) if out.suffix == ".json" else store.export_dataset(out)
    _say_who_is_hidden(store)
    if as_json:
        document = {"exported": count, "file": str(out), "real_people_hidden": store.hides_people}
        click.echo(json.dumps(document))
    else:
        click.echo(f"{count} personas written to {out}")


def _store() -> PersonaStore:
    from zipp_dagster.personal import PersonaStore
    from zipp_dagster.runner import local_platform

    return PersonaStore(local_platform())


@click.command()
@click.option("--prompt", required=True, help="What to draw.")
@click.option("--user", help="Whose persona, see `zipp personas show`: a pseudonym or a name.")
@click.option("--persona", "persona_text", help="A persona in your own words.")
@click.option(
    "--intake",
    "intake_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A filled form as JSON: age, gender, country, language, profession, hobbies (a list).",
)
@click.option("--age", type=click.IntRange(18, 110), help="Age in years, for a form.")
@click.option("--gender", help="Gender, for a form.")
@click.option("--country", help="Country, for a form.")
@click.option("--profession", help="Profession, for a form.")
@click.option("--hobby", "hobbies", multiple=True, help="A hobby, for a form; may be repeated.")
@click.option(
    "--shots",
    default=0,
    show_default=True,
    type=click.IntRange(0, 20),
    help="Past prompts of the user as examples.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0, 2**63 - 1),
    help="The same seed draws both images.",
)
@click.option(
    "--out",
    "out_dir",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of generic.png and personalized.png; earlier ones are overwritten.",
)
@AS_JSON
def personalize(
    prompt: str,
    user: str | None,
    persona_text: str | None,
    intake_file: Path | None,
    age: int | None,
    gender: str | None,
    country: str | None,
    profession: str | None,
    hobbies: tuple[str, ...],
    shots: int,
    seed: int,
    out_dir: Path,
    as_json: bool,
) -> None:
    """The generic and the personalised prompt, and both images, from one seed."""
    from zipp_dagster.personal.intake import read_intake

    form: dict[str, Any] = {
        "age": age,
        "gender": gender,
        "country": country,
        "profession": profession,
    }
    form |= {"hobbies": list(hobbies) or None}
    intake = read_intake(intake_file) if intake_file else {}
    intake |= {name: value for name, value in form.items() if value is not None}
    if sum((user is not None, persona_text is not None, bool(intake))) != 1:
        raise click.UsageError("give either --user, --persona, or a form (--intake, --hobby, …)")
    if shots and user is None:
        raise click.UsageError("--shots needs --user: a persona text has no past prompts")
    from zipp_dagster.personal import Personalizer
    from zipp_dagster.runner import local_platform

    result: dict[str, Any] = Personalizer(local_platform()).personalize(
        prompt,
        user=user,
        persona_text=persona_text,
        intake=intake or None,
        shots=shots,
        seed=seed,
        out_dir=out_dir,
    )
    if as_json:
        click.echo(json.dumps(result, indent=1))
        return
    for name in ("generic", "personalized"):
        click.echo(f"{name}: {result[name]['prompt']}\n  {result[name]['image']}")
    for flag in result["flags"]:
        click.echo(f"note: {FLAGS.get(flag, flag)}", err=True)


FLAGS = {
    "no_taste_recognised": "no like or dislike was recognised in the persona text",
    "no_known_taste": "no taste for this kind of subject is known: the personal prompt is generic",
    "no_history": "the user has no past prompts to show",
    "shortened": "the personal prompt was cut to what the text encoder reads",
    "unanswered": "the language model refused, or gave no whole answer: the prompt was left as it is",
    "subject_lost": "the rewrite lost the subject twice: the prompt was left as it is",
    "unlike": "its words were there, but it showed something else as well",
    "unsafe": "the rewrite held an address, a name or a link: the prompt was left as it is",
    "retried": "the first rewrite lost the subject; the second one is used",
}
"""What the flags of a personalised prompt mean."""
