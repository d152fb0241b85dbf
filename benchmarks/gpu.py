"""Everything that is to be measured on a GPU, in one go, on a machine without a network: the update as a graph, frameworks side
by side, ladder, short studies, sweeps, and `parity bench` with a process for every round.

Raw data go to results/gpu (--out). A call ends after --minutes (9.5); what is not done yet is done by the next call of the same
command, which goes on where this one ended. --dry-run does all of it on the CPU, as small as it gets.

Usage: benchmarks/gpu.sh [--task TASK ...] [--out FOLDER] [--minutes M] [--dry-run]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

# Parity ends with this when it was interrupted and can go on.
INTERRUPTED = 130
# A step is not begun with less time than this left, and has this long to end after it was interrupted.
LEAST_S, GRACE_S = 30.0, 25.0


@dataclasses.dataclass(frozen=True)
class Step:
    """``command``: arguments of ``parity``; ``resume``: those of a call that goes on; ``made``: what shows that it had begun.

    ``stdout``: a file for what it prints; such a step begins anew. ``script``: run in place of ``parity``.
    """

    name: str
    command: list[str]
    resume: list[str]
    made: str
    stdout: str | None = None
    script: str | None = None


def steps(out: Path, tasks: list[str], device: str, dry_run: bool) -> list[Step]:
    """In the order of what matters most."""
    rounds = ["--rounds", "1" if dry_run else "6", "--iterations", "1" if dry_run else "3"]
    few = ["--rounds", "1" if dry_run else "2", "--iterations", "1"]
    three = ["--frameworks", "sb3", "rllib", "rllib-exact"]
    updates, turns = (["--updates", "3"], ["--rounds", "1"]) if dry_run else (["--updates", "8"], ["--rounds", "6"])
    every = [_script(out, "captured-update", "captured_update.py", tasks, device, updates)]
    every.append(_script(out, "side-by-side", "gpu_pairs.py", tasks, device, turns))
    every += [_check(out, task, device) for task in tasks]
    every += [_bench(out, _name(task, device), task, device, [*three, *rounds]) for task in tasks]
    for task in tasks:
        # Of a rollout of 8,192 steps or more, as no minibatch is longer than its rollout.
        sizes = "64,128" if dry_run else "64,256,1024,4096,8192"
        at = [] if dry_run else ["--at", "n_envs=32"]
        arguments = ["--frameworks", "sb3", "rllib", *few, *at, "--sweep", f"batch_size={sizes}", "--no-details"]
        every.append(_bench(out, _name(task, device, "batch-size"), task, device, arguments))
    for task in tasks:
        runners = "0,1" if dry_run else "0,1,2,4,8,14"
        arguments = ["--frameworks", "rllib", *few, "--sweep", f"env_runners={runners}", "--no-details"]
        every.append(_bench(out, _name(task, device, "env-runners"), task, device, arguments))
    for task in tasks:
        short = ["--seeds", "1" if dry_run else "3", "--steps", "512" if dry_run else "16384"]
        every.append(_run(out, _name(task, device, "study"), task, device, short))
    # The same machine without its GPU.
    every += [_bench(out, _name(task, "cpu"), task, "cpu", [*three, *rounds]) for task in tasks if device != "cpu"]
    return every


def _bench(out: Path, name: str, task: str, device: str, arguments: list[str]) -> Step:
    command = ["bench", "--task", task, "--device", device, "--out", str(out), "--name", name, *arguments]
    return Step(name, command, ["bench", "--resume", str(out / name)], f"{name}/bench.json")


def _run(out: Path, name: str, task: str, device: str, arguments: list[str]) -> Step:
    command = ["run", "--task", task, "--device", device, "--out", str(out), "--name", name, *arguments]
    return Step(name, command, ["run", "--resume", str(out / name)], f"{name}/study.json")


def _script(out: Path, name: str, script: str, tasks: list[str], device: str, arguments: list[str]) -> Step:
    command = ["--task", *tasks, "--device", device, "--out", str(out / f"{name}.json"), *arguments]
    return Step(name, command, command, "", script=script)


def _check(out: Path, task: str, device: str) -> Step:
    """The ladder on the device; its control is the same on the CPU."""
    command = ["check", "--task", task, "--device", device, "--json"]
    name = _name(task, device, "ladder")
    return Step(name, command, command, "", f"{name}.json")


def _name(task: str, *what: str) -> str:
    """Of a folder; a task may be a file."""
    return "-".join([Path(task.partition(":")[0]).stem, *what])


def run(step: Step, out: Path, until: float) -> int | None:
    """Its exit code; None where it was interrupted because the time was over."""
    begun = step.made and (out / step.made).is_file()
    program = (
        [str(Path(__file__).parent / step.script)] if step.script else ["-c", "from parity.cli import main; main()"]
    )
    command = [sys.executable, *program, *(step.resume if begun else step.command)]
    with (out / f"{step.name}.log").open("a") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE if step.stdout else log, stderr=log)
        try:
            printed, _ = process.communicate(timeout=max(1.0, until - time.monotonic() - GRACE_S))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            return None
    if step.stdout:
        (out / step.stdout).write_bytes(printed)
    return None if process.returncode == INTERRUPTED else process.returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/gpu"))
    parser.add_argument("--minutes", type=float, default=9.5)
    parser.add_argument("--task", nargs="+", default=["tiles", "tiles-100"])
    parser.add_argument("--dry-run", action="store_true")
    arguments = parser.parse_args()
    until = time.monotonic() + 60 * arguments.minutes
    device = "cpu" if arguments.dry_run else "cuda"
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    record = out / "steps.json"
    done: dict[str, int] = json.loads(record.read_text()) if record.is_file() else {}
    every = steps(out, arguments.task, device, arguments.dry_run)
    for step in every:
        if step.name in done:
            continue
        if until - time.monotonic() < LEAST_S + GRACE_S:
            break
        print(f"{step.name} ...", flush=True)
        code = run(step, out, until)
        if code is None:
            print(f"{step.name}: to be continued")
            break
        done[step.name] = code
        record.write_text(json.dumps(done, indent=1) + "\n")
        print(f"{step.name}: exit code {code}", flush=True)
    left = [step.name for step in every if step.name not in done]
    failed = [name for name, code in done.items() if code not in (0, 3)]
    if failed:
        print(f"did not hold: {', '.join(failed)}; see their .log in {out}")
    print(f"to be done by further calls: {', '.join(left)}" if left else f"all is done; the data are in {out}")
    return 1 if failed and not left else 0


if __name__ == "__main__":
    sys.exit(main())
