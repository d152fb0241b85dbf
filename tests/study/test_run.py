"""`parity run` from a task file outside the repository to files, a verdict and an exit code."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import pytest

from parity.results.summary import json_schema

HEAVY = """
import atexit, sys
atexit.register(lambda: print("heavy:", *({"torch", "ray.rllib", "stable_baselines3"} & set(sys.modules)), file=sys.stderr))
"""


# As simulators do that stop at Ctrl-C; Python allows it in the main thread alone.
NEEDS_THE_MAIN_THREAD = (
    "    def reset(self, *, seed",
    "    def __init__(self):\n        import signal\n\n        signal.signal(signal.SIGUSR2, signal.SIG_DFL)\n\n"
    "    def reset(self, *, seed",
)


@pytest.fixture(scope="module")
def finished(shared_parity: Any) -> tuple[Path, subprocess.CompletedProcess[str]]:
    parity = shared_parity()
    parity.prelude = HEAVY
    task = parity.write("my_task.py", NEEDS_THE_MAIN_THREAD)
    outcome = parity("run", "--task", task, "--frameworks", "sb3", "rllib", "--name", "whole", "--json")
    return parity.folder / "results" / "whole", outcome


def test_both_frameworks_learn_and_the_exit_code_says_so(finished: Any) -> None:
    folder, outcome = finished
    assert outcome.returncode == 0, outcome.stderr
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["tasks"]["match"]["learns"] == {"sb3": "LEARNS", "rllib": "LEARNS"}
    assert summary["exit_code"] == 0


def test_trials_run_in_the_main_thread_of_their_processes(finished: Any) -> None:
    summary = json.loads((finished[0] / "summary.json").read_text())
    assert {trial["status"] for trial in summary["tasks"]["match"]["trials"]} == {"done"}


def test_the_driver_imports_no_framework(finished: Any) -> None:
    assert finished[1].stderr.splitlines()[-1].strip() == "heavy:"


def test_json_prints_the_summary_and_nothing_else(finished: Any) -> None:
    folder, outcome = finished
    assert json.loads(outcome.stdout) == json.loads((folder / "summary.json").read_text())


def test_the_summary_obeys_its_published_schema(finished: Any) -> None:
    folder, _ = finished
    summary = json.loads((folder / "summary.json").read_text())
    jsonschema.validate(summary, json_schema())
    jsonschema.validate(summary, json.loads(Path("docs/summary.schema.json").read_text()))


def test_no_decision_was_illegal_and_every_one_was_checked(finished: Any) -> None:
    masks = json.loads((finished[0] / "summary.json").read_text())["tasks"]["match"]["masks"]
    for framework in ("sb3", "rllib"):
        assert masks[framework]["violations"] == masks[framework]["empty"] == 0
        sampled = json.loads((finished[0] / "trials/match" / framework / "0/masks.json").read_text())["sampling"]
        timing = pd.read_parquet(finished[0] / "trials/match" / framework / "0/timing.parquet")
        assert sampled["decisions"] == timing["steps"].iloc[-1]


def test_the_study_leaves_the_contracts_files(finished: Any) -> None:
    folder, _ = finished
    for name in ("study.json", "summary.json", "report.html", "report.md", "junit.xml"):
        assert (folder / name).stat().st_size > 0, name
    assert list((folder / "figures").glob("*.svg"))
    for framework in ("sb3", "rllib"):
        for seed in "012":
            trial = folder / "trials/match" / framework / seed
            for name in ("curve.parquet", "timing.parquet", "masks.json", "trial.json", "log", "checkpoint"):
                assert (trial / name).exists(), f"{framework}/{seed}/{name}"
            assert list(trial.glob("events.out.tfevents*")), "no TensorBoard event file"


def test_both_frameworks_start_from_the_same_weights(finished: Any) -> None:
    trials = finished[0] / "trials/match"
    hashes = {
        (framework, seed): json.loads((trials / framework / seed / "trial.json").read_text())["initial_weights"]
        for framework in ("sb3", "rllib")
        for seed in "012"
    }
    assert all(hashes["sb3", seed] == hashes["rllib", seed] for seed in "012")


def test_the_curve_is_evaluated_at_the_tasks_steps(finished: Any) -> None:
    for framework in ("sb3", "rllib"):
        curve = pd.read_parquet(finished[0] / "trials/match" / framework / "0/curve.parquet")
        # RLlib's rollouts may be up to n_envs - 1 steps longer than asked, eight times here.
        assert [round(steps / 1024) for steps in curve["steps"]] == [0, 1, 2]
        assert (curve["steps"] - [0, 1024, 2048]).between(0, 8 * 3).all()
        assert all(len(returns) == 20 for returns in curve["returns"])


def test_the_configuration_stands_side_by_side(finished: Any) -> None:
    frameworks = json.loads((finished[0] / "study.json").read_text())["tasks"]["match"]["frameworks"]
    assert frameworks["sb3"]["hyperparameters"]["learning_rate"] == 0.02
    assert frameworks["rllib"]["hyperparameters"]["learning_rate"] == 0.02
    assert frameworks["rllib"]["native"]["batch_mode"] == "truncate_episodes"
    assert {field["field"] for field in frameworks["rllib"]["untranslated"]} >= {"adam_eps", "normalize_advantage"}
    assert all(config["threads"] == config["processes"] == 1 for config in frameworks.values())


def test_a_study_names_no_path_of_its_machine(finished: Any) -> None:
    folder, _ = finished
    for name in ("study.json", "summary.json", "report.md"):
        assert str(folder.parent.parent) not in (folder / name).read_text(), name


def test_report_judges_the_stored_study_again(finished: Any, shared_parity: Any) -> None:
    folder, _ = finished
    before = (folder / "summary.json").read_text()
    (folder / "summary.json").unlink()
    (folder / "report.html").unlink()
    outcome = shared_parity()("report", "whole")
    assert outcome.returncode == 0, outcome.stderr
    assert (folder / "summary.json").read_text() == before
    assert (folder / "report.html").is_file()
