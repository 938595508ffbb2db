"""Decodes everything below a folder, and looks for what must not be there."""

from __future__ import annotations

import base64
import io
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

DATA_URL = re.compile(r"data:image/\w+;base64,([A-Za-z0-9+/=]+)")
WORD = re.compile(r"[A-Za-z0-9_]+")
SIDE = 64
"""Thumbnails of contact sheets, and the sample world's pictures, in pixels."""


@dataclass(frozen=True)
class Person:
    """What identifies somebody: `words` are ids and names, `numbers` pseudonyms."""

    texts: frozenset[str]
    words: frozenset[str]
    numbers: frozenset[int]
    pixels: frozenset[str]

    @property
    def all_words(self) -> frozenset[str]:
        forms = {form for n in self.numbers for form in (str(n), f"{n:016x}", str(n - 2**64))}
        return self.words | forms

    @property
    def raw(self) -> list[bytes]:
        """Bytes that no file may hold, whatever its format."""
        numbers = [n.to_bytes(8, "little") for n in self.numbers]
        return [text.encode() for text in self.texts] + numbers


@dataclass
class Search:
    """Collects traces as "file: what"; `files` counts the decoded files by kind."""

    person: Person
    found: list[str] = field(default_factory=list)
    files: dict[str, int] = field(default_factory=dict)

    def folder(self, root: Path, leave_out: Path) -> Search:
        for path in sorted(root.rglob("*")):
            if path.is_file() and not path.is_symlink() and not path.is_relative_to(leave_out):
                self.file(path)
        return self

    def file(self, path: Path) -> None:
        kind = path.suffix
        self.files[kind] = self.files.get(kind, 0) + 1
        data = path.read_bytes()
        for raw in self.person.raw:
            if raw in data:
                self.found.append(f"{path}: raw bytes")
        if data[:15] == b"SQLite format 3":
            for value in sqlite_values(path):
                self.value(path, value)
        elif kind == ".parquet":
            for row in pq.read_table(path).to_pylist():
                self.value(path, row)
        elif kind == ".npy":
            array = np.load(path, allow_pickle=False)
            if array.dtype.kind in "iu":
                self.value(path, np.unique(array).tolist())
        elif kind in (".png", ".jpg", ".webp"):
            self.value(path, data)
        elif kind in (".json", ".html", ".txt", ".jsonl", ".out", ".err", ".yaml", ".toml", ".csv"):
            self.value(path, data.decode("utf-8", "replace"))
        self.value(path, path.name)

    def value(self, path: Path, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                self.value(path, key)
                self.value(path, inner)
        elif isinstance(value, list | tuple):
            for inner in value:
                self.value(path, inner)
        elif isinstance(value, str):
            self.text(path, value)
        elif isinstance(value, bytes):
            self.image(path, value)
            self.text(path, value.decode("utf-8", "replace"))
        elif isinstance(value, int) and value in self.person.numbers:
            self.found.append(f"{path}: pseudonym")

    def text(self, path: Path, text: str) -> None:
        for encoded in DATA_URL.findall(text):
            self.image(path, base64.b64decode(encoded))
        if words := self.person.all_words.intersection(WORD.findall(text)):
            self.found.append(f"{path}: {sorted(words)[0]}")
        if len(text) >= 20 and any(said in text for said in self.person.texts):
            self.found.append(f"{path}: text")

    def image(self, path: Path, data: bytes) -> None:
        try:
            picture = Image.open(io.BytesIO(data)).convert("RGB")
        except OSError:
            return
        self.files["images"] = self.files.get("images", 0) + 1
        if self.person.pixels.intersection(pixel_hashes(picture)):
            self.found.append(f"{path}: picture")


def pixel_hashes(picture: Image.Image) -> Iterator[str]:
    """Of the whole picture, and of every thumbnail if it is a contact sheet."""
    yield sha256(picture.tobytes()).hexdigest()
    if picture.width % SIDE == 0 and picture.height % SIDE == 0 and picture.size != (SIDE, SIDE):
        for top in range(0, picture.height, SIDE):
            for left in range(0, picture.width, SIDE):
                tile = picture.crop((left, top, left + SIDE, top + SIDE))
                yield sha256(tile.tobytes()).hexdigest()


def sqlite_values(path: Path) -> Iterator[Any]:
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).fetchall()
        for (table,) in tables:
            yield from connection.execute(f'SELECT * FROM "{table}"')


def records_of(dump: Path) -> Iterator[dict[str, Any]]:
    """The JSON records of a dump file that can be read at all."""
    import zstandard

    frames = zstandard.ZstdDecompressor(max_window_size=2**31).stream_reader(
        dump.read_bytes(), read_across_frames=True
    )
    for line in frames.read().split(b"\n"):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and isinstance(record.get("author"), str):
            yield record
