"""Answers of a language model, kept by the hash of the question, so that a second run costs nothing.

Only the answer is stored, under a name that tells neither the question nor the person. An answer may
still speak of somebody: whoever erases a person or prunes a platform deletes the whole folder, which
costs money and breaks nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path


class AnswerCache:
    """A folder of answers; safe for threads and processes, damaged entries count as missing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, question: bytes) -> str | None:
        """The answer to exactly this question, or None."""
        try:
            return str(json.loads(self._path(question).read_text(encoding="utf-8"))["text"])
        except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError, KeyError):
            return None

    def put(self, question: bytes, answer: str) -> None:
        """Written beside and renamed: a killed process leaves no half answer."""
        path = self._path(question)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"text": answer}, file)
        Path(name).replace(path)

    def clear(self) -> None:
        """Deletes every answer."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, question: bytes) -> Path:
        digest = hashlib.sha256(question).hexdigest()
        return self._folder / digest[:2] / f"{digest}.json"
