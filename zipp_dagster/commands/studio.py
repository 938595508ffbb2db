"""`zipp studio`: the web page; `zipp study`: human studies."""

from __future__ import annotations

import json
import socket
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from zipp_dagster.studio.store import Store

AS_JSON = click.option(
    "--json", "as_json", is_flag=True, help="One JSON document on standard output."
)
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@click.command()
@click.option("--host", help="Address to bind to; default: the setting studio.host, loopback.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one.")
def studio(host: str | None, port: int | None) -> None:
    """Personalise in the browser, take part in studies, see results; until Ctrl-C."""
    import uvicorn

    from zipp_dagster.runner import local_platform
    from zipp_dagster.studio.app import add_starter_study, create_app, open_store

    platform = local_platform()
    chosen = platform.settings.studio
    host, port = host or chosen.host, chosen.port if port is None else port
    if host not in LOOPBACK and set(chosen.allowed_hosts) <= {*LOOPBACK, "[::1]"}:
        raise click.ClickException(
            f"binding to {host} makes the studio reachable from outside: set "
            """ZIPP_STUDIO__ALLOWED_HOSTS='["your.name"]' first, and read docs/studio.md"""
        )
    store = open_store(platform)
    add_starter_study(store)
    app = create_app(platform, store)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        raise click.ClickException(
            f"cannot listen on port {port} of {host} ({error.strerror}): set ZIPP_STUDIO__PORT"
        ) from error
    # Proxy headers are believed from loopback only, which is where a proxy on this machine is.
    config = uvicorn.Config(app, log_level="warning", server_header=False)
    _announcing(config, listening).run(sockets=[listening])


def _announcing(config: Any, listening: socket.socket) -> Any:
    """A server that says its address once it answers."""
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            host, port = listening.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            rooms = "Personalise, Study, Results"
            click.echo(f"studio  http://{shown}:{port}  {rooms}; Ctrl-C stops it")

    return Server(config)


@click.group()
def study() -> None:
    """Human studies: create, list, plan, export, import."""


@study.command()
@click.argument("name", required=False)
@click.option(
    "--file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A study as TOML or JSON, see docs/studio.md.",
)
@click.option(
    "--kind",
    type=click.Choice(["preference", "persona_quality"]),
    help="Votes between pictures, or ratings of mined personas.",
)
@click.option("--title", help="What participants see.")
@click.option("--participants", type=int, help="Most people who may take part.")
@click.option("--pairs", type=int, help="Pairs that each of them votes on.")
@AS_JSON
def create(name: str | None, file: Path | None, as_json: bool, **options: Any) -> None:
    """Make a study from a file, or from the defaults with a NAME. A study never changes."""
    from zipp_dagster.runner import local_platform
    from zipp_dagster.studio.app import open_store
    from zipp_dagster.studio.persona_items import items_to_rate
    from zipp_dagster.studio.safety import check_text
    from zipp_dagster.studio.study import checked_study, load_study

    if (name is None) == (file is None):
        raise click.UsageError("give either a NAME or a --file")
    values: dict[str, Any] = load_study(file).model_dump() if file else {"name": name}
    values |= {key: value for key, value in options.items() if value is not None}
    made = checked_study(values, str(file or "the study"))
    platform = local_platform()
    chosen = platform.settings.studio
    for prompt in made.prompts:
        check_text(prompt, f"prompt {prompt!r}", chosen.max_prompt_chars, chosen)
    items = items_to_rate(platform, made) if made.kind == "persona_quality" else []
    open_store(platform).create(made, items)
    if as_json:
        click.echo(made.model_dump_json(indent=1))
    else:
        click.echo(f"study {made.name} is open: `zipp studio`, then /study/{made.name}")


@study.command("list")
@AS_JSON
def list_(as_json: bool) -> None:
    """All studies, and how far they are."""
    store = _store()
    rows = [
        {"name": s.name, "kind": s.kind, "title": s.title, "wanted": s.participants}
        | store.counts(s.name)
        for s in store.studies()
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        click.echo(
            f"{row['name']}  {row['joined']} of {row['wanted']} joined, "
            f"{row['finished']} finished  {row['title']}"
        )


@study.command()
@click.argument("name")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of the bundle; must be new or empty.",
)
@click.option("--with-intake", is_flag=True, help="Also the answers of each participant.")
@AS_JSON
def export(name: str, out: Path, with_intake: bool, as_json: bool) -> None:
    """Write a study as a bundle: study.json, votes.csv, audit.csv, results.json."""
    from zipp_dagster.runner import local_platform
    from zipp_dagster.studio.app import open_store
    from zipp_dagster.studio.bundle import export_study

    platform = local_platform()
    counts = export_study(
        open_store(platform), name, out, platform.settings.zipbench, with_intake=with_intake
    )
    if as_json:
        click.echo(json.dumps({"study": name, "folder": str(out), **counts}))
    else:
        what = ", ".join(f"{number} {key}" for key, number in counts.items())
        click.echo(f"{name}: {what} written to {out}")


@study.command("import")
@click.argument("bundle", type=click.Path(path_type=Path, exists=True, file_okay=False))
@AS_JSON
def import_(bundle: Path, as_json: bool) -> None:
    """Give a bundle's votes to the asset human_preferences; `zipp run` then counts them."""
    from zipp_dagster.runner import local_platform
    from zipp_dagster.studio.bundle import import_votes

    platform = local_platform()
    name, votes, target = import_votes(bundle, platform.home, platform.settings.zipbench.votes_dir)
    if as_json:
        click.echo(json.dumps({"study": name, "votes": votes, "file": str(target)}))
    else:
        click.echo(f"{votes} votes of {name} are in {target}; `zipp run` counts them")


@study.command()
@click.option("--win-rate", type=float, required=True, help="The true win rate to find, as 0.6.")
@click.option("--power", type=float, default=0.8, show_default=True, help="Chance to find it.")
@click.option(
    "--votes", type=int, default=10, show_default=True, help="Votes of a person on the comparison."
)
@click.option("--ties", type=float, default=0.1, show_default=True, help="Share of ties.")
@click.option(
    "--icc",
    type=float,
    default=0.1,
    show_default=True,
    help="How alike one person's votes are: 0 to 1.",
)
@AS_JSON
def plan(win_rate: float, power: float, votes: int, ties: float, icc: float, as_json: bool) -> None:
    """How many people a study needs to find a win rate."""
    from zipp_dagster.studio.power import plan_study

    try:
        found = plan_study(win_rate, power=power, votes_a_person=votes, tie_share=ties, icc=icc)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if as_json:
        click.echo(json.dumps(asdict(found)))
        return
    click.echo(
        f"{found.participants} people with {votes} votes each: {found.decided_votes} decided votes, "
        f"worth {found.effective_votes} independent ones, power {found.power:.2f}"
    )


def _store() -> Store:
    from zipp_dagster.runner import local_platform
    from zipp_dagster.studio.app import open_store

    return open_store(local_platform())
