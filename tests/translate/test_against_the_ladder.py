"""The generated configuration is what SB3 would train with: an SB3 model made of the same arguments, and rung 0, say so."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.utils.schedules.scheduler import Scheduler
from ray.tune.registry import register_env
from sb3_contrib import MaskablePPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv

from parity.capture import collect
from parity.capture.rllib.collect import rllib_settings
from parity.frameworks import hyperparameters
from parity.frameworks.rllib.env import make_multi_agent_env
from parity.frameworks.rllib.module import SharedNetworkModule
from parity.ladder.run_rungs import run_rungs
from parity.ladder.rungs.connectors import FIXES
from parity.port.translate.code import code
from parity.port.translate.other_arguments import _POLICY, _WITHOUT
from parity.port.translate.read import read
from parity.port.translate.translate import translate
from parity.results.capture import Capture, Configuration
from parity.task import PPOParams
from parity.testing.toy_envs import Maze, Net, maze_task

CONFIGURATION = {"PAR010", "PAR011", "PAR012"}


def generated(file: Path, exact: bool = False, **options: Any) -> str:
    return code(translate(read(str(file), **options), exact=exact))


def config_of(source: str) -> Any:
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    return namespace["config"]


def sb3_would_use(arguments: dict[str, Any], n_envs: int = 1) -> PPOParams:
    """Read from a model that SB3 itself made of the arguments."""
    envs = DummyVecEnv([partial(Maze, "obs")] * n_envs)
    read_back = hyperparameters.of_sb3(MaskablePPO("MultiInputPolicy", envs, device="cpu", **arguments))
    return PPOParams(**read_back)


def brought_whole(config: Any) -> Any:
    """The generated configuration with what it cannot know: environment, agents, module."""
    register_env("translated-maze", lambda _: make_multi_agent_env(maze_task(env=partial(Maze, "obs"))))
    spec = RLModuleSpec(module_class=SharedNetworkModule, model_config={"network": Net, "seed": 0})
    return (
        config.environment("translated-maze", disable_env_checking=True)
        .multi_agent(policies={"agent"}, policy_mapping_fn=lambda *_, **__: "agent")
        .rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs={"agent": spec}))
    )


def full_ladder(config: Any, ppo: PPOParams) -> Any:
    torch.set_num_threads(1)
    task = maze_task(env=partial(Maze, "obs"), ppo=ppo, rllib_config=brought_whole(config), learning_agent="agent")
    capture = collect(task, "rllib", "cpu")
    assert capture is not None
    return run_rungs(capture)


@pytest.fixture(scope="module")
def a_good_port() -> Capture:
    """A capture to be judged with other configurations; its arrays do not depend on them."""
    torch.set_num_threads(1)
    capture = collect(maze_task(), "rllib", "cpu")
    assert capture is not None and run_rungs(capture)
    return capture


def configuration_findings(capture: Capture, config: Any, ppo: PPOParams) -> set[str]:
    """Codes of rung 0 about the configuration, as `collect` would have noted it."""
    noted = Configuration(
        port=hyperparameters.of_rllib(config),
        task=dataclasses.asdict(ppo),
        sb3={},
        native=rllib_settings(config),
    )
    modules = {
        module: dataclasses.replace(facts, settings=dataclasses.asdict(ppo))
        for module, facts in capture.context.modules.items()
    }
    context = dataclasses.replace(capture.context, configuration=noted, modules=modules)
    return {
        found.code for found in run_rungs(dataclasses.replace(capture, context=context)).raw_findings
    } & CONFIGURATION


TRAIN = """
from sb3_contrib import MaskablePPO
from stable_baselines3.common.env_util import make_vec_env

ROLLOUT = 2 * 16
env = make_vec_env(make_maze, n_envs=3)
model = MaskablePPO(
    "MultiInputPolicy", env, 2e-3, ROLLOUT, gamma=0.9, batch_size=24, n_epochs=2, max_grad_norm=1.5, ent_coef=1 / 64
)
"""
TRAIN_ARGUMENTS = {
    "learning_rate": 2e-3,
    "n_steps": 32,
    "gamma": 0.9,
    "batch_size": 24,
    "n_epochs": 2,
    "max_grad_norm": 1.5,
    "ent_coef": 1 / 64,
}
ZOO = """
Maze-v0:
  n_envs: 2
  n_timesteps: !!float 1e5
  policy: 'MlpPolicy'
  n_steps: 32
  batch_size: 16
  gae_lambda: 0.8
  clip_range: 0.1
