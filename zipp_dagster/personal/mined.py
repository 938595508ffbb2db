"""The mined personas in the lake, who may be shown, and who was erased.

Reads the personas and persona_evidence tables by user; writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from assets.sources import erasures_file, tombstones
from zipp_dagster.persona.schema import Persona
from zipp_dagster.personal.entries import PersonaEntry, is_pseudonym, shown
from zipp_dagster.platform.catalogue import Platform
from zipp_dagster.platform.lineage import lineage_tree

_COLUMNS = ["user_id", "profile", "quarantined"]


class MinedPersonas:
    """The current personas table, by user."""

    def __init__(self, platform: Platform) -> None:
        self.lake = platform.lake
        self.settings = platform.settings
        self._platform = platform

    def find(self, name: str) -> PersonaEntry | None:
        """The mined persona of a pseudonym, None where there is none or the person was erased."""
        if name in self.erased:
            return None
        table = self._rows("personas", [name], _COLUMNS)
        rows = table.to_pylist() if table is not None else []
        return _entry(rows[0]) if rows else None

    def __iter__(self) -> Iterator[PersonaEntry]:
        """All but erased people's, in the order of the table (by pseudonym), as a stream."""
        for file in self._files("personas"):
            for batch in pq.ParquetFile(file).iter_batches(1024, columns=_COLUMNS):
                for row in batch.to_pylist():
                    if shown(row["user_id"]) not in self.erased:
                        yield _entry(row)

    def require(self) -> None:
        """Raises NotMaterialised where there is no personas table, with how to make it."""
        self.lake.current("personas")

    def models(self) -> dict[str, str]:
        """Which language model and prompt template wrote the personas: for a card."""
        table = pq.read_table(self._files("personas"), columns=["model", "template"])
        names = {"language model": "model", "prompt template": "template"}
        return {
            shown_as: ", ".join(sorted(set(table[column].to_pylist())))
            for shown_as, column in names.items()
        }

    def texts(self, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """What each person wrote that a persona of theirs must not quote."""
        texts: dict[str, list[str]] = {name: [] for name in names}
        table = self._rows("persona_evidence", names, ["user_id", "text"])
        for row in table.to_pylist() if table is not None else []:
            texts[shown(row["user_id"])].append(row["text"])
        return {name: tuple(said) for name, said in texts.items()}

    @cached_property
    def erased(self) -> frozenset[str]:
        """Pseudonyms with a tombstone: their personas may linger in the lake until it is rebuilt."""
        if not erasures_file(self._platform).exists():
            return frozenset()  # without a tombstone no key is needed, and none is made
        return frozenset(shown(user) for user in tombstones(self._platform).users)

    @cached_property
    def people_are_real(self) -> bool:
        """Whether pseudonyms stand for real people; only a sample world that was made says no.

        Personas that were mined from real dumps before a sample world was made stay real.
        """
        world = self.lake.find("sample_world")
        if world is None or world.skipped or self.settings.reddit.dumps_dir is not None:
            return True
        if self.lake.find("personas") is None:
            return False
        todo, seen = [lineage_tree(self.lake, "personas")], set[str]()
        while todo:
            node = todo.pop()
            if node.asset == "sample_world" and node.skipped:
                return True
            new = [parent for parent in node.inputs if parent.version not in seen]
            seen.update(parent.version for parent in new)
            todo += new
        return False

    def _files(self, asset: str) -> list[Path]:
        version = self.lake.find(asset)
        return version.files() if version is not None and not version.skipped else []

    def _rows(self, asset: str, names: Sequence[str], columns: list[str]) -> pa.Table | None:
        """Rows of some people's, None where there is no such table or no pseudonym among them."""
        files = self._files(asset)
        users = [int(name, 16) for name in names if is_pseudonym(name)]
        if not files or not users:
            return None
        wanted = pc.field("user_id").isin(pa.array(users, pa.uint64()))
        return pq.read_table(files, columns=columns, filters=wanted)


def _entry(row: dict[str, Any]) -> PersonaEntry:
    reason = row["quarantined"]
    persona = Persona.model_validate_json(row["profile"]) if reason is None else None
    return PersonaEntry(shown(row["user_id"]), persona, "mined", reason)
