"""The ZIPBench report: one self-contained HTML page, and every number on it as scores.json.

`report_data` holds what the caller gathered; `report_view` turns it into plain values, the template
in `templates/` lays them out. No number is computed here.
"""

from __future__ import annotations

import json
from base64 import b64encode
from importlib.resources import files
from pathlib import Path

import jinja2

from zipp_dagster.zipbench import svg
from zipp_dagster.zipbench.config import ZipbenchSettings
from zipp_dagster.zipbench.gallery import GalleryCase, small_png
from zipp_dagster.zipbench.report_data import PARTS, Curve, GridRow, LineageRow, ReportData
from zipp_dagster.zipbench.report_view import build_view

__all__ = ["Curve", "GridRow", "LineageRow", "ReportData", "write_report"]


def write_report(data: ReportData, out_dir: Path, settings: ZipbenchSettings | None = None) -> Path:
    """Writes index.html and scores.json into `out_dir`, and returns the page's path.

    People's prompts, personas and pictures are left out of both files unless the data is synthetic
    or `show_real_personas` is set. ValueError for an unknown key in `skipped`.
    """
    settings = settings or ZipbenchSettings()
    unknown = sorted(set(data.skipped) - set(PARTS))
    if unknown:
        raise ValueError(f"skipped names {unknown[0]!r}; the report's parts are {', '.join(PARTS)}")
    view = build_view(data, settings)
    pixels = settings.gallery_pixels
    images = {
        "gallery": [_case_images(c, pixels) for c in data.gallery if view["gallery"]["cases"]],
        "failures": [_case_images(c, pixels) for c in data.failures if view["failures"]],
        "grids": [
            [_data_uri(picture.image, pixels) for picture in row.pictures]
            for row in data.grids
            if view["grids"]
        ],
    }
    page = _template().render(view=view, images=images, svg=svg)
    out_dir.mkdir(parents=True, exist_ok=True)
    text = json.dumps(view, indent=1, ensure_ascii=False, allow_nan=False)
    (out_dir / "scores.json").write_text(text + "\n", "utf-8")
    path = out_dir / "index.html"
    path.write_text(page, "utf-8")
    return path


def _case_images(case: GalleryCase, pixels: int) -> dict[str, object]:
    """Data URIs of a case's pictures, in the order of its pictures, and of the reference."""
    return {
        "pictures": [_data_uri(picture.image, pixels) for picture in case.pictures],
        "reference": _data_uri(case.reference, pixels) if case.reference else None,
    }


def _data_uri(image: bytes, pixels: int) -> str:
    return "data:image/png;base64," + b64encode(small_png(image, pixels)).decode("ascii")


def _template() -> jinja2.Template:
    folder = files(__package__) / "templates"

    def source(name: str) -> str:
        return (folder / name).read_text("utf-8")

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(source),
        autoescape=True,  # titles and personas are other people's text
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"num": number, "signed": signed, "percent": percent, "count": count}
    return environment.get_template("report.html.j2")


def number(value: float | None, digits: int = 3) -> str:
    """A figure as shown; an en dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def signed(value: float | None, digits: int = 3) -> str:
    """A difference as shown, with its sign."""
    return "–" if value is None else f"{value:+.{digits}f}".replace("-", "−")


def percent(value: float | None, digits: int = 1) -> str:
    """A share as a percentage."""
    return "–" if value is None else f"{100 * value:.{digits}f} %".replace("-", "−")


def count(value: int | None) -> str:
    """A number of things, in groups of three digits."""
    return "–" if value is None else f"{value:,}"