"""
ZOO_ARGUMENTS = {"n_steps": 32, "batch_size": 16, "gae_lambda": 0.8, "clip_range": 0.1}


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_translated_call_passes_the_whole_ladder(tmp_path: Path) -> None:
    source = generated(write(tmp_path / "train.py", TRAIN))
    found = full_ladder(config_of(source), sb3_would_use(TRAIN_ARGUMENTS, n_envs=3))
    assert found.rungs["contract"].status == "pass", found.raw_findings
    assert found


def test_a_translated_call_with_one_value_altered_fails_at_rung_0(tmp_path: Path) -> None:
    source = generated(write(tmp_path / "train.py", TRAIN))
    altered = source.replace("gamma=0.9,", "gamma=0.99,")
    assert altered != source
    found = full_ladder(config_of(altered), sb3_would_use(TRAIN_ARGUMENTS, n_envs=3))
    assert found.rungs["contract"].status == "fail" and "PAR010" in {each.code for each in found.raw_findings}


def test_a_translated_zoo_entry_passes_the_whole_ladder_with_the_exact_learner(tmp_path: Path) -> None:
    source = generated(write(tmp_path / "ppo.yml", ZOO), exact=True)
    found = full_ladder(config_of(source), sb3_would_use(ZOO_ARGUMENTS, n_envs=2))
    assert found.rungs["contract"].status == "pass" and found
    assert {name: found.rungs[name].status for name in ("returns", "loss", "update")} == {
        "returns": "pass", "loss": "pass", "update": "pass",
    }, "with ExactPPOLearner nothing is left to explain"  # fmt: skip


def random_arguments(rng: np.random.Generator) -> dict[str, Any]:
    """Some of MaskablePPO's arguments, each with a value that SB3 takes."""
    possible = {
        "learning_rate": float(10 ** rng.uniform(-5, -1)),
        "n_steps": int(rng.integers(2, 5)) * 16,
        "batch_size": int(rng.choice([4, 8, 16, 1024])),
        "n_epochs": int(rng.integers(1, 20)),
        "gamma": float(rng.uniform(0, 1)),
        "gae_lambda": float(rng.uniform(0, 1)),
        "clip_range": float(rng.uniform(0.01, 0.5)),
        "clip_range_vf": [None, float(rng.uniform(0.1, 10))][rng.integers(2)],
        "normalize_advantage": bool(rng.integers(2)),
        "ent_coef": float(rng.uniform(-0.1, 0.1)),
        "vf_coef": float(rng.uniform(0, 1)),
        "max_grad_norm": float(rng.uniform(0.1, 10)),
        "target_kl": [None, float(rng.uniform(0.001, 0.1))][rng.integers(2)],
    }
    return {name: value for name, value in possible.items() if rng.random() < 0.6}


def as_call(arguments: dict[str, Any], n_envs: int, rng: np.random.Generator) -> str:
    """Written as people do: some as constants of the file, in any order."""
    names = list(rng.permutation(list(arguments)))
    constants = [name for name in names if rng.random() < 0.3]
    lines = [f"{name.upper()} = {arguments[name]!r}" for name in constants]
    given = [f"{name}={name.upper() if name in constants else repr(arguments[name])}" for name in names]
    call = ", ".join(['"MultiInputPolicy"', "env", *given])
    return "\n".join([*lines, f"env = make_vec_env(make, {n_envs})", f"model = MaskablePPO({call})"])


@pytest.mark.parametrize("seed", range(12))
def test_random_arguments_written_in_every_way_give_what_sb3_would_use(
    seed: int, tmp_path: Path, a_good_port: Capture
) -> None:
    rng = np.random.default_rng(seed)
    arguments, n_envs = random_arguments(rng), int(rng.integers(1, 5))
    ppo = sb3_would_use(arguments, n_envs)
    entry = arguments | {"n_envs": n_envs, "policy": "MultiInputPolicy"}
    files = [
        write(tmp_path / "train.py", as_call(arguments, n_envs, rng)),
        write(tmp_path / "ppo.json", json.dumps(entry)),
        write(tmp_path / "ppo.yml", yaml.safe_dump({"Maze-v0": entry, "Other-v0": {"n_steps": 3}})),
    ]
    for file in files:
        options = {"env": "Maze-v0"} if file.suffix == ".yml" else {}
        for exact in (False, True):
            config = config_of(generated(file, exact=exact, **options))
            assert configuration_findings(a_good_port, config, ppo) == set(), file.name
            found = hyperparameters.of_rllib(config)
            if exact:
                wanted = dataclasses.asdict(ppo) | {"batch_size": min(ppo.batch_size, ppo.rollout_steps)}
                assert found == pytest.approx(wanted), "with the exact learner every hyperparameter crosses over"


