from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "ingest.md"


def test_the_example_of_the_documentation_runs_as_it_stands(write, comment):
    dump = write([comment(), b"{", comment(id="c2", author="[deleted]"), comment()])
    example = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", example[1]], cwd=dump.path.parent, capture_output=True, text=True
    )
    assert done.stderr == ""
    first = len(json.dumps(comment())) + 1
    assert sorted(done.stdout.splitlines()) == sorted(
        [
            "c1 pics 3 False",
            f"2 {first} not_json",
            "c2 pics 3 True",
            "c1 pics 3 False",
            "4 1 1 1 {'not_json': 1}",
        ]
    )
    assert (dump.path.parent / "comments" / "part-00000.parquet").is_file()
