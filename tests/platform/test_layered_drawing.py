from __future__ import annotations

from itertools import pairwise

import pytest

from zipp_dagster.platform.layered_drawing import BOX_HEIGHT, BOX_WIDTH, draw

DIAMOND = {"wheat": [], "flour": ["wheat"], "water": [], "dough": ["flour", "water"]}


def test_inputs_stand_above_what_is_made_from_them():
    boxes = draw(DIAMOND).boxes
    assert boxes["wheat"][1] == boxes["water"][1] == 0
    assert boxes["wheat"][1] < boxes["flour"][1] < boxes["dough"][1]


def test_boxes_never_overlap_and_lie_inside_the_drawing():
    graph = {f"n{i}": [f"n{j}" for j in range(i) if (i * j) % 5 == 2] for i in range(40)}
    drawing = draw(graph)
    by_layer: dict[int, list[int]] = {}
    for x, y in drawing.boxes.values():
        by_layer.setdefault(y, []).append(x)
        assert 0 <= x and x + BOX_WIDTH <= drawing.width and y + BOX_HEIGHT <= drawing.height
    for row in by_layer.values():
        assert all(b - a >= BOX_WIDTH for a, b in pairwise(sorted(row)))


def test_every_edge_has_a_path_from_box_to_box():
    drawing = draw(DIAMOND)
    assert {(source, target) for source, target, _ in drawing.edges} == {
        ("wheat", "flour"),
        ("flour", "dough"),
        ("water", "dough"),
    }
    path = next(path for source, target, path in drawing.edges if source == "flour")
    x, y = drawing.boxes["flour"]
    assert path.startswith(f"M{x + BOX_WIDTH // 2},{y + BOX_HEIGHT}")


def test_a_long_edge_runs_between_the_boxes_that_it_passes():
    drawing = draw({"a": [], "b": ["a"], "c": ["b", "a"]})
    path = next(path for source, target, path in drawing.edges if (source, target) == ("a", "c"))
    way = int(path.split("V")[0].split()[-1].split(",")[0])
    left = drawing.boxes["b"][0]
    assert way < left or way > left + BOX_WIDTH


def test_the_same_graph_is_always_drawn_alike():
    assert draw(DIAMOND) == draw(dict(reversed(DIAMOND.items())))


def test_a_cycle_is_named():
    with pytest.raises(ValueError, match="not acyclic"):
        draw({"a": ["b"], "b": ["a"]})
