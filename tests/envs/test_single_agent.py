"""Taxi, CartPole and sb3-contrib's InvalidActionEnv as tasks: reference scores, networks, seeds, masks, and their ladder."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from parity_envs.cartpole.task import cartpole
from parity_envs.invalid_actions.task import invalid_discrete, invalid_multibinary, invalid_multidiscrete
from parity_envs.taxi.task import taxi

from parity import Task
from parity.errors import CannotStart
from parity.frameworks.reference_scores import uniform_legal_returns
from parity.task.masks import MaskedEnv, n_logits

ROOT = Path(__file__).parents[2]
STORED = json.loads((ROOT / "results" / "reference" / "single_agent.json").read_text())["problems"]
INVALID = [invalid_discrete, invalid_multidiscrete, invalid_multibinary]
ALL = [taxi, cartpole, *INVALID]

needs_contrib = pytest.mark.skipif(
    importlib.util.find_spec("sb3_contrib") is None, reason="sb3-contrib is not installed"
)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = ROOT / "benchmarks" / "single_agent_reference.py"
    spec = importlib.util.spec_from_file_location("single_agent_reference", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_reference_is_what_the_script_computes(script: ModuleType) -> None:
    computed = script.problems(episodes=400)
    sampled = computed.pop("cartpole"), STORED["cartpole"]
    assert computed == {name: pytest.approx(found) for name, found in STORED.items() if name != "cartpole"}
    # 400 episodes of a known spread against 20,000.
    assert abs(sampled[0]["uniform_legal"] - sampled[1]["uniform_legal"]) < 4 * sampled[0]["standard_error"]
    assert sampled[1]["linear_rule"]["smallest"] == sampled[1]["best"]


@pytest.mark.parametrize("task", ALL, ids=lambda task: task.id)
def test_a_task_states_the_committed_reference(task: Task) -> None:
    assert task.reference is not None
    assert task.reference["uniform_legal"] == pytest.approx(STORED[task.id]["uniform_legal"], abs=0.05)
    assert task.reference["best"] == pytest.approx(STORED[task.id]["best"])


@needs_contrib
@pytest.mark.parametrize("task", [taxi, *INVALID], ids=lambda task: task.id)
def test_what_was_computed_is_what_playing_gives(task: Task) -> None:
    """Exact expectations against 60 episodes of the real environment, within 4 standard errors."""
    returns = uniform_legal_returns(task, episodes=60)
    error = returns.std(ddof=1) / np.sqrt(len(returns))
    assert abs(returns.mean() - STORED[task.id]["uniform_legal"]) < 4 * error


@needs_contrib
@pytest.mark.parametrize("task", INVALID, ids=lambda task: task.id)
def test_repeating_what_is_shown_is_legal_and_reaches_the_best(task: Task) -> None:
    env = MaskedEnv(task.env(), task.mask)
    seen, _ = env.reset(seed=0)
    total, over = 0.0, False
    while not over:
        seen, reward, terminated, truncated, _ = env.step(seen)
        total, over = total + float(reward), terminated or truncated
    assert total == task.reference["best"]  # type: ignore[index, typeddict-item]
    assert env.counts.violations == 0 and env.counts.empty == 0


@needs_contrib
@pytest.mark.parametrize("task", ALL, ids=lambda task: task.id)
def test_an_episode_follows_from_its_seed(task: Task) -> None:
    def opening() -> list[Any]:
        env = MaskedEnv(task.env(), task.mask)
        seen = [env.reset(seed=3)[0]]
        for _ in range(4):
            action = np.zeros(env.action_space.shape, dtype=int) if env.action_space.shape else 0
            seen += [env.action_masks(), env.step(action)[0]]
        return [np.asarray(part).tolist() for part in seen]

    assert opening() == opening()


@needs_contrib
@pytest.mark.parametrize("task", ALL, ids=lambda task: task.id)
def test_the_networks_initial_policy_is_nearly_uniform(task: Task) -> None:
    from parity.frameworks.network import build_network, sample_observations

    env = MaskedEnv(task.env(), task.mask)
    network = build_network(task.network, env.observation_space, env.action_space, seed=0)  # type: ignore[arg-type]
    with torch.no_grad():
        logits, values = network(sample_observations(env.observation_space, 8))
    assert logits.shape == (8, n_logits(env.action_space)) and values.shape == (8,)
    assert 0 < logits.max() - logits.min() < 0.2
    assert values.std() > 0


def test_taxis_network_takes_a_state_apart_as_taxi_does() -> None:
    inner: Any = taxi.env().unwrapped
    network: Any = taxi.network(inner.observation_space, inner.action_space)  # type: ignore[misc]
    features = network.features(torch.arange(500))
    assert features.shape == (500, 19) and (features.sum(dim=1) == 4).all()
    starts = np.cumsum([0, 5, 5, 5])
    for state in (0, 17, 328, 499):
        on = np.flatnonzero(features[state].numpy())
        assert (on - starts).tolist() == list(inner.decode(state))


def test_a_task_loads_without_sb3_contrib_and_its_environment_says_what_is_missing(monkeypatch: Any) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "sb3_contrib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sb3_contrib", None)
    with pytest.raises(CannotStart, match=r"pip install 'parity\[sb3\]'\.$") as stopped:
        invalid_discrete.env()
    assert "InvalidActionEnvDiscrete" in str(stopped.value) and "\n" not in str(stopped.value)


def ladder(task: Task, framework: str) -> None:
    """Holds, nothing is worse than explained, and what has no stock differences is in step to the last bit."""
    pytest.importorskip("ray.rllib")
    from parity.capture import collect
    from parity.ladder.run_rungs import run_rungs

    capture = collect(task, framework, "cpu")
    assert capture is not None
    judged = run_rungs(capture)
    assert judged, judged.rungs
    assert {f.severity for f in judged.raw_findings} <= {"info"}
    assert ("PAR037" in {f.code for f in judged.raw_findings}) == (task is cartpole)
    if framework == "rllib-exact":
        assert judged.rungs["lockstep"].status == "pass"
        assert judged.rungs["lockstep"].max_abs == 0.0


@needs_contrib
@pytest.mark.parametrize(
    ("task", "framework"), [(invalid_multidiscrete, "rllib"), (invalid_multibinary, "rllib-exact")]
)
def test_the_ladder_holds_where_an_action_has_several_parts(task: Task, framework: str) -> None:
    ladder(task, framework)


@pytest.mark.slow
@needs_contrib
@pytest.mark.parametrize("framework", ["rllib", "rllib-exact"])
@pytest.mark.parametrize("task", ALL, ids=lambda task: task.id)
def test_the_ladder_holds_on_every_task(task: Task, framework: str) -> None:
    ladder(task, framework)
