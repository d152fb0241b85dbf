"""Notes what raised where the capture goes on without it, so that ``parity check`` can say so."""

from __future__ import annotations

from parity.errors import one_line
from parity.results.capture import Numbers


def note(numbers: Numbers, consequence: str, error: Exception) -> None:
    """Adds a sentence to ``facts["notes"]``, unless it stands there already.

    Args:
        consequence: what the capture does without, as the beginning of the sentence.
    """
    sentence = f"{consequence}: {type(error).__name__}: {one_line(error)}"
    notes = numbers.facts.setdefault("notes", [])
    if sentence not in notes:
        notes.append(sentence)
