"""`zipp …`: the command line. Each command is short; what it does lives in its topic's package.

Commands are loaded when they are called, so that `zipp --help` answers at once.
"""

from __future__ import annotations

import atexit
import importlib
import logging
import os
import sys
import warnings

import click

COMMANDS = {
    "run": ("pipeline", "Materialise what is not up to date, in order."),
    "status": ("pipeline", "Every asset: version, size, checks, age, stale or not and why."),
    "ui": ("servers", "Dagster, MLflow and the report in the browser."),
    "lineage": (
        "lineage",
        "Where an asset comes from, what is stale, whether files are intact; export.",
    ),
    "models": ("models", "Registered models: list, promote, roll back, history."),
    "encoder": ("models", "Encoders on anybody's user,item,count tables."),
    "personas": ("personas", "Show, edit, import and export personas."),
    "personalize": ("personas", "A prompt and its image, generic and personal."),
    "studio": ("studio", "Personalise and human studies in the browser."),
    "study": ("studio", "Human studies: plan, create, list, export, import."),
    "erase": ("erasure", "Erase people or items; with --apply, everywhere, with a receipt."),
    "zipbench": ("zipbench", "The benchmark: methods, cases of public data sets, export."),
    "prune": ("housekeeping", "Remove old versions and leftovers from the lake."),
    "train-sample-models": ("models", "Train the small image models from scratch."),
    "bootstrap": ("operation", "Make the Dagster instance ready: pools, months, dagster.yaml."),
    "settings": ("settings", "Every setting: its value, who set it, and what it means."),
    "doctor": ("housekeeping", "Environment, disk, GPU and settings in words."),
}
QUIET_LOGGERS = ("great_expectations", "mlflow", "alembic", "diffusers", "transformers", "httpx")


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called or asked for help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the table above."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Imports the command's module."""
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"zipp_dagster.commands.{COMMANDS[name][0]}")
        command: click.Command = getattr(module, name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table above, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="zipp_dagster")
@click.option(
    "--profile", metavar="NAME|FILE", help="Settings profile; default: ZIPP_PROFILE or sample."
)
def cli(profile: str | None) -> None:
    """ZIPP: personal text-to-image prompts from personas mined in a Reddit interaction graph.

    Settings come from the profile and from ZIPP_… variables; `zipp settings` shows them.
    """
    if profile:
        os.environ["ZIPP_PROFILE"] = profile


def main() -> None:
    """The console script: known errors in one line on standard error, exit code 1."""
    quieten()
    atexit.register(silence_interpreter_exit)
    from zipp_dagster.errors import full_disk, known_errors, registry_trouble

    try:
        cli(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo(
            "stopped; what was published stays, the rest resumes with the same command", err=True
        )
        sys.exit(130)
    except known_errors() as error:
        click.echo(f"zipp: {error}", err=True)
        sys.exit(1)
    except Exception as error:
        message = full_disk(error) or registry_trouble(error)
        if message is None:
            raise
        click.echo(f"zipp: {message}", err=True)
        sys.exit(1)


def silence_interpreter_exit() -> None:
    """DuckDB's bindings list their types as leaked on standard error when Python ends.

    Registered first, so that it runs after every other exit handler.
    """
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def quieten() -> None:
    """Libraries' notices that tell a user nothing."""
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.filterwarnings("ignore", category=FutureWarning)
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    # Threads that wait for each other must not spin: on a busy machine that costs a factor of ten.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    os.environ.setdefault("DO_NOT_TRACK", "1")


if __name__ == "__main__":
    main()
