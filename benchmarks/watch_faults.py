"""What `parity.watch` says of trainings whose fault begins late, and of correct ones: writes results/watch/faults.{json,md}.

Usage, in the repository: python benchmarks/watch_faults.py [NAME ...] [--out results/watch]
Entries that are not named are kept.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--out", type=Path, default=ROOT / "results/watch")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    # Processes that Ray starts import the trainings too.
    os.environ["PYTHONPATH"] = os.pathsep.join([sys.path[0], os.environ.get("PYTHONPATH", "")])
    logging.getLogger("parity.watch").setLevel(logging.CRITICAL)

    import ray
    import torch
    from audit.correct_trainings import CORRECT
    from audit.late_faults import BEGINS, LATE, first_named, train

    torch.set_num_threads(1)
    ray.init("local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    path = options.out / "faults.json"
    known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for name in options.names or [*LATE, *CORRECT]:
        start = time.process_time()
        try:
            with tempfile.TemporaryDirectory() as folder:
                if name in LATE:
                    events = train(LATE[name], Path(folder))
                    told = first_named(events, LATE[name])
                    outcome = {"kind": "fault", "begins": BEGINS, "named": told is not None}
                    outcome |= {"code": told.code, "iteration": told.iteration} if told else {}
                    first = [each for each in events if each.first_cause]
                    outcome["first_cause"] = first[0].code if first else None
                else:
                    events, iterations = CORRECT[name](Path(folder))
                    loud = [each for each in events if each.event == "begin" and each.severity != "info"]
                    outcome = {"kind": "correct", "accused": bool(loud), "iterations": iterations}
            lines = [each.sentence for each in events if each.event == "begin"]
            known[name] = outcome | {"said": lines, "cpu_s": round(time.process_time() - start, 1)}
        except Exception:  # a training that raises is a result of its own, and the others go on
            known[name] = {"kind": "fault" if name in LATE else "correct", "raised": traceback.format_exc()[-2000:]}
        print(name, {key: value for key, value in known[name].items() if key != "said"}, flush=True)
        for line in known[name].get("said", []):
            print("    ", line[:230], flush=True)
        options.out.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    (options.out / "faults.md").write_text(page(known), encoding="utf-8")


def said(training: dict[str, Any]) -> str:
    """The codes that were told of a correct training."""
    if "raised" in training:
        return "**raised**"
    codes = sorted({re.findall(r"PAR\d{3}", line)[0] for line in training["said"]})
    return (", ".join(codes) or "nothing") + (" **above info**" if training["accused"] else "")


def page(known: dict[str, Any]) -> str:
    faults = {n: each for n, each in known.items() if each["kind"] == "fault"}
    correct = {n: each for n, each in known.items() if each["kind"] == "correct"}
    named = sum(bool(each.get("named")) for each in faults.values())
    silent = sum(each.get("accused") is False for each in correct.values())
    lines = [
        "# Faults that begin late, and correct trainings, watched",
        "",
        f"Of {len(faults)} faults that begin in iteration 4, {named} are named; of {len(correct)} correct trainings {silent} "
        "have nothing said of them above info. Written by `python benchmarks/watch_faults.py`.",
        "",
        "| fault | named as | in iteration | first cause told |",
        "|---|---|---|---|",
        *(
            f"| {name} | {each.get('code', '**not named**')} | {each.get('iteration', '')} | {each.get('first_cause') or ''} |"
            for name, each in faults.items()
        ),
        "",
        "| correct training | iterations | said, info alone |",
        "|---|---|---|",
        *(f"| {name} | {each.get('iterations', '')} | {said(each)} |" for name, each in correct.items()),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
