"""Colours and symbols that the interactive figures, the SVGs and the page share. Readable on white and on dark."""

from __future__ import annotations

# By place in the study's list of frameworks; told apart by people with any colour vision (after Okabe and Ito).
_COLOURS = ("#3a83d6", "#e0761b", "#1f9e78", "#b565c8", "#c9524f", "#8a7a2e")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")
_MARKERS = {"circle": "o", "square": "s", "diamond": "D", "triangle-up": "^", "cross": "P", "x": "X"}

PHASE_COLOURS = {
    "sample": "#3a83d6",
    "returns": "#8fb8e8",
    "update": "#e0761b",
    "rest": "#9aa1a8",
    "evaluate": "#6fbf9c",
    # Those of a bench: what samples is blue, what learns warm, the rest grey.
    "environment": "#1f5fae",
    "inference": "#3a83d6",
    "forward": "#f0b429",
    "loss": "#d9a066",
    "backward": "#e0761b",
    "optimiser": "#c9524f",
    "graph": "#a8322d",
    "transfer": "#b565c8",
    "weight_sync": "#6fbf9c",
    "waiting": "#1f9e78",
    "bookkeeping": "#9aa1a8",
}


def colour(frameworks: list[str], framework: str) -> str:
    return _COLOURS[frameworks.index(framework) % len(_COLOURS)]


def symbol(frameworks: list[str], framework: str) -> str:
    """Plotly's name."""
    return _SYMBOLS[frameworks.index(framework) % len(_SYMBOLS)]


def marker(frameworks: list[str], framework: str) -> str:
    """Matplotlib's name of the same symbol."""
    return _MARKERS[symbol(frameworks, framework)]


def translucent(hex_colour: str, alpha: float) -> str:
    red, green, blue = (int(hex_colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"
