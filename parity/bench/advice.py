"""What a port's speed is lost to, as findings: from rounds with phases, with parts exchanged, and under other conditions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import geometric_mean
from typing import Any

from parity.ladder.findings.raw_finding import RawFinding, as_findings, settle
from parity.results.bench import BenchFile, Condition, PhaseTime, Round
from parity.results.summary import SB3, Finding, Severity

# A part is said to slow a port down where every pair of rounds is more than this factor apart.
FACTOR = 1.1
# Shares of an iteration: what stands still for less is not worth a sentence.
WAITING_SHARE, COPIES_SHARE, IDLE_GPU_PERCENT = 0.15, 0.15, 30.0
# A part waits if it used the CPU for less than this share of what the rest of the iteration did.
BUSY_SHARE = 0.5
_ASKED = ("n_envs", "n_steps", "batch_size", "n_epochs")
# RLlib's design: its seed switches the first on for the whole process, and a local env runner is always on the CPU.
_MINOR = ("deterministic algorithms", "device of sampling")


def fairness(file: BenchFile, task: str) -> list[Condition]:
    """What every framework trained under, side by side: as it was configured, and as the process was seen afterwards."""
    rows: dict[str, dict[str, Any]] = {}
    for framework in file.request.frameworks:
        effective = file.effective.get(task, {}).get(framework)
        seen = next((r for r in file.measured if (r.task, r.framework) == (task, framework)), None)
        if effective is None or seen is None:
            continue
        values = {name: effective.hyperparameters[name] for name in _ASKED if name in effective.hyperparameters}
        values |= {name: value for name, value in file.request.at.items() if name in values}
        sizes: list[Any] = [values.get(name) for name in ("batch_size", "n_envs", "n_steps")]
        if all(isinstance(size, int | float) for size in sizes):
            # SB3 takes the whole rollout where a minibatch would be longer.
            values["batch_size"] = min(sizes[0], sizes[1] * sizes[2])
        learning = _of_learning(seen)
        sampling = {name: device for name, device in seen.module_devices.items() if name not in learning} or learning
        values |= {"processes": effective.processes, "device of learning": _devices(learning)}
        values |= {"device of sampling": _devices(sampling)} | seen.conditions
        for name, value in values.items():
            rows.setdefault(name, {})[framework] = value
    return [
        Condition(name=name, values=values, differs=len(set(map(str, values.values()))) > 1)
        for name, values in rows.items()
    ]


def findings(file: BenchFile, task: str, conditions: Sequence[Condition]) -> list[Finding]:
    reported: list[Finding] = []
    for framework in file.request.frameworks:
        of_framework = [
            *_of_device(file, task, framework),
            *_of_conditions(conditions, framework),
            *_of_exchanges(file, task, framework),
            *_of_slow_paths(file, task, framework),
            *_of_phases(file, task, framework),
        ]
        reported += as_findings(settle(of_framework, {}), task, framework)
    return reported


def _devices(modules: dict[str, str]) -> str:
    return ", ".join(sorted(set(modules.values()))) or "unknown"


def _of_learning(round_: Round) -> dict[str, str]:
    """The modules that are trained -> their devices; RLlib's own env runner plays on the CPU by design."""
    return {name: device for name, device in round_.module_devices.items() if not name.startswith("env runner")}


def _of_device(file: BenchFile, task: str, framework: str) -> Iterator[RawFinding]:
    if file.request.device != "cuda":
        return
    for round_ in _rounds(file.measured, task, framework)[:1]:
        for name, device in _of_learning(round_).items():
            if "cuda" not in device:
                yield _finding("PAR911", name, f"{name} is on {device}", {"asked": "cuda", "actual": device}, "error")


def _of_conditions(conditions: Sequence[Condition], framework: str) -> Iterator[RawFinding]:
    for each in conditions:
        if framework == SB3 or SB3 not in each.values or framework not in each.values:
            continue
        ours, theirs = each.values[SB3], each.values[framework]
        if str(ours) != str(theirs):
            severity: Severity = "info" if each.name in _MINOR else "warning"
            text = f"{each.name}: {SB3} had {ours}, {framework} {theirs}"
            yield _finding("PAR912", each.name, text, {SB3: ours, framework: theirs}, severity)


def _of_exchanges(file: BenchFile, task: str, framework: str) -> Iterator[RawFinding]:
    for part, gains in exchanges(file, task, framework).items():
        if gains and min(gains) > FACTOR:
            gain = geometric_mean(gains)
            text = f"{part}: training is {gain:.2g} times as fast with RLlib's standard part in its place"
            evidence = {"gain": gain, "gain_of_each_pair": gains}
            fix = "config.env_runners(episodes_to_numpy=False)" if part.startswith("episodes_to_numpy") else None
            yield _finding("PAR910", part, text, evidence, "warning", fix)


