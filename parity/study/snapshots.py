"""Where a trial that is interrupted goes on: a session in its trial's folder, signed.

It is unpickled, which runs what stands in it, and a study may be somebody else's: only what was written with this user's
own key is read.
"""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path

from parity.results.writing import replacing

SNAPSHOT_FILE = "snapshot"
_ALGORITHM, _LENGTH = "sha256", 32


def own_key() -> bytes | None:
    """This user's key, made at the first call; None where there is no place for it: interrupted trials then begin anew."""
    try:
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
        path = state / "parity" / "key"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                temporary.touch(mode=0o600)
                temporary.write_bytes(secrets.token_bytes(_LENGTH))
        key = path.read_bytes()
    except (OSError, RuntimeError):  # not writable; no home at all
        return None
    return key if len(key) == _LENGTH else None


def write_snapshot(trial: Path, data: bytes, key: bytes) -> None:
    with replacing(trial / SNAPSHOT_FILE) as path:
        path.write_bytes(hmac.digest(key, data, _ALGORITHM) + data)


def read_snapshot(trial: Path, key: bytes | None) -> bytes | None:
    """What `write_snapshot` wrote; None where there is none, or none that was written with this key."""
    path = trial / SNAPSHOT_FILE
    if key is None or not path.is_file():
        return None
    stored = path.read_bytes()
    signature, data = stored[:_LENGTH], stored[_LENGTH:]
    return data if hmac.compare_digest(signature, hmac.digest(key, data, _ALGORITHM)) else None


def remove_snapshot(trial: Path) -> None:
    (trial / SNAPSHOT_FILE).unlink(missing_ok=True)
