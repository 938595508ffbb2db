"""Where an unfinished whole-graph inference stands: each lane's next user and open softmaxes.

What lives here: saving and restoring, atomically. What does not: the passes (`inference`) and the
files of embeddings (`embedding_files`).

Files of a scratch directory: `states-<pass>.safetensors` for each pass that is over,
`lane-<pass>-<lane>.safetensors` for one that is not. Each carries the fingerprint of its run; what
belongs to another run is not read.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from time import monotonic

import numpy as np
from jaxtyping import Float32
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

OpenSoftmax = tuple[
    Float32[np.ndarray, "subreddits heads"],
    Float32[np.ndarray, "subreddits heads"],
    Float32[np.ndarray, "subreddits dim"],
]


class InferenceProgress:
    """Checkpoints of one inference run.

    Args:
        directory: an existing directory that outlives a kill.
        fingerprint: of model, graph and everything else that the bytes of the result depend on.
        seconds: between two checkpoints of a lane; 0 writes one after every block.
        flush: brings everything that the sink has written so far to disk; called before a lane's
            place is recorded, so that a lost machine leaves no hole behind it.
    """

    def __init__(
        self,
        directory: Path,
        fingerprint: str,
        seconds: float = 60.0,
        flush: Callable[[], None] = lambda: None,
    ) -> None:
        self.directory, self.fingerprint, self.seconds = directory, fingerprint, seconds
        self._flush, self._lock = flush, Lock()
        self._saved: dict[int, float] = {}

    def due(self, lane: int) -> bool:
        """Whether a lane should save now; its first call starts the clock."""
        last = self._saved.setdefault(lane, monotonic() if self.seconds else -np.inf)
        return monotonic() - last >= self.seconds

    def states(self, layer: int) -> Float32[np.ndarray, "subreddits dim"] | None:
        """Community states after a pass that is over; None where it is not."""
        found = self._read(self.directory / f"states-{layer}.safetensors")
        return None if found is None else found[0]["states"]

    def save_states(self, layer: int, states: Float32[np.ndarray, "subreddits dim"]) -> None:
        """Record that a pass is over."""
        self._write(f"states-{layer}", {"states": states}, {})
        for path in self.directory.glob(f"lane-{layer}-*.safetensors"):
            path.unlink()

    def lane(self, layer: int, lane: int) -> tuple[int, OpenSoftmax] | None:
        """The next user of a lane and its open softmaxes; None at the start."""
        found = self._read(self.directory / f"lane-{layer}-{lane}.safetensors")
        if found is None:
            return None
        tensors, header = found
        return int(header["next"]), (tensors["maximum"], tensors["total"], tensors["summed"])

    def save_lane(self, layer: int, lane: int, next_user: int, state: OpenSoftmax) -> None:
        """Record that all users of a lane before `next_user` are done."""
        with self._lock:
            self._flush()
        tensors = dict(zip(("maximum", "total", "summed"), state))
        self._write(f"lane-{layer}-{lane}", tensors, {"next": str(next_user)})
        self._saved[lane] = monotonic()

    def clear(self) -> None:
        """Forget everything."""
        for pattern in ("states-*.safetensors*", "lane-*.safetensors*"):
            for path in self.directory.glob(pattern):
                path.unlink()

    def started(self) -> bool:
        """Whether there is something of this run to go on from."""
        files = [*self.directory.glob("states-*"), *self.directory.glob("lane-*")]
        return any(self._read(path) is not None for path in files)

    def _write(self, name: str, tensors: dict[str, np.ndarray], header: dict[str, str]) -> None:
        target = self.directory / f"{name}.safetensors"
        temporary = target.with_name(f"{target.name}.partial")
        save_file(tensors, temporary, {"fingerprint": self.fingerprint} | header)
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(target)

    def _read(self, path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]] | None:
        if path.suffix != ".safetensors" or not path.exists():
            return None
        try:
            with safe_open(path, framework="np") as handle:
                header = handle.metadata() or {}
                if header.get("fingerprint") != self.fingerprint:
                    return None
                # Copies: the kernels go on writing into them.
                names = list(handle.keys())
                tensors = {name: np.array(handle.get_tensor(name)) for name in names}
        except SafetensorError as error:
            raise ValueError(
                f"{path} is damaged ({error}); delete it to embed from the start."
            ) from error
        return tensors, header