def exchanges(file: BenchFile, task: str, framework: str) -> dict[str, list[float]]:
    """Part of the port's own -> how many times as fast the training was without it, of each pair of rounds."""
    rates: dict[tuple[str | None, int], float] = {
        (each.without, each.round): each.env_steps_per_s for each in _rounds(file.exchanged, task, framework)
    }
    gains: dict[str, list[float]] = {}
    for (part, number), rate in rates.items():
        if part is not None and (None, number) in rates:
            gains.setdefault(part, []).append(rate / rates[None, number])
    return gains


def _of_slow_paths(file: BenchFile, task: str, framework: str) -> Iterator[RawFinding]:
    paths = dict.fromkeys(path for each in _rounds(file.measured, task, framework) for path in each.slow_paths)
    gains = {part: geometric_mean(each) for part, each in exchanges(file, task, framework).items() if each}
    for path in paths:
        best = max(gains, key=gains.__getitem__, default=None)
        costs = f"; without {best} it is {gains[best]:.2g} times as fast here" if best is not None else ""
        evidence = {} if best is None else {"gain": gains[best], "without": best}
        yield _finding("PAR914", path.partition(" goes ")[0], path + costs, evidence, "info")


def _of_phases(file: BenchFile, task: str, framework: str) -> Iterator[RawFinding]:
    for round_ in _rounds(file.profiled, task, framework)[:1]:
        if not any("cuda" in device for device in round_.module_devices.values()):
            yield from _of_waiting(round_)
        total = sum(time.wall_s for time in round_.phases.values())
        copies = round_.phases["transfer"].wall_s / total
        if copies > COPIES_SHARE:
            text = f"copies between host and device are {copies:.0%} of an iteration"
            yield _finding("PAR916", "transfer", text, {"share": copies}, "warning")
        if round_.gpu is not None and (use := round_.gpu.utilisation) is not None and use < IDLE_GPU_PERCENT:
            text = f"the GPU computed {use:.0f} % of the time"
            yield _finding("PAR917", round_.gpu.name, text, {"utilisation_percent": use}, "info")


def _of_waiting(round_: Round) -> Iterator[RawFinding]:
    """What stood still: the clock ran, the CPU did not, while the rest of the same iterations used it."""
    total = _sum(round_.phases.values())
    for phase, name, seen in _parts(round_):
        rest_wall, rest_cpu = total.wall_s - seen.wall_s, total.cpu_s - seen.cpu_s
        if phase == "waiting" or seen.wall_s <= 0:
            continue
        # Where the machine is busy with other programs, everything waits: only what waits more than that is meant.
        usual = min(1.0, rest_cpu / rest_wall) if rest_wall > 0.05 * total.wall_s else 1.0
        idle = seen.wall_s - seen.cpu_s / max(usual, 1e-9)
        if idle > WAITING_SHARE * total.wall_s and seen.cpu_s / seen.wall_s < BUSY_SHARE * usual:
            text = (
                f"{name} waits {idle:.2g} s of an iteration's {total.wall_s:.2g} s without using the CPU: training would be "
                f"{total.wall_s / (total.wall_s - idle):.2g} times as fast without"
            )
            evidence = {"wall_s": seen.wall_s, "cpu_s": seen.cpu_s, "iteration_s": total.wall_s}
            yield _finding("PAR915", name, text, evidence, "warning")


def _parts(round_: Round) -> Iterator[tuple[str, str, PhaseTime]]:
    """Phases without their parts of a name, and those parts."""
    for phase, time in round_.phases.items():
        named = _sum(time.parts.values())
        unnamed = PhaseTime(wall_s=time.wall_s - named.wall_s, cpu_s=time.cpu_s - named.cpu_s)
        yield phase, phase, unnamed
        for part, of_part in time.parts.items():
            yield phase, f"{phase}: {part}" if phase == "environment" else part, of_part


def _sum(times: Any) -> PhaseTime:
    pairs = [(time.wall_s, time.cpu_s) for time in times]
    return PhaseTime(wall_s=sum(wall for wall, _ in pairs), cpu_s=sum(cpu for _, cpu in pairs))


def _rounds(rounds: Sequence[Round], task: str, framework: str) -> list[Round]:
    return [each for each in rounds if (each.task, each.framework) == (task, framework)]


def _finding(
    code: str, where: str, message: str, evidence: dict[str, Any], severity: Severity, fix: str | None = None
) -> RawFinding:
    return RawFinding(code, 9, where, message, evidence, severity, fix=fix)
