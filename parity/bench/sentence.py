"""The sentence of a bench."""

from __future__ import annotations

from parity.errors import in_words
from parity.results.bench import BenchFile, Ratio
from parity.verdict.throughput import FACTOR_SLOWER, LEAST_ROUNDS

# Stand in the place of a framework: the limit of a task, and that of a port in which several agents learn.
LIMIT, LIMIT_OF_PORT = "limit", "limit of the port"
PHASE_WORDS = {
    "environment": "environment",
    "inference": "inference",
    "bookkeeping": "bookkeeping",
    "transfer": "host-device copies",
    "returns": "returns",
    "forward": "forward",
    "loss": "loss",
    "backward": "backward",
    "optimiser": "optimiser",
    "graph": "update as one CUDA graph",
    "weight_sync": "weight sync",
    "waiting": "waiting for processes",
}
# If other programs keep more cores busy than this, the sentence says so.
BUSY = 0.5


def sentence(file: BenchFile) -> str:
    """One clause per task and port, then reservations about the figures."""
    if file.reason is not None:
        return f"INVALID: {file.reason}."
    clauses = [
        ratio_words(task, pair, ratio) for task, bench in file.by_task().items() for pair, ratio in bench.ratio.items()
    ]
    if not clauses:
        clauses = [
            f"{name} makes {rate.env_steps_per_s:.4g} environment steps per second on {task}"
            for task, bench in file.by_task().items()
            for name, rate in bench.throughput.items()
        ]
    clauses += [
        f"{name} reaches {rate.of_limit:.0%} of the limit of {task}"
        for task, bench in file.by_task().items()
        for name, rate in bench.throughput.items()
        if rate.of_limit is not None
    ]
    different = {
        str(each.where) for bench in file.by_task().values() for each in bench.findings if each.code == "PAR912"
    }
    if different:
        clauses.append(f"the frameworks differed in {in_words(sorted(different))}")
    clauses += dict.fromkeys(f"{each.framework}: {path}" for each in file.measured for path in each.slow_paths)
    busy = [each for each in file.measured if each.other_load > BUSY]
    if busy:
        clauses.append(f"before {len(busy)} of {len(file.measured)} measurements other programs kept the machine busy")
    return "; ".join(clauses) + "."


def ratio_words(task: str, pair: str, ratio: Ratio) -> str:
    """The clause of one pair, such as ``"rllib/sb3"``, without a full stop."""
    port, _, reference = pair.partition("/")
    text = f"{port} makes {ratio.estimate:.3g} times the environment steps per second of {reference} on {task}"
    if ratio.interval is not None:
        low, high = ratio.interval
        text += f" ({100 * ratio.confidence:.0f} % interval {low:.3g} to {high:.3g}, {ratio.rounds} rounds)"
    if ratio.slower is None:
        return f"{text}; fewer than {LEAST_ROUNDS} rounds cannot say whether it is slower"
    return f"{text}: {'slower' if ratio.slower else f'not slower by a factor of {FACTOR_SLOWER:g}'}"
