"""``parity-waivers.toml``: claims of the gate that may fail until a date, by whom and why.

The file is TOML, with a table for each waiver, or JSON of the same form::

    [[waiver]]
    claim = "tiles.rllib.learning.final"
    reason = "ray 2.61 shuffles otherwise; tracked in our issue 12"
    by = "Ada"
    granted = 2026-11-20
    expires = 2027-01-20
"""

from __future__ import annotations

import json
import tomllib
from datetime import date, timedelta
from pathlib import Path

from pydantic import ConfigDict, Field, model_validator

from parity.errors import CannotStart
from parity.results.model import Strict
from parity.results.reading import cannot_read, read_text

WAIVERS_FILE = "parity-waivers.toml"
# A waiver that lasts longer has become the normal state, which belongs into the baseline.
LONGEST = timedelta(days=180)


class Waiver(Strict):
    """``claim`` is the id of a claim, or a glob over ids of one kind. It covers up to and including the day ``expires``."""

    model_config = ConfigDict(str_strip_whitespace=True)

    claim: str = Field(min_length=1)
    reason: str = Field(min_length=1)
    by: str = Field(min_length=1)
    granted: date
    expires: date

    @model_validator(mode="after")
    def _in_time(self) -> Waiver:
        if self.expires < self.granted:
            raise ValueError(f"expires {self.expires} before it was granted, {self.granted}")
        if self.expires - self.granted > LONGEST:
            raise ValueError(
                f"expires {self.expires}, more than {LONGEST.days} days after it was granted, {self.granted}; "
                "what lasts longer belongs into the baseline"
            )
        return self


class WaiversFile(Strict):
    waiver: list[Waiver] = []


def load_waivers(path: Path) -> list[Waiver]:
    """The waivers of a file.

    Raises:
        CannotStart: it is missing or not as described above.
    """
    if not path.is_file():
        raise CannotStart(f"--waivers {path}: there is no such file; leave the option out where nothing is waived.")
    try:
        text = read_text(path)
        return WaiversFile.model_validate(json.loads(text) if path.suffix == ".json" else tomllib.loads(text)).waiver
    except (ValueError, OSError) as error:
        remedy = f"it is TOML with [[waiver]] tables, or JSON, and every waiver has {', '.join(Waiver.model_fields)}"
        raise cannot_read(path, error, remedy) from error
