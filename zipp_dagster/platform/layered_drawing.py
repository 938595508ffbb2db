"""Draws a directed acyclic graph in layers: where boxes stand, and how edges run between them.

After Sugiyama, Tagawa and Toda (1981): layers by longest path, long edges by way of narrow
places in the layers that they cross, crossings reduced by barycentre sweeps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

BOX_WIDTH, BOX_HEIGHT = 186, 30
WAY_WIDTH = 10
LAYER_GAP, SIDE_GAP = 34, 12
SWEEPS = 12  # the order settles after some eight on graphs of fifty boxes


@dataclass
class _Place:
    """A box, or a place where a long edge crosses a layer."""

    layer: int
    width: int
    above: list[_Place] = field(default_factory=list)
    below: list[_Place] = field(default_factory=list)
    rank: float = 0.0
    x: float = 0.0


@dataclass(frozen=True)
class Drawing:
    """Upper left corners of boxes by name, SVG paths of edges, and the size in pixels."""

    boxes: dict[str, tuple[int, int]]
    edges: tuple[tuple[str, str, str], ...]
    width: int
    height: int


def draw(inputs: Mapping[str, Sequence[str]]) -> Drawing:
    """Lays out the graph name → names of its inputs (all of them keys too), inputs at the top.

    Raises:
        KeyError: an input is no key.
        ValueError: the graph has a cycle.
    """
    from graphlib import CycleError, TopologicalSorter

    try:
        order = list(
            TopologicalSorter({n: sorted(inputs[n]) for n in sorted(inputs)}).static_order()
        )
    except CycleError as error:
        raise ValueError(f"not acyclic: {' → '.join(error.args[1])}") from error
    boxes: dict[str, _Place] = {}
    for name in order:
        layer = 1 + max((boxes[parent].layer for parent in inputs[name]), default=-1)
        boxes[name] = _Place(layer, BOX_WIDTH)
    places = list(boxes.values())
    chains = {}
    for name in order:
        for parent in sorted(inputs[name]):
            chain = _chain(boxes[parent], boxes[name])
            places += chain[1:-1]
            chains[parent, name] = chain
    layers = _layers(places)
    width = _arrange(layers)
    corners = {name: (round(place.x), _top(place.layer)) for name, place in boxes.items()}
    edges = tuple((*names, _path(chain)) for names, chain in chains.items())
    return Drawing(corners, edges, width, _top(len(layers)) - LAYER_GAP)


def _top(layer: int) -> int:
    return layer * (BOX_HEIGHT + LAYER_GAP)


def _chain(source: _Place, target: _Place) -> list[_Place]:
    """The places of an edge from box to box, linked to one another."""
    between = [_Place(layer, WAY_WIDTH) for layer in range(source.layer + 1, target.layer)]
    chain = [source, *between, target]
    for upper, lower in pairwise(chain):
        upper.below.append(lower)
        lower.above.append(upper)
    return chain


def _layers(places: Sequence[_Place]) -> list[list[_Place]]:
    layers: list[list[_Place]] = [[] for _ in range(1 + max((p.layer for p in places), default=0))]
    for place in places:
        layers[place.layer].append(place)
    return layers


def _arrange(layers: list[list[_Place]]) -> int:
    """Orders each layer and gives every place its x; returns the width."""
    for layer in layers:
        _spread(layer)
    for sweep in range(SWEEPS):
        downwards = sweep % 2 == 0
        for layer in layers if downwards else reversed(layers):
            for place in layer:
                near = place.above if downwards else place.below
                if near:
                    place.rank = sum(other.x + other.width / 2 for other in near) / len(near)
                else:
                    place.rank = place.x + place.width / 2
            layer.sort(key=lambda place: place.rank)
            _spread(layer)
    left = min((place.x for layer in layers for place in layer), default=0.0)
    for layer in layers:
        for place in layer:
            place.x -= left
    return round(max((p.x + p.width for layer in layers for p in layer), default=0.0))


def _spread(layer: Sequence[_Place]) -> None:
    """Puts a layer's places side by side in their order, each as near to its rank as there is room.

    Places that would overlap are merged into blocks, centred on the mean of their wishes (the
    pool-adjacent-violators rule of isotonic regression).
    """
    blocks: list[tuple[float, list[_Place]]] = []  # the sum of wished left ends, and the members
    widths: list[int] = []
    for place in layer:
        wished, members, width = place.rank - place.width / 2, [place], place.width + SIDE_GAP
        while blocks and blocks[-1][0] / len(blocks[-1][1]) + widths[-1] > wished / len(members):
            before, earlier = blocks.pop()
            shift = widths.pop()
            wished = before + wished - shift * len(members)
            members, width = earlier + members, shift + width
        blocks.append((wished, members))
        widths.append(width)
    for wished, members in blocks:
        left = wished / len(members)
        for place in members:
            place.x = left
            left += place.width + SIDE_GAP


def _path(chain: Sequence[_Place]) -> str:
    """Starts below the first box, ends above the last one, and runs straight through the ways."""
    x, y = chain[0].x + chain[0].width / 2, _top(chain[0].layer) + BOX_HEIGHT
    parts = [f"M{x:.0f},{y}"]
    for place in chain[1:]:
        next_x, next_y = place.x + place.width / 2, _top(place.layer)
        middle = (y + next_y) // 2
        parts.append(f"C{x:.0f},{middle} {next_x:.0f},{middle} {next_x:.0f},{next_y}")
        x, y = next_x, next_y
        if place.width == WAY_WIDTH:
            y += BOX_HEIGHT
            parts.append(f"V{y}")
    return " ".join(parts)
