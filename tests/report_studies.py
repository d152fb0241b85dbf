"""Studies on disk, written file by file as a run writes them, with synthetic curves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from parity.report import write_report
from parity.results import study as files
from parity.results.bench import BenchRequest
from parity.results.ladder import LADDER_FILE, RUNGS
from parity.results.summary import Finding, Summary
from parity.task import PPOParams
from parity.verdict.judge import judge

UNIFORM_LEGAL, BEST = 0.31, 0.69
STEPS, EVAL_EVERY, EPISODES, ITERATION = 65_536, 8_192, 100, 2_048
SECONDS_PER_1000 = {"sb3": 0.53, "rllib": 1.6, "rllib-exact": 1.9}
Scores = Mapping[str, Sequence[float]]


def write_study(
    folder: Path,
    scores: Scores | Mapping[str, Scores],
    *,
    created: str = "2026-11-22T09:00:00Z",
    best: float | None = BEST,
    **file_fields: Any,
) -> Path:
    """``scores``: final scores by framework, one a seed, or the same by task. Every trial is done and complete."""
    by_task = scores if isinstance(next(iter(scores.values())), Mapping) else {"tiles": scores}
    first = next(iter(by_task.values()))
    seeds = list(range(len(next(iter(first.values())))))
    folder.mkdir(parents=True, exist_ok=True)
    fields: dict[str, Any] = {
        "parity_version": "0.1.0",
        "study": folder.name,
        "created": created,
        "command": f"parity run --task {' '.join(by_task)} --frameworks {' '.join(first)} --seeds {len(seeds)}",
        "request": files.Request(tasks=list(by_task), frameworks=list(first), seeds=seeds),
        "tasks": {task: task_record(list(first), best) for task in by_task},
        "versions": {"parity": "0.1.0", "torch": "2.13.0", "ray": "2.60.0", "stable-baselines3": "2.9.2"},
        "machine": {"cpu": "A processor", "cores": 2, "memory_gb": 7.8, "gpu": None, "os": "Linux", "python": "3.11"},
        "git": {"commit": "4f2c9d1e", "dirty": False},
    }
    files.StudyFile(**fields | file_fields).write(folder / files.STUDY_FILE)
    write_ladder(folder, list(by_task), [framework for framework in first if framework != "sb3"])
    for task, arms in by_task.items():
        for framework, values in arms.items():
            for seed, score in zip(seeds, values, strict=True):
                write_trial(folder, task, framework, seed, score)
    return folder


def write_ladder(study: Path, tasks: Sequence[str], ports: Sequence[str]) -> None:
    """``ladder.json`` with every rung passed."""
    rungs = {name: {"rung": i, "status": "pass"} for i, name in enumerate(RUNGS)}
    stored = {task: {"ladder": dict.fromkeys(ports, rungs), "findings": []} for task in tasks}
    (study / LADDER_FILE).write_text(json.dumps(stored))


def write_trial(study: Path, task: str, framework: str, seed: int, score: float) -> Path:
    folder = files.trial_folder(study, task, framework, seed)
    folder.mkdir(parents=True, exist_ok=True)
    curve(framework, seed, score).to_parquet(folder / files.CURVE_FILE, index=False)
    timing(framework).to_parquet(folder / files.TIMING_FILE, index=False)
    masks = {
        "sampling": {"decisions": STEPS, "violations": 0, "empty": 0},
        "evaluation": {"decisions": 7_200, "violations": 0, "empty": 0},
    }
    (folder / files.MASKS_FILE).write_text(json.dumps(masks))
    (folder / files.LOG_FILE).write_text(f"{task}/{framework}/{seed}: a log\n")
    files.TrialMeta(
        task=task,
        framework=framework,
        seed=seed,
        status="done",
        steps=STEPS,
        started="2026-11-22T09:00:00Z",
        wall_s=SECONDS_PER_1000[framework] * STEPS / 1000 + 9,
        peak_memory_mb=520.0 + 240 * (framework != "sb3"),
        devices={"policy": "cpu", "environment": "cpu"},
        initial_weights=f"{seed:08x}{'0' * 56}",
    ).write(folder / files.TRIAL_FILE)
    return folder


def conclude(folder: Path, findings: Sequence[Finding] = (), ladder: Any = None) -> Summary:
    """Judges a study and writes its summary and report, as ``parity run`` does at its end."""
    study = files.load_study(folder)
    summary = judge(study, ladder, findings)
    (folder / files.SUMMARY_FILE).write_text(summary.to_json(), encoding="utf-8")
    write_report(study, summary)
    return summary


def change_trial(folder: Path, **fields: Any) -> None:
    """Changes fields of a trial's ``trial.json``."""
    path = folder / files.TRIAL_FILE
    files.TrialMeta.model_validate_json(path.read_text()).model_copy(update=fields).write(path)


def change_curve(folder: Path, change: Any) -> None:
    path = folder / files.CURVE_FILE
    change(pd.read_parquet(path)).to_parquet(path, index=False)


