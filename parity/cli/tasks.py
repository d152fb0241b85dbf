"""``parity tasks``."""

from __future__ import annotations

from typing import Any

from parity.cli.options import Json


def tasks(*, json: Json = False) -> int:
    """List the built-in tasks with their reference scores.

    Parameters
    ----------
    json
        Print a list of objects on stdout.
    """
    import json as json_module
    import sys

    from parity.tasks import BUILT_IN, load, resolve

    found = [load(resolve(name)) for name in BUILT_IN]
    rows = [{"id": task.id, "steps": task.steps, "margin": task.margin, "reference": task.reference} for task in found]
    if json:
        json_module.dump(rows, sys.stdout, indent=1)
        print()
        return 0
    for task in found:
        reference: dict[str, Any] = dict(task.reference or {})
        anchors = f"uniform legal {reference.get('uniform_legal', '?')}, best known {reference.get('best', '?')}"
        print(f"{task.id:22} {task.steps:>8} steps   {anchors}")
    return 0
