"""PIP (Personalized Image-Prompt; Chen et al., "Tailored Visions", arXiv 2310.08129).

A folder of `USER.jsonl`: the marker line "train_samples:", the person's past generations, the marker
"test_samples:", two held-out generations with a short `query`. Lines are JSON, markers included.

Traps of the format, each tested:
- the authors' script cuts by position (`lines[1:-3]`, `lines[-2:]`), which takes the last history
  line for the marker or the marker for history where a file has another number of lines: the
  markers decide here;
- `user_id` inside a line is sometimes missing or another's: the file's name is the person;
- prompts carry stray, doubled spaces, and the query may be wrapped in quotes;
- a test target often stands in the history as well (a public reproduction counts 35.6 % of them):
  flagged, never dropped.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zipp_dagster.zipbench.cases import Case, CasesError, CaseSet, PastImage, case_set

TRAIN, TEST = "train_samples:", "test_samples:"


def load_pip(folder: Path) -> CaseSet:
    """Every test sample of every user as a case; the user's train samples are its history.

    Generations that the authors mark "NSFW" are left out (history and targets), and counted.
    CasesError names the file and line of what breaks the format.
    """
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise CasesError(f"{folder} holds no USER.jsonl: unpack the PIP archive there")
    cases: list[Case] = []
    dropped: Counter[str] = Counter()
    for path in files:
        cases += _of_user(path, dropped)
    return case_set(cases, dropped)


def _of_user(path: Path, dropped: Counter[str]) -> Iterator[Case]:
    train, test = _samples(path)
    history = []
    for number, row in train:
        prompt = clean(_text(row, "prompt", path, number))
        if row.get("NSFW") == "NSFW":
            dropped["history marked NSFW"] += 1
        elif prompt:
            history.append(PastImage(prompt, row.get("result_url")))
    for number, row in test:
        target = clean(_text(row, "prompt", path, number))
        query = clean(_text(row, "query", path, number)).strip("\"'“” ")
        if row.get("NSFW") == "NSFW":
            dropped["target marked NSFW"] += 1
        elif not target or not query:
            dropped["empty prompt or query"] += 1
        else:
            yield Case(
                case_id=f"pip/{path.stem}/{row.get('id', number)}",
                benchmark="pip",
                user_id=path.stem,
                base_prompt=query,
                reference_prompt=target,
                reference_image=row.get("result_url"),
                history=tuple(history),
            )


def clean(text: str) -> str:
    """Runs of white space become one space; none before a comma."""
    return " ".join(text.split()).replace(" ,", ",")


_Rows = list[tuple[int, dict[str, Any]]]


def _samples(path: Path) -> tuple[_Rows, _Rows]:
    """Train and test rows with their line numbers, by the markers."""
    parts: dict[str, _Rows] = {}
    current: _Rows | None = None
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError:
            value = line  # markers are written without quotes by some tools
        if isinstance(value, str) and value.strip() in (TRAIN, TEST):
            current = parts.setdefault(value.strip(), [])
        elif not isinstance(value, dict):
            raise CasesError(f"{path}, line {number}: neither an object nor a marker")
        elif current is None:
            raise CasesError(f"{path}, line {number}: a sample before {TRAIN!r}")
        else:
            current.append((number, value))
    missing = [marker for marker in (TRAIN, TEST) if marker not in parts]
    if missing:
        raise CasesError(f"{path} has no line {missing[0]!r}: is it a file of PIP?")
    return parts[TRAIN], parts[TEST]


def _text(row: dict[str, Any], name: str, path: Path, number: int) -> str:
    if not isinstance(row.get(name), str):
        raise CasesError(f"{path}, line {number}: {name!r} is {row.get(name)!r}, not a text")
    text: str = row[name]
    return text