def curve(framework: str, seed: int, score: float) -> pd.DataFrame:
    """Rises from uniform-legal play to ``score`` with noise between evaluations; RLlib's steps overshoot a little."""
    rng = np.random.default_rng([seed, len(framework)])
    at = np.arange(0, STEPS + 1, EVAL_EVERY)
    steps = at + (0 if framework == "sb3" else 1) * np.minimum(at, rng.integers(0, 8, len(at)))
    rise = (1 - np.exp(-rng.uniform(4, 7) * at / STEPS)) ** rng.uniform(0.8, 1.6)
    scores = score * rise / rise[-1] + rng.normal(0, 0.03, len(at)) * (at > 0) * (at < STEPS)
    columns: dict[str, Any] = {}
    for prefix, worth in (("", 1.0), ("sampled_", 0.9)):
        means = UNIFORM_LEGAL + (BEST - UNIFORM_LEGAL) * scores * worth
        noise = rng.normal(0, 0.25, (len(at), EPISODES))
        episodes = means[:, None] + noise - noise.mean(axis=1, keepdims=True)
        columns |= {
            f"{prefix}return_mean": episodes.mean(axis=1),
            f"{prefix}return_std": episodes.std(axis=1, ddof=1),
            f"{prefix}returns": list(episodes),
        }
    train_s = at / 1000 * SECONDS_PER_1000[framework] * rng.uniform(0.95, 1.05)
    wall_s = train_s + np.arange(len(at)) * 0.9
    return pd.DataFrame({"steps": steps, "wall_s": wall_s, "train_s": train_s, "length_mean": 4.0} | columns)


def timing(framework: str) -> pd.DataFrame:
    iterations = STEPS // ITERATION
    total = SECONDS_PER_1000[framework] * ITERATION / 1000
    return pd.DataFrame(
        {
            "iteration": range(iterations),
            "steps": np.arange(1, iterations + 1) * ITERATION,
            "sample_s": 0.4 * total,
            "returns_s": 0.04 * total if framework == "sb3" else np.nan,
            "update_s": 0.5 * total,
            "evaluate_s": 0.2,
        }
    )


def task_record(frameworks: Sequence[str], best: float | None) -> files.TaskRecord:
    asked = PPOParams(batch_size=256, n_epochs=4, learning_rate=1e-3)
    ppo = {name: getattr(asked, name) for name in PPOParams.__dataclass_fields__}
    return files.TaskRecord(
        source="built-in",
        steps=STEPS,
        eval_every=EVAL_EVERY,
        eval_episodes=EPISODES,
        margin=0.15,
        mask="obs:action_mask",
        learning_agent="tile_selector",
        reference=files.ReferenceScores(
            uniform_legal=UNIFORM_LEGAL, best=best, source="greedy by expected between-class variance"
        ),
        ppo=ppo,
        frameworks={name: _config(name, ppo) for name in frameworks},
    )


def _config(framework: str, ppo: dict[str, Any]) -> files.EffectiveConfig:
    devices = {"policy": "cpu", "environment": "cpu"}
    if framework != "rllib":
        native = {"gamma": 0.99, "policy_class": "SharedNetworkPolicy", "rollout_buffer_class": None}
        return files.EffectiveConfig(hyperparameters=dict(ppo), native=native, devices=devices)
    reasons = {
        "n_steps": "a rollout may be up to n_envs - 1 environment steps longer than asked",
        "adam_eps": "PPOTorchLearner builds Adam with eps=1e-08",
        "normalize_advantage": "normalised once over the train batch (population std, bootstrap rows included), not per "
        "minibatch",
        "batch_size": "first epoch unshuffled, bootstrap rows take places, the last minibatch wraps into the next epoch",
    }
    return files.EffectiveConfig(
        hyperparameters=ppo | {"adam_eps": 1e-8, "normalize_advantage": "per train batch"},
        untranslated=[
            files.UntranslatedField(field=name, value=ppo[name], reason=why) for name, why in reasons.items()
        ],
        native={f"field_{index:03}": index for index in range(40)} | {"vf_clip_param": "Infinity"},
        devices=devices,
    )


def copy_study(source: Path, target: Path, tasks: Sequence[str]) -> Path:
    """Some tasks of a stored study as a study of their own; runs and ladder are the stored ones."""
    stored = files.load_study(source).file
    target.mkdir(parents=True)
    for task in tasks:
        shutil.copytree(source / files.TRIALS / task, target / files.TRIALS / task)
    ladder = json.loads((source / LADDER_FILE).read_text())
    (target / LADDER_FILE).write_text(json.dumps({task: ladder[task] for task in tasks}))
    request = stored.request.model_copy(update={"tasks": list(tasks), "task_arguments": list(tasks)})
    update = {"study": target.name, "request": request, "tasks": {task: stored.tasks[task] for task in tasks}}
    stored.model_copy(update=update).write(target / files.STUDY_FILE)
    return target


def bench_request(*frameworks: str, rounds: int = 6, task: str = "tiles", **others: Any) -> BenchRequest:
    """What ``parity bench`` asks of one task by default, on the CPU."""
    return BenchRequest(
        tasks=[task],
        task_arguments=[task],
        frameworks=list(frameworks),
        rounds=rounds,
        iterations=4,
        warmup=1,
        threads=1,
        **{"device": "cpu"} | others,
    )