ALTERED = {
    "num_envs_per_env_runner": ("3", "PAR010"),
    "train_batch_size_per_learner": ("100", "PAR010"),
    "minibatch_size": ("48", "PAR010"),
    "num_epochs": ("30", "PAR010"),
    "lr": ("5e-5", "PAR010"),
    "gamma": ("0.98", "PAR010"),
    "lambda_": ("1.0", "PAR010"),
    "clip_param": ("0.3", "PAR010"),
    "entropy_coeff": ("0.01", "PAR010"),
    "vf_loss_coeff": ("1.0", "PAR010"),
    "grad_clip": ("None", "PAR010"),
    "grad_clip_by": ('"value"', "PAR010"),
    "vf_clip_param": ("10.0", "PAR011"),
    "use_kl_loss": ("True", "PAR012"),
}


@pytest.mark.parametrize("name", ALTERED)
def test_every_altered_value_is_a_finding(name: str, tmp_path: Path, a_good_port: Capture) -> None:
    """So that the tests above would notice each of them; every line of ``training`` is among them."""
    source = generated(write(tmp_path / "ppo.json", '{"n_envs": 2}'))
    other, finding = ALTERED[name]
    altered, changed = re.subn(rf"(?m)^(        {name})=.*,$", rf"\g<1>={other},", source)
    assert changed == 1
    assert configuration_findings(a_good_port, config_of(source), sb3_would_use({}, n_envs=2)) == set()
    assert configuration_findings(a_good_port, config_of(altered), sb3_would_use({}, n_envs=2)) == {finding}


def test_every_line_of_training_is_altered_above(tmp_path: Path) -> None:
    translation = translate(read(str(write(tmp_path / "ppo.json", '{"n_envs": 2}'))))
    assert set(translation.calls["training"]) <= set(ALTERED)


def test_a_linear_schedule_is_the_rate_that_sb3_has_at_every_update(tmp_path: Path) -> None:
    rates: list[float] = []

    class Rates(BaseCallback):
        """An update ends before the next rollout begins."""

        def _on_rollout_start(self) -> None:
            rates.append(self.model.policy.optimizer.param_groups[0]["lr"])

        def _on_training_end(self) -> None:
            self._on_rollout_start()

        def _on_step(self) -> bool:
            return True

    envs = DummyVecEnv([Maze] * 2)
    arguments = {"n_steps": 16, "batch_size": 16, "n_epochs": 1, "device": "cpu"}
    model = MaskablePPO("MultiInputPolicy", envs, learning_rate=lambda left: left * 0.25, **arguments)
    model.learn(192, callback=Rates())
    zoo = {"n_envs": 2, "n_steps": 16, "learning_rate": "lin_0.25", "n_timesteps": 192}
    config = config_of(generated(write(tmp_path / "ppo.yml", yaml.safe_dump({"Maze-v0": zoo}))))
    Scheduler.validate(fixed_value_or_schedule=config.lr, setting_name="lr", description="rate")
    scheduler = Scheduler(fixed_value_or_schedule=config.lr)
    theirs = [float(scheduler.get_current_value())]
    # After each update but the last, by the environment steps so far, as Learner.after_gradient_based_update does.
    theirs += [float(scheduler.update(timestep=steps)) for steps in range(32, 192, 32)]
    assert len(rates) == 7 and rates[1:] == pytest.approx(theirs, rel=1e-6)
    assert math.isclose(theirs[0], 0.25 * 5 / 6, rel_tol=1e-6) and theirs[-1] == 0


@pytest.mark.slow
def test_the_code_of_a_zoo_entry_trains_as_it_is(tmp_path: Path) -> None:
    entry = {
        "n_envs": 2,
        "policy": "MlpPolicy",
        "n_steps": 32,
        "batch_size": 32,
        "n_epochs": 1,
        "learning_rate": "lin_1e-3",
    }
    text = yaml.safe_dump({"CartPole-v1": entry | {"n_timesteps": 1000}})
    algorithm = config_of(generated(write(tmp_path / "ppo.yml", text))).build_algo()
    learner = algorithm.learner_group._learner

    def rate() -> float:
        return float(learner.get_optimizers_for_module("default_policy")[0][1].param_groups[0]["lr"])

    try:
        # SB3's rate of the n-th update, from 1, is that after n rollouts of 64 steps.
        assert rate() == pytest.approx(1e-3 * (1 - 64 / 1000), rel=1e-4)
        steps = algorithm.train()["num_env_steps_sampled_lifetime"]
        assert 64 <= steps <= 65
        assert rate() == pytest.approx(1e-3 * (1 - (steps + 64) / 1000), rel=1e-4)
    finally:
        algorithm.stop()


def test_no_connector_is_advised_that_check_refuses_in_front_of_a_mask() -> None:
    """What ``check`` says to leave out (test_connectors tries each) is named in an advice only to say that it takes no mask."""
    advised = {name: advice for name, (_, advice) in {**_WITHOUT, **_POLICY}.items()}
    refused = [(name, piece) for name, advice in advised.items() for piece in FIXES if piece in advice]
    assert {name for name, _ in refused} == {"normalize", "frame_stack"}
    assert all("no Dict observation" in advised[name] for name, _ in refused)
