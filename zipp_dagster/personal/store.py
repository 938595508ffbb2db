"""All personas that there are: the mined ones, and above them those edited, imported or hand-written.

The latter are files of `ZIPP_HOME/personas/`, one a user; they outlive every materialisation and
win over mined ones. Personas of real people are shown one by one to whoever names the user; lists
and exports of them need a setting. What a persona is and when it is safe: `zipp_dagster.persona`.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import IO, Any

from zipp_dagster.persona.schema import Persona
from zipp_dagster.personal.entries import (
    Origin,
    PersonaEntry,
    PersonaError,
    UnknownUser,
    checked,
    entry_of_file,
    is_pseudonym,
    user_names,
)
from zipp_dagster.personal.mined import MinedPersonas
from zipp_dagster.platform.catalogue import Platform

FOLDER = "personas"
_KEPT = ("user", "origin", "persona")


class PersonaStore:
    """Looks up, keeps, imports and exports personas. Make one for each piece of work."""

    def __init__(self, platform: Platform) -> None:
        self.folder = platform.home / FOLDER
        self.settings = platform.settings
        self.mined = MinedPersonas(platform)

    def get(self, user: str | int) -> PersonaEntry:
        """The persona of a user, the kept one before the mined one.

        Raises:
            UnknownUser: there is none.
            NotMaterialised: a pseudonym, and no persona has been mined yet.
            PersonaError: the user is neither pseudonym nor name, or a kept file is damaged.
        """
        names = user_names(user)
        for name in names:
            entry = self._find(name)
            if entry is not None:
                return entry
        if self.mined.erased.intersection(names):
            raise UnknownUser(f"there is no persona of {user!s}: the user was erased")
        if is_pseudonym(names[0]):
            self.mined.require()
        raise UnknownUser(
            f"there is no persona of {user!s}: `zipp personas show` lists some, "
            "`zipp personas edit NAME` writes a new one, `zipp personas import` takes a file"
        )

    def save(self, user: str | int, document: Any) -> PersonaEntry:
        """Keeps a persona given as JSON types; it wins over a mined one from now on.

        Raises PersonaError where it does not fit the schema, a guard refuses it, or the person was
        erased.
        """
        name = self._name(user)
        texts = self.mined.texts([name])[name]
        persona = checked(document, self.settings.persona, f"user {name}", texts)
        before = self._find(name)
        by_hand = before is None or before.origin == "by hand"
        return self._keep(name, persona, "by hand" if by_hand else "edited")

    def load(self, file: Path) -> int:
        """Imports a JSON list of {"user", "persona"}, all or nothing; returns how many.

        What `export` writes can be read. Raises PersonaError that names file, entry and field.
        """
        entries = self._parsed(file)
        texts = self.mined.texts(list(entries))
        personas = {
            name: checked(
                document,
                self.settings.persona,
                f"{file}, entry {number} (user {name})",
                texts[name],
            )
            for name, (number, document) in entries.items()
        }
        for name, persona in personas.items():
            self._keep(name, persona, "imported")
        return len(personas)

    def export(self, path: Path) -> int:
        """Writes the usable personas as a JSON list that `load` reads; returns how many.

        Real people's are left out unless zipbench.show_real_personas is set.
        """
        count = 0
        with _replacing(path) as out:
            out.write("[")
            for entry in self._entries():
                if entry.usable:
                    out.write(",\n" if count else "\n")
                    out.write(json.dumps(_document(entry), ensure_ascii=False))
                    count += 1
            out.write("\n]\n")
        return count

    def export_dataset(self, out: Path) -> int:
        """Writes the usable personas as a data set directory (`dataset.py`); returns how many.

        Real people's are left out unless zipbench.show_real_personas is set.
        """
        from zipp_dagster.personal.dataset import write_dataset

        version = self.mined.lake.find("personas")
        facts = {"profile": self.settings.profile}
        if version is not None and not version.skipped:
            facts |= {"personas version": version.id, **self.mined.models()}
        return write_dataset(self._entries(), out, facts, synthetic=not self.mined.people_are_real)

    def forget_erased(self) -> int:
        """Deletes the kept personas of people who were erased; returns how many there were."""
        paths = [self._path(name) for name in self._kept_names() if name in self.mined.erased]
        for path in paths:
            path.unlink()
        return len(paths)

    @cached_property
    def hides_people(self) -> bool:
        """Whether lists and exports leave out everybody who has a pseudonym: they are real."""
        return self.mined.people_are_real and not self.settings.zipbench.show_real_personas

    def _entries(self) -> Iterator[PersonaEntry]:
        """Everybody's persona but erased people's, and real people's where these are hidden."""
        kept = self._kept_names()
        for name in kept:
            entry = None if self.hides_people and is_pseudonym(name) else self._find(name)
            if entry is not None:
                yield entry
        if not self.hides_people:
            yield from (entry for entry in self.mined if entry.user not in kept)

    def _find(self, name: str) -> PersonaEntry | None:
        if name in self.mined.erased:
            return None
        path = self._path(name)
        if path.is_file():
            return entry_of_file(path, self.settings.persona)
        return self.mined.find(name)

    def _name(self, user: str | int) -> str:
        """The user's one name: of several readings the one that has a persona."""
        names = user_names(user)
        for name in names:
            if name in self.mined.erased:
                raise PersonaError(f"user {name} was erased: no persona of them may be kept")
        return next((name for name in names if self._find(name) is not None), names[0])

    def _kept_names(self) -> Mapping[str, Path]:
        """Users with a file, in alphabetical order."""
        return {
            path.stem: path
            for path in sorted(self.folder.glob("*.json"))
            if not path.name.startswith(".")
        }

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _keep(self, name: str, persona: Persona, origin: Origin) -> PersonaEntry:
        entry = PersonaEntry(name, persona, origin)
        with _replacing(self._path(name)) as out:
            out.write(json.dumps(_document(entry), indent=1, ensure_ascii=False) + "\n")
        return entry

    def _parsed(self, file: Path) -> dict[str, tuple[int, Any]]:
        """Users of an import file with the entry's number and its persona, not yet checked."""
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise PersonaError(f"{file} is no JSON: {error}") from error
        if not isinstance(document, list):
            raise PersonaError(f'{file} holds no list: expected [{{"user": …, "persona": {{…}}}}]')
        entries: dict[str, tuple[int, Any]] = {}
        for number, entry in enumerate(document, 1):
            where = f"{file}, entry {number}"
            user = _user_of(entry, where)
            try:
                name = self._name(user)
            except PersonaError as error:
                raise PersonaError(f"{where}, field user: {error}") from error
            if name in entries:
                raise PersonaError(f"{where}, field user: entry {entries[name][0]} is {name} too")
            entries[name] = (number, entry["persona"])
        return entries

    # Last, because within the class its name hides the builtin.
    def list(self, limit: int) -> list[PersonaEntry]:
        """The first personas: kept ones by name, then mined ones by pseudonym; see `hides_people`.

        Raises NotMaterialised where there is nothing at all.
        """
        found = [*islice(self._entries(), limit)]
        if not found and not self.hides_people:
            self.mined.require()
        return found


def _document(entry: PersonaEntry) -> dict[str, Any]:
    """What a kept file and an export say of a persona."""
    everything = entry.to_json()
    return {key: everything[key] for key in _KEPT}


def _user_of(entry: Any, where: str) -> str | int:
    """The user of an import file's entry; PersonaError where the entry has another form."""
    if not isinstance(entry, dict):
        raise PersonaError(f'{where}: expected an object {{"user": …, "persona": {{…}}}}')
    for field in ("user", "persona"):
        if entry.get(field) is None:
            raise PersonaError(f"{where}, field {field}: it is missing")
    for field in entry:
        if field not in _KEPT:
            raise PersonaError(f"{where}, field {field}: allowed are {', '.join(_KEPT)}")
    user = entry["user"]
    if isinstance(user, bool) or not isinstance(user, str | int):
        raise PersonaError(f"{where}, field user: expected a text or a whole number")
    return user


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[IO[str]]:
    """A text file that takes the place of `path` at the end, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("w", encoding="utf-8") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
