"""Pictures where they lie, in Parquet files: read some at a time, whatever the size of the table.

A benchmark of 80,000 pictures of 1,024 pixels has 110 GB of them. Nothing here holds more than a few
row groups; `image_files` writes them small. What a picture shows is nobody's business here.
"""

from __future__ import annotations

import os
import tempfile
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

IMAGE = "image"
_HELD_BYTES = 128 << 20
"""Row groups that are kept for the next reader; one larger group is held alone."""


class StoredImages(Mapping[str, bytes]):
    """Pictures of Parquet files by name, in the order of their rows, read when they are asked for.

    Args:
        files: Parquet files with a binary column `image`.
        key: the columns that name a picture, joined by a slash.
        wanted: only these names; all where None.
        unique: whether two rows of one name are an error (ValueError); else the last one counts.
    """

    def __init__(
        self,
        files: Sequence[Path],
        key: Sequence[str],
        wanted: Collection[str] | None = None,
        *,
        unique: bool = False,
    ) -> None:
        self._files = list(files)
        self._place: dict[str, tuple[int, int, int]] = {}
        self._held: OrderedDict[tuple[int, int], pa.ChunkedArray] = OrderedDict()
        chosen = None if wanted is None else set(wanted)
        for number, path in enumerate(self._files):
            with pq.ParquetFile(path) as file:
                for group in range(file.num_row_groups):
                    columns = file.read_row_group(group, columns=list(key))
                    parts = [columns[name].to_pylist() for name in key]
                    for row, values in enumerate(zip(*parts, strict=True)):
                        name = "/".join(str(value) for value in values)
                        if chosen is not None and name not in chosen:
                            continue
                        if unique and name in self._place:
                            raise ValueError(
                                f"two pictures bear one name ({name}): clear the table and rebuild it"
                            )
                        self._place[name] = (number, group, row)

    def __getitem__(self, name: str) -> bytes:
        number, group, row = self._place[name]
        picture: bytes = self._group(number, group)[row].as_py()
        return picture

    def __iter__(self) -> Iterator[str]:
        return iter(self._place)

    def __len__(self) -> int:
        return len(self._place)

    def __contains__(self, name: object) -> bool:
        return name in self._place

    def several(self, names: Sequence[str]) -> list[bytes]:
        """The pictures of some names, in their order; every row group is read once."""
        found = {name: self[name] for name in sorted(set(names), key=self._place.__getitem__)}
        return [found[name] for name in names]

    def spooled(self, folder: Path) -> SpooledImages:
        """A copy for readers in any order: row groups would be read again for every picture.

        The file has no name: it is gone with this process, however that ends.
        """
        folder.mkdir(parents=True, exist_ok=True)
        result = SpooledImages(folder)
        for name in sorted(self._place, key=self._place.__getitem__):
            result.add(name, self[name])
        return result

    def _group(self, number: int, group: int) -> pa.ChunkedArray:
        at = (number, group)
        if at not in self._held:
            with pq.ParquetFile(self._files[number]) as file:
                self._held[at] = file.read_row_group(group, columns=[IMAGE])[IMAGE]
            while len(self._held) > 1 and sum(c.nbytes for c in self._held.values()) > _HELD_BYTES:
                self._held.popitem(last=False)
        self._held.move_to_end(at)
        return self._held[at]


class SpooledImages(Mapping[str, bytes]):
    """Pictures in one nameless file below `folder`: nothing but their places is in memory."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (lives as long as this)
        self._place: dict[str, tuple[int, int]] = {}
        self._end = 0

    def add(self, name: str, picture: bytes) -> None:
        """Keeps a picture under its name."""
        self._file.write(picture)
        self._place[name] = (self._end, len(picture))
        self._end += len(picture)

    def __getitem__(self, name: str) -> bytes:
        start, size = self._place[name]
        self._file.flush()
        return os.pread(self._file.fileno(), size, start)

    def __iter__(self) -> Iterator[str]:
        return iter(self._place)

    def __len__(self) -> int:
        return len(self._place)


def several(images: Mapping[str, bytes], names: Sequence[str]) -> list[bytes]:
    """The pictures of some names, in their order, from any mapping."""
    if isinstance(images, StoredImages):
        return images.several(names)
    return [images[name] for name in names]


def row_groups(files: Sequence[Path], columns: Sequence[str]) -> Iterator[pa.Table]:
    """Some columns of Parquet files, one row group after another; of a file without any, no rows."""
    for path in files:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, columns=[*columns])
            if not file.num_row_groups:
                yield file.read(columns=[*columns])


def first_rows(path: Path, rows: int, columns: Sequence[str]) -> pa.Table:
    """The first rows of a Parquet file: no row group is read after they are there."""
    parts: list[pa.Table] = []
    for part in row_groups([path], columns):
        parts.append(part)
        if sum(one.num_rows for one in parts) >= rows:
            break
    return pa.concat_tables(parts).slice(0, rows)
