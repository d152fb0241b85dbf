"""Which planted ports `parity bisect` traces to their guilty part: writes results/bisect/planted.{json,md}.

Each port is a good one in which something was made wrong on purpose (`parity.selftest.bugs`), two of those at once, or the
port that started this project. Bisection knows nothing of how they are made: it exchanges parts and asks the ladder.

Usage, in the repository: python benchmarks/bisect_planted.py [NAME ...] [--out results/bisect]
Entries of ports that are not named are kept.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import time
import warnings
from pathlib import Path

import parity
from parity.bisect.jobs import FindParts, JudgeHybrid
from parity.bisect.search import find_culprits
from parity.bisect.sentence import sentence
from parity.task import registry as tasks

_REPORTED = "envs/reported/port.py"
_SETTINGS = (
    "clip_param", "grad_clip", "lambda_", "lr", "minibatch_size", "num_envs_per_env_runner", "num_epochs",
    "train_batch_size_per_learner", "vf_loss_coeff", "use_kl_loss",
)  # fmt: skip

# Name of the port -> kind of fault, and the culprits in the order in which they are told.
PLANTED: dict[str, tuple] = {
    "mask-omitted-in-training": ("mask in the module", ("module.mask",)),
    "mask-inverted-in-module": ("mask in the module", ("module.mask",)),
    "mask-of-the-last-call": ("mask in the module", ("module.mask",)),
    "zeros-as-advantages": ("value function", ("module.value",)),
    "values-squashed": ("value function", ("module.value",)),
    "value-features-detached": ("value function", ("module.value",)),
    "own-network-with-a-detached-encoder": ("value function, no parameters correspond", ("module.value",)),
    "picture-transposed": ("features, which the value function shares", ("module.network",), ("module.value",)),
    "encoder-detached": ("features, which the value function shares", ("module.network",), ("module.value",)),
    "temperature-in-training": ("network", ("module.network",)),
    "own-log-probs-unmasked": ("the module samples by itself", ("module.sampling",)),
    "reward-scaled": ("env wrapper: rewards", ("multi_agent_env",)),
    "truncation-per-agent": ("env wrapper: ends", ("multi_agent_env",)),
    "mask-of-the-state-before": ("env wrapper: masks", ("multi_agent_env",)),
    "observation-a-step-late": ("env wrapper: stale observations", ("multi_agent_env",)),
    "environment-raises": ("env wrapper: raises", ("multi_agent_env",)),
    "normalised-for-sampling-only": ("env-to-module connector", ("env_to_module_connector",)),
    "connector-returns-none": ("env-to-module connector", ("env_to_module_connector",)),
    "action-replaced-by-chance": ("module-to-env connector", ("module_to_env_connector",)),
    "rewards-scaled-in-the-learner": ("learner connector", ("learner_connector",)),
    "advantage-sign": ("learner class: loss", ("learner_class",)),
    "one-epoch-only": ("learner class: update", ("learner_class",)),
    "lambda-default": ("a field of the configuration", ("lambda_",)),
    "learning-rate-default": ("a field of the configuration", ("lr",)),
    "value-clamp-default": ("a field of the configuration", ("vf_clip_param",)),
    "epochs-default": ("a field of the configuration", ("num_epochs",)),
    "callback-changes-rewards": ("callbacks", ("callbacks_class",)),
    "policies-to-train-wrong": ("policies_to_train", ("policies_to_train",)),
    "mapping-by-episode": ("policy_mapping_fn", ("policies",)),
    "module-replaced": ("rl_module_spec", ("rl_module_spec",)),
    "tests/bisect/bisect_ports.py:halving_env_runner": ("env runner class", ("env_runner_class",)),
    "action-remapped": ("two parts that break only together", ("module_to_env_connector", "normalize_actions")),
    "values-squashed--and--reward-scaled": ("two faults at once", ("multi_agent_env",), ("module.value",)),
    "mask-omitted-in-training--and--lambda-default": ("two faults at once", ("module.mask",), ("lambda_",)),
    _REPORTED: (
        "the reported port",
        ("module.value",),
        ("module.network",),
        *((field,) for field in _SETTINGS),
    ),
}


@dataclasses.dataclass(frozen=True)
class Traced:
    """One port: the culprits that were expected and found, and whether what is left of it holds with them replaced."""

    name: str
    kind: str
    expected: list[list[str]]
    found: list[list[str]]
    rest_holds: bool
    ladders: int
    seconds: float
    sentence: str


def bisect_here(name: str, kind: str, *expected: tuple[str, ...]) -> Traced:
    """Takes a port apart in this process."""
    start = time.perf_counter()
    text = name if ".py" in name else f"parity.selftest.planted:{name.replace('-', '_')}"
    ref = tasks.resolve(text)
    parts = FindParts(text).run(ref)
    result = find_culprits(parts, lambda hybrids: [JudgeHybrid(keys).run(ref) for keys in hybrids])
    return Traced(
        name,
        kind,
        [list(keys) for keys in expected],
        [sorted(culprit.keys) for culprit in result.culprits],
        result.rest is not None and result.rest.holds,
        len(result.tried),
        round(time.perf_counter() - start, 1),
        sentence(parts, result),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(PLANTED))
    parser.add_argument("--out", type=Path, default=Path("results/bisect"))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    stored = arguments.out / "planted.json"
    known = json.loads(stored.read_text(encoding="utf-8"))["ports"] if stored.is_file() else []
    found = {each["name"]: Traced(**each) for each in known}
    for name in arguments.names:
        found[name] = each = bisect_here(name, *PLANTED[name])
        hit = "traced" if each.found == each.expected and each.rest_holds else "WRONG"
        print(f"{hit}: {name}: {each.found}, {each.ladders} ladders, {each.seconds} s", flush=True)
        write([found[name] for name in PLANTED if name in found], arguments.out)


def write(found: list[Traced], out: Path) -> None:
    """``planted.json`` and a table of it."""
    out.mkdir(parents=True, exist_ok=True)
    traced = sum(each.found == each.expected and each.rest_holds for each in found)
    document = {"parity_version": parity.__version__, "traced": traced, "ports": [dataclasses.asdict(e) for e in found]}
    (out / "planted.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    rows = [
        f"| {each.name} | {each.kind} | {_cell(each.expected)} | {_cell(each.found)} | {each.ladders} |"
        for each in found
    ]
    text = [
        "# Planted ports, traced",
        "",
        f"`parity bisect` names exactly the guilty parts of {traced} of {len(found)} ports; with those replaced by the",
        "reference's, every ladder holds. Written by `benchmarks/bisect_planted.py`.",
        "",
        "| port | fault | guilty | named | ladders |",
        "|---|---|---|---|---|",
        *rows,
    ]
    (out / "planted.md").write_text("\n".join(text) + "\n", encoding="utf-8")


def _cell(culprits: list[list[str]]) -> str:
    named = [" with ".join(f"`{key}`" for key in keys) for keys in culprits]
    return ", ".join(named[:3]) + (f" and {len(named) - 3} settings" if len(named) > 3 else "")


if __name__ == "__main__":
    main()
