"""Whatever a file, an option or a task holds: a verdict, or exit code 2 and one sentence. Nothing else is let through."""

from __future__ import annotations

import contextlib
import io
import json
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, seed, settings

from parity.cli import call
from parity.errors import CannotStart

# Far above what any of these takes on a busy machine.
LONGEST_S = 60
SEED = 20261127
FIGURES = ("steps", "train_s", "difference", "throughput", "ladder")
Test = TypeVar("Test", bound=Callable[..., Any])


class Hang(BaseException):
    """Nothing of parity's may catch it."""


@dataclass(frozen=True)
class Outcome:
    """One command: what it was asked, its exit code and what it printed."""

    arguments: tuple[str, ...]
    code: int
    out: str
    err: str

    def accept(self) -> str:
        """What kind of end it was.

        Raises:
            AssertionError: it is none that a user may see.
        """
        said = f"{self.arguments}: {self.code}\n{self.out[-2000:]}\n{self.err[-6000:]}"
        assert "Traceback (most" not in self.err and "internal error" not in self.err, said
        assert self.code in (0, 1, 2, 3), said
        control = {
            c for c in self.err + ("" if "--json" in self.arguments else self.out) if not (c.isprintable() or c == "\n")
        }
        assert not control, (control, said)
        assert not any(line.lstrip().startswith(("::", "##[")) for line in self.err.splitlines()), said
        assert max(map(len, self.err.splitlines()), default=0) < 5000, said[:3000]
        if self.code == 2:
            assert self.out == "", said
            lines = self.err.splitlines()
            assert lines and lines[-1].startswith("parity: ") and lines[-1].endswith((".", "?")), said
            assert sum(line.startswith("parity: ") for line in lines) == 1, said
            return "sentence"
        if "--json" in self.arguments:
            json.loads(self.out)
        return "verdict"


@contextlib.contextmanager
def no_hang(seconds: int = LONGEST_S) -> Iterator[None]:
    def ring(number: int, frame: FrameType | None) -> None:
        raise Hang(f"not finished after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def run(*arguments: str) -> Outcome:
    """A command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), no_hang():
        code = call(list(arguments))
    return Outcome(arguments, code, out.getvalue(), err.getvalue())


def stopped(*_: object) -> None:
    """In the place of whatever would start a process."""
    raise CannotStart("A process would be started.")


def generated(examples: int) -> Callable[[Test], Test]:
    """A generator's settings: the same inputs every time."""
    checks = [
        HealthCheck.too_slow,
        HealthCheck.function_scoped_fixture,
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
    ]
    # Neither shrunk nor explained: both trace every line, and a report takes minutes then.
    options = settings(
        phases=(Phase.explicit, Phase.generate),
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=checks,
    )
    return lambda test: seed(SEED)(options(test))


class Score:
    """How many inputs of each kind were tried, and how they ended."""

    def __init__(self) -> None:
        self.ends: dict[str, dict[str, Counter[str]]] = {}

    def count(self, group: str, kind: str, end: str) -> None:
        self.ends.setdefault(group, {}).setdefault(kind, Counter())[end] += 1

    def document(self) -> dict[str, Any]:
        inputs = sum(of.total() for kinds in self.ends.values() for of in kinds.values())
        return {"seed": SEED, "inputs": inputs, "tracebacks": 0, "hangs": 0, "wrong_codes": 0, "ends": self.ends}
