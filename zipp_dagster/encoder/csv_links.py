"""A `user,item,count` CSV as numbered links.

What lives here: parsing, numbering and merging, with errors that name file and line. What does
not: what is done with the links (`tables`).
"""

from __future__ import annotations

import csv
import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from zipp_dagster.graph.store import GraphError

# A pair is user · 2³² + item, in one int64.
ITEM_BITS = 32
# The graph's counts are uint32.
LARGEST_COUNT = 2**32 - 1


class TableError(GraphError):
    """A CSV cannot be read as links, or there is nothing to fit or rank; the message says where."""


@dataclass(frozen=True)
class Links:
    """The distinct (user, item) pairs of a file, ascending, with their summed counts.

    Users and items are numbered in the order of the training file. `repeated` rows were merged;
    rows with unknown users or items (of a file read with `known`) were left out.
    """

    users: list[str]
    items: list[str]
    pairs: Int[np.ndarray, " links"]
    counts: Float[np.ndarray, " links"]
    repeated: int = 0
    unknown_users: int = 0
    unknown_items: int = 0

    @staticmethod
    def unpack(
        pairs: Int[np.ndarray, " links"],
    ) -> tuple[Int[np.ndarray, " links"], Int[np.ndarray, " links"]]:
        """The numbers of users and items."""
        return pairs >> ITEM_BITS, pairs & (2**ITEM_BITS - 1)


def read_links(path: Path, known: Links | None = None) -> Links:
    """Read a CSV with a header and the columns user, item and (optionally) count, in any order.

    Args:
        path: UTF-8, with or without a byte order mark; columns of other names are ignored.
        known: the training file's links: rows with a user or item that it lacks are left out.

    Raises:
        TableError: naming the file and the line.
        FileNotFoundError: there is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file; give a user,item,count CSV.")
    user_of = {name: number for number, name in enumerate(known.users if known else ())}
    item_of = {name: number for number, name in enumerate(known.items if known else ())}
    pairs, counts = array("q"), array("d")
    unknown_users = unknown_items = 0
    for user, item, count in _rows(path):
        if known is None:
            user_of.setdefault(user, len(user_of))
            item_of.setdefault(item, len(item_of))
        elif user not in user_of:
            unknown_users += 1
            continue
        elif item not in item_of:
            unknown_items += 1
            continue
        pairs.append(user_of[user] << ITEM_BITS | item_of[item])
        counts.append(count)
    if not pairs and not unknown_users + unknown_items:
        raise TableError(f"{path}: the file has a header and no rows.")
    distinct, place = np.unique(np.frombuffer(pairs, dtype=np.int64), return_inverse=True)
    summed = np.bincount(place, weights=np.frombuffer(counts, dtype=np.float64))
    if len(summed) and summed.max() > LARGEST_COUNT:
        raise TableError(f"{path}: the counts of one pair add up to more than {LARGEST_COUNT}.")
    return Links(
        users=list(user_of),
        items=list(item_of),
        pairs=distinct,
        counts=summed,
        repeated=len(pairs) - len(distinct),
        unknown_users=unknown_users,
        unknown_items=unknown_items,
    )


def _rows(path: Path) -> Iterator[tuple[str, str, float]]:
    """User, item and count of each row."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            header = [name.strip().lower() for name in next(reader, [])]
            columns = _columns(path, header)
            for row in reader:
                if row:
                    yield _row(f"{path}, line {reader.line_num}", row, header, columns)
        except UnicodeDecodeError as error:
            where = f"after line {reader.line_num}"
            raise TableError(f"{path}, {where}: not UTF-8 ({error.reason}).") from error
        except csv.Error as error:
            raise TableError(f"{path}, line {reader.line_num}: not CSV ({error}).") from error


def _columns(path: Path, header: list[str]) -> tuple[int, int, int | None]:
    if not any(header):
        raise TableError(f"{path}: the file is empty; its first line must be user,item,count.")
    for name in ("user", "item", "count"):
        if header.count(name) > 1:
            raise TableError(f"{path}, line 1: the header has two columns named {name!r}.")
    for name in ("user", "item"):
        if name not in header:
            raise TableError(
                f"{path}, line 1: there is no column {name!r} in the header "
                f"({','.join(header)}); it must be user,item,count (count may be missing)."
            )
    count = header.index("count") if "count" in header else None
    return header.index("user"), header.index("item"), count


def _row(
    where: str, row: list[str], header: list[str], columns: tuple[int, int, int | None]
) -> tuple[str, str, float]:
    if len(row) != len(header):
        raise TableError(f"{where}: {len(row)} values, but the header has {len(header)} columns.")
    user, item = row[columns[0]], row[columns[1]]
    if not user or not item:
        raise TableError(f"{where}: {'user' if not user else 'item'} is empty.")
    if columns[2] is None:
        return user, item, 1.0
    text = row[columns[2]]
    try:
        count = float(text)
    except ValueError:
        raise TableError(f"{where}: count {text!r} is not a number.") from None
    if not (math.isfinite(count) and 0 < count <= LARGEST_COUNT):
        raise TableError(f"{where}: count {text} must be above 0 and at most {LARGEST_COUNT}.")
    return user, item, count
