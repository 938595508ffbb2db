"""MovieLens with posters: a poster that somebody's ratings prefer over another one.

A folder in either form of GroupLens: `ratings.csv`, `movies.csv` (ml-latest) or `ratings.dat`,
`movies.dat`, `users.dat` (ml-1m, "::" between fields, Latin-1), and the posters: a folder `posters/` of
`MOVIEID.jpg|png`, or `movie_poster.csv` (movie id, address; without a header).

A case pairs a person's last highly rated film with the last poorly rated one; films liked before
are its history. Traps, each tested: rows are not in the order of time; titles keep the article at
the end ("Matrix, The (1999)"), and stray spaces; many films have no poster (left out and counted);
only ml-1m has demographics, coded as numbers.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from zipp_dagster.zipbench.cases import Case, CasesError, CaseSet, PastImage, case_set

LIKED, DISLIKED = 4.0, 2.5
AGES = {1: "under 18", 18: "18-24", 25: "25-34", 35: "35-44", 45: "45-49", 50: "50-55", 56: "56+"}
GENDERS = {"M": "male", "F": "female"}
_FILES = {"ratings": 4, "movies": 3, "users": 5}


def load_movielens(folder: Path) -> CaseSet:
    """One preference case a person who liked a film with a poster and disliked another."""
    posters = _posters(folder)
    prompts = {
        movie: poster_prompt(title, genres)
        for movie, title, genres in _rows(folder, "movies", required=True)
    }
    rated: dict[str, list[tuple[int, float, str]]] = defaultdict(list)
    dropped: Counter[str] = Counter()
    for user, movie, rating, time in _rows(folder, "ratings", required=True):
        if movie not in prompts:
            raise CasesError(f"{folder}: user {user} rated film {movie}, which movies lacks")
        if movie in posters:
            rated[user].append((int(float(time)), float(rating), movie))
        else:
            dropped["rating of a film without a poster"] += 1
    groups = {row[0]: _groups(row) for row in _rows(folder, "users", required=False)}
    cases = []
    for user in sorted(rated, key=lambda name: (len(name), name)):
        seen = sorted(rated[user])
        liked = [movie for _, rating, movie in seen if rating >= LIKED]
        disliked = [movie for _, rating, movie in seen if rating <= DISLIKED]
        if not liked or not disliked:
            dropped["person without both likes and dislikes"] += 1
            continue
        target = liked.pop()
        cases.append(
            Case(
                case_id=f"movielens/{user}/{target}",
                benchmark="movielens",
                user_id=user,
                base_prompt=prompts[target],
                preferred_image=posters[target],
                rejected_image=posters[disliked[-1]],
                history=tuple(PastImage(prompts[movie], posters[movie]) for movie in liked),
                groups=groups.get(user, {}),
            )
        )
    return case_set(cases, dropped)


def poster_prompt(title: str, genres: str) -> str:
    """What a poster shows, as a prompt: "a film poster of The Matrix (1999), action, sci-fi"."""
    name, paren, year = " ".join(title.split()).rpartition(" (")
    name = name if paren else year
    for article in ("The", "A", "An"):
        if name.endswith(f", {article}"):
            name = f"{article} {name[: -len(article) - 2]}"
    kinds = [genre.strip().lower() for genre in genres.split("|") if "no genres" not in genre]
    whole = f"{name} ({year}" if paren else name
    return ", ".join([f"a film poster of {whole}", *kinds])


def _rows(folder: Path, name: str, *, required: bool) -> Iterator[list[str]]:
    """The rows of `name.csv` (after its header) or `name.dat`; nothing for an absent optional."""
    width = _FILES[name]
    table, old = folder / f"{name}.csv", folder / f"{name}.dat"
    if table.exists():
        with table.open(encoding="utf-8", newline="") as file:
            lines = csv.reader(file)
            next(lines, None)
            for number, row in enumerate(lines, start=2):
                yield _checked(row, width, table, number)
    elif old.exists():
        with old.open(encoding="latin-1") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _checked(line.rstrip("\n").split("::"), width, old, number)
    elif required:
        raise CasesError(f"{folder} has neither {table.name} nor {old.name}")


def _checked(row: list[str], width: int, path: Path, number: int) -> list[str]:
    if len(row) != width:
        raise CasesError(f"{path}, line {number}: {len(row)} fields, {width} expected")
    return [value.strip() for value in row]


def _posters(folder: Path) -> dict[str, str]:
    """Movie id → path below the folder, or address."""
    pictures = sorted((folder / "posters").glob("*.*")) if (folder / "posters").is_dir() else []
    found = {
        path.stem: f"posters/{path.name}"
        for path in pictures
        if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp")
    }
    listed = folder / "movie_poster.csv"
    if listed.exists():
        with listed.open(encoding="utf-8", newline="") as file:
            for number, row in enumerate(csv.reader(file), start=1):
                movie, address = _checked(row, 2, listed, number)
                if address:
                    found.setdefault(movie, address)
    if not found:
        raise CasesError(f"{folder} has no posters/ folder with pictures and no {listed.name}")
    return found


def _groups(row: list[str]) -> dict[str, str]:
    gender, age = GENDERS.get(row[1]), AGES.get(int(row[2])) if row[2].isdigit() else None
    return {k: v for k, v in (("gender", gender), ("age_band", age)) if v}
