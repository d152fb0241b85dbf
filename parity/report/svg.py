"""How figures become SVG files. The same figure gives the same bytes, so that diffs stay empty."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# matplotlib's stubs want the names of its parameters as literals.
SVG_STYLE: Any = {
    "svg.hashsalt": "parity",
    # Text stays text: it can be searched and read aloud, and the bytes do not depend on the fonts of the machine.
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e7ea",
    "axes.edgecolor": "#9aa1a8",
    "figure.facecolor": "white",
}


def write_svg(figure: Figure, path: Path, title: str) -> None:
    """To be called where the figure was drawn, within ``matplotlib.rc_context(SVG_STYLE)``."""
    metadata = {"Date": None, "Creator": "parity", "Title": title, "Format": "image/svg+xml"}
    FigureCanvasSVG(figure).print_svg(path, metadata=metadata)
