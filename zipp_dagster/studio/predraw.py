"""Draws the pairs of all participants in the background, everybody's first ones first.

A pair is drawn once and kept in the database, so a restarted server goes on where the last one ended.
"""

from __future__ import annotations

import json
import logging
import threading
import zlib
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from zipp_dagster.studio.artist import Artist
from zipp_dagster.studio.intake import Intake, persona_text, stranger_for
from zipp_dagster.studio.sketches import PairRequest
from zipp_dagster.studio.store import Store

_log = logging.getLogger(__name__)
RETRIES = 2
"""A pair that failed is tried again so often; then it waits for the server's next start."""


class Predrawer:
    """Hands planned pairs to the artist and keeps what comes back."""

    def __init__(self, store: Store, artist: Artist, *, guess: bool) -> None:
        self.store = store
        self.artist = artist
        self.guess = guess
        self._under_way: dict[str, int] = {}
        self._lock = threading.Lock()

    def look(self) -> int:
        """Queues every planned pair that is not queued yet; returns how many there were."""
        queued = 0
        for row in self.store.planned():
            with self._lock:
                if row["id"] in self._under_way:
                    continue
                self._under_way[row["id"]] = 0
            self._queue(dict(row))
            queued += 1
        return queued

    def _queue(self, row: dict[str, Any]) -> None:
        future = self.artist.pair(request_of(row, guess=self.guess), row["position"])
        future.add_done_callback(lambda done: self._keep(row, done))

    def _keep(self, row: dict[str, Any], done: Future[Any]) -> None:
        if done.cancelled():
            return
        error = done.exception()
        if error is None:
            self.store.save_drawing(row["id"], *done.result())
            with self._lock:
                del self._under_way[row["id"]]
            return
        _log.error("pair %s could not be drawn: %s", row["id"], error)
        with self._lock:
            self._under_way[row["id"]] += 1
            again = self._under_way[row["id"]] <= RETRIES
        if again:
            self._queue(row)


def request_of(row: Mapping[str, Any], *, guess: bool) -> PairRequest:
    """What is to be drawn for a planned pair; the stranger is the same for all pairs of a person."""
    stranger = ""
    if "mismatched" in (row["left_method"], row["right_method"]):
        choice = zlib.crc32(row["participant"].encode())
        intake = Intake.model_validate(json.loads(row["intake"]))
        stranger = persona_text(stranger_for(intake, choice), guess=guess)
    return PairRequest(
        row["prompt"],
        int(row["seed"]),
        row["left_method"],
        row["right_method"],
        row["persona_text"],
        stranger,
    )
