"""Versioned prompt templates: text files with a `[section]` a message, filled by name.

`$name` is replaced once and never interpreted again, so that evidence which looks like a template
stays what it is. What is asked is in the files of `templates/`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from string import Template

FOLDER = Path(__file__).parent / "templates"
_SECTION = re.compile(r"^\[(\w+)\]$", re.MULTILINE)


@dataclass(frozen=True)
class PromptTemplate:
    """A template: its name, the hash of its text, its sections in order, the text itself."""

    name: str
    digest: str
    sections: Mapping[str, str]
    text: str

    @property
    def version(self) -> str:
        """What tables and manifests record: the name and the hash of the text."""
        return f"{self.name}@{self.digest}"

    def render(self, section: str, values: Mapping[str, str]) -> str:
        """A section with its names replaced; a name without a value is a KeyError."""
        return Template(self.sections[section]).substitute(values)


def load_template(name: str) -> PromptTemplate:
    """A template by its name (`persona-v1`), or by the path of a `.txt` file, as it is now.

    Raises ValueError that lists those that exist.
    """
    own = name.endswith(".txt")
    path = Path(name).expanduser() if own else FOLDER / f"{name}.txt"
    if not (own or re.fullmatch(r"[\w-]+", name)) or not path.is_file():
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.txt")))
        raise ValueError(
            f"no prompt template {name!r}: there are {known}, or give the path of a .txt file"
        )
    return _parsed(path.stem, path.read_text(encoding="utf-8"))


@lru_cache(maxsize=32)
def _parsed(name: str, text: str) -> PromptTemplate:
    parts = _SECTION.split(text)
    sections = {key: body.strip() for key, body in zip(parts[1::2], parts[2::2], strict=True)}
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return PromptTemplate(name, digest, sections, text)
