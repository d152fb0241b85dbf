"""An ``Algorithm``'s processes before it is built, and what it leaves behind."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any


def bundles_of(config: Any) -> list[dict[str, float]]:
    """What RLlib itself asks Tune for: it looks up its processes' places by their numbers in this list."""
    request = config.algo_class.default_resource_request(config.copy(copy_frozen=False).to_dict())
    return [{name: float(amount) for name, amount in bundle.items()} for bundle in request.bundles]


def stop(algorithm: Any) -> None:
    """Ends its processes."""
    folder = Path(algorithm.logdir)
    algorithm.stop()
    # An Algorithm outside of Tune makes itself a folder under ~/ray_results, and leaves it there, empty.
    with contextlib.suppress(OSError):
        folder.rmdir()
