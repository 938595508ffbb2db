"""The code blocks of the guides, and what is known of commands without running them. No tests here.

A block of commands is a fenced `console` block. It runs as one bash script that must end with 0, or
with N after `exit=N`. After `parsed` it is not run, because it needs a container engine, a hub, a
server or hours: then each `zipp` command in it must be one that exists, with options and settings
that exist. `python` blocks are run, or compiled where they name things of the reader's.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
GUIDES = (
    "README.md",
    "BENCHMARK.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    *sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "docs").glob("*.md")),
)
FENCE = re.compile(r"^```(.*?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = {"console", "python", "sql", "toml", "text", "mermaid", "json"}
ASSIGNMENT = re.compile(r"^(ZIPP_[A-Z0-9_]+)=")


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, its language, the words after it, its text."""

    guide: str
    line: int
    language: str
    words: tuple[str, ...]
    text: str

    @property
    def name(self) -> str:
        return f"{self.guide}:{self.line}"

    @property
    def runs(self) -> bool:
        return self.language == "console" and "parsed" not in self.words

    @property
    def exit_code(self) -> int:
        codes = [word.removeprefix("exit=") for word in self.words if word.startswith("exit=")]
        return int(codes[0]) if codes else 0


@dataclass(frozen=True)
class Command:
    """One `zipp` command of a block: the settings before it, and its arguments."""

    settings: tuple[str, ...]
    arguments: tuple[str, ...]


def blocks(guide: str) -> list[Block]:
    text = (ROOT / guide).read_text()
    found = []
    for match in FENCE.finditer(text):
        language, *words = match[1].split() or [""]
        line = text[: match.start()].count("\n") + 1
        found.append(Block(guide, line, language, tuple(words), match[2]))
    return found


def zipp_commands(block: Block) -> Iterator[Command]:
    """Every `zipp` command of a console block, also after `&&` and in longer lines."""
    script = re.sub(r"<<'(\w+)'\n.*?^\1$", "", block.text, flags=re.MULTILINE | re.DOTALL)
    script = re.sub(r"(^|\s)#.*$", "", script.replace("\\\n", " "), flags=re.MULTILINE)
    lexer = shlex.shlex(script, posix=True, punctuation_chars="&;|\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t", True, ""
    words: list[str] = []
    for token in [*lexer, "\n"]:
        if set(token) - set("&;|\n"):
            words.append(token)
        elif words:
            yield from _command(words)
            words = []


def _command(words: list[str]) -> Iterator[Command]:
    settings = []
    while words and (words[0] == "export" or "=" in words[0]):
        found = ASSIGNMENT.match(words.pop(0))
        settings += [found[1]] if found else []
    if words and words[0] in ("zipp", ".venv/bin/zipp"):
        yield Command(tuple(settings), tuple(words[1:]))
    elif settings:
        yield Command(tuple(settings), ("--help",))
