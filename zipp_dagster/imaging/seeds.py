"""Seeds of images: one a case, the same for every method that draws it."""

from __future__ import annotations

import hashlib


def case_seed(case_id: str, seed: int) -> int:
    """A 31-bit seed from a case's id and the run's seed."""
    digest = hashlib.sha256(f"{seed}:{case_id}".encode()).digest()
    return int.from_bytes(digest[:4], "little") >> 1
