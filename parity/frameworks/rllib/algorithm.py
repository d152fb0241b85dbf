"""Reserves what an ``Algorithm`` will need, and cleans up after it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any


def bundles_of(config: Any) -> list[dict[str, float]]:
    """The resource bundles that RLlib asks Tune for, in RLlib's order: it finds its processes' bundles by their index."""
    request = config.algo_class.default_resource_request(config.copy(copy_frozen=False).to_dict())
    return [{name: float(amount) for name, amount in bundle.items()} for bundle in request.bundles]


def stop(algorithm: Any) -> None:
    """Ends an algorithm's processes."""
    folder = Path(algorithm.logdir)
    algorithm.stop()
    # An Algorithm outside of Tune makes itself a folder under ~/ray_results, and leaves it there, empty.
    with contextlib.suppress(OSError):
        folder.rmdir()
