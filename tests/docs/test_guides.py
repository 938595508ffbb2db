from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from tests.docs.blocks import GUIDES, LANGUAGES, ROOT, Block, blocks, zipp_commands
from zipp_dagster.cli import cli
from zipp_dagster.settings import PREFIX, Settings, SettingsError

ALL = [block for guide in GUIDES for block in blocks(guide)]
CONSOLE = [block for block in ALL if block.language == "console"]
PYTHON = [block for block in ALL if block.language == "python"]
RUN_BY_MAKE = {"help", "install", "demo", "ui", "test", "test-slow", "test-long", "lint", "bench", "clean"}


def named(entries: list[Block]) -> list:
    return [pytest.param(block, id=block.name) for block in entries]


@pytest.mark.parametrize("block", named(ALL))
def test_every_block_says_what_it_is(block):
    assert block.language in LANGUAGES, (
        f"{block.name}: write ```console for commands, ```text for what is not run"
    )


@pytest.mark.parametrize("block", named(CONSOLE))
def test_every_command_of_the_guides_exists_with_its_options_and_settings(block):
    found = list(zipp_commands(block))
    others = [line for line in block.text.splitlines() if not re.search(r"\bzipp\b", line)]
    assert found or others
    for command in found:
        for variable in command.settings:
            parts = variable.removeprefix(PREFIX).lower().split("__")
            if parts != ["profile"]:
                _setting(parts)
        parse(cli, "zipp", list(command.arguments))
    for target in re.findall(r"^make (.*)$", block.text, re.MULTILINE):
        targets = target.split("#")[0].split()
        assert set(targets) <= RUN_BY_MAKE, f"make has no {targets}"


def _setting(parts: list[str]) -> None:
    model = Settings
    for part in parts:
        assert part in model.model_fields, f"no setting is called {'.'.join(parts)}"
        model = model.model_fields[part].annotation


def parse(command: click.Command, name: str, arguments: list[str]) -> None:
    """Fails on an unknown command or option; runs nothing."""
    try:
        with command.make_context(name, list(arguments), resilient_parsing=False) as context:
            if isinstance(command, click.Group):
                rest = [*context.protected_args, *context.args]
                inner, found, left = command.resolve_command(context, rest)
                assert found is not None
                parse(found, str(inner), left)
    except click.exceptions.Exit:
        pass  # --help
    except click.BadParameter as error:
        if "does not exist" not in error.message:  # the reader's own file
            raise


def test_the_check_of_commands_finds_planted_mistakes():
    for wrong in ("zipp runn", "zipp run --plann", "zipp models promote zipp-encoder one --why x"):
        (command,) = zipp_commands(Block("x", 1, "console", (), wrong))
        with pytest.raises(click.UsageError):
            parse(cli, "zipp", list(command.arguments))
    with pytest.raises(AssertionError, match="no setting"):
        _setting(["encoder", "hiddn"])
    assert SettingsError  # what a run would say of it


@pytest.mark.parametrize("block", named(PYTHON))
def test_every_python_block_compiles(block):
    compile(block.text, block.name, "exec")


def test_links_between_guides_lead_somewhere():
    missing = []
    for guide in GUIDES:
        folder = (ROOT / guide).parent
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", (ROOT / guide).read_text()):
            if "://" not in target and not (folder / target).exists():
                missing.append(f"{guide}: {target}")
    assert missing == []


def test_every_guide_is_linked_from_the_readme_or_another_guide():
    linked = set()
    for guide in GUIDES:
        text = (ROOT / guide).read_text()
        linked |= {Path(t).name for t in re.findall(r"\]\(([^)#\s]+)", text)}
    assert {Path(guide).name for guide in GUIDES} - linked - {"README.md"} == set()
