"""Layouts of observations that people have: nothing is held against a good port, and its network is compared."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import pytest
import torch
from climb import accused, climb
from gymnasium import spaces
from observations_key import Beside, Module, Nested, Network, NumberedAisle, Shelves, task
from ray.rllib.core import COMPONENT_RL_MODULE
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from parity.frameworks.evaluation import evaluate
from parity.frameworks.rllib import Rllib
from parity.frameworks.rllib.config import build_port
from parity.frameworks.rllib.eval_runner import RllibEvalRunner, make_env_runner
from parity.frameworks.rllib.module import is_wrapped
from parity.frameworks.sb3 import Sb3

KINDS = [Shelves, NumberedAisle, Nested, Beside]
MASK = spaces.MultiBinary(3)
IMAGE, WORD = spaces.Box(0, 1, (2, 2)), spaces.Discrete(5)


class Recorder(Network):
    """Notes the structure, dtypes and shapes (without the first axis) of what it gets."""

    seen: ClassVar[set[str]] = set()

    def forward(self, obs: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        self.seen.add(_form(obs))
        return super().forward(obs)


def _form(obs: Any) -> str:
    if isinstance(obs, dict):
        return "{" + ", ".join(f"{name}: {_form(part)}" for name, part in obs.items()) + "}"
    if isinstance(obs, tuple):
        return "(" + ", ".join(map(_form, obs)) + ")"
    return f"{obs.dtype} {list(obs.shape[1:])}"


@pytest.mark.parametrize("env", KINDS)
def test_the_network_of_both_frameworks_sees_the_entry_as_the_environment_nests_it(env: type) -> None:
    recorded = dataclasses.replace(task(env), network=Recorder)
    Recorder.seen.clear()
    session = Sb3().open(recorded, seed=0, device="cpu", threads=1)
    session.train(recorded.ppo.rollout_steps, lambda _: None)
    evaluate(session.eval_runner(2), 2, deterministic=True)
    session.close()
    assert len(Recorder.seen) == 1
    port = Rllib().port(recorded, seed=0, device="cpu")
    runner = make_env_runner(port.config)
    learner = port.config.build_learner(env=None, spaces=runner.get_spaces())
    learner.update(episodes=runner.sample(num_timesteps=64), num_epochs=1, minibatch_size=32)
    eval_runner = RllibEvalRunner(port, 2, lambda: {COMPONENT_RL_MODULE: learner.module.get_state()})
    evaluate(eval_runner, 2, deterministic=True)
    runner.stop()
    assert len(Recorder.seen) == 1, Recorder.seen


@pytest.mark.parametrize("module", [None, Module], ids=["bare", "brought"])
@pytest.mark.parametrize("env", KINDS)
def test_a_port_of_an_environment_that_shows_observations_and_mask_is_compared_and_holds(
    env: type, module: type | None
) -> None:
    document = climb(task(env, module))
    assert document.exit_code == 0, document.findings
    assert document.compared and accused(document) == []


@pytest.mark.parametrize(
    ("shown", "single", "wrapped"),
    [
        ({"observations": IMAGE}, IMAGE, True),
        ({"observations": IMAGE}, spaces.Dict({"observations": IMAGE}), False),
        ({"observations": spaces.Dict({"a": IMAGE, "b": WORD})}, spaces.Dict({"a": IMAGE, "b": WORD}), True),
        ({"observations": spaces.Dict({"a": IMAGE})}, spaces.Dict({"observations": spaces.Dict({"a": IMAGE})}), False),
        ({"observations": spaces.Tuple((IMAGE, WORD))}, spaces.Tuple((IMAGE, WORD)), True),
        # Other tensors than the single-agent environment's, by which entries they are meant to be is still told.
        ({"observations": WORD}, IMAGE, True),
        ({"observations": WORD}, spaces.Dict({"observations": IMAGE}), False),
    ],
)
def test_the_entry_observations_is_unwrapped_where_the_single_agent_environment_has_none(
    shown: dict[str, spaces.Space], single: spaces.Space, wrapped: bool
) -> None:
    assert is_wrapped(spaces.Dict({**shown, "action_mask": MASK}), single) is wrapped


def test_agents_alike_get_the_same_network_with_the_same_view_of_the_entry() -> None:
    class Two(MultiAgentEnv):
        def __init__(self) -> None:
            super().__init__()
            self.possible_agents = self.agents = ["a", "b"]
            self.observation_spaces = dict.fromkeys("ab", Shelves().observation_space)
            self.action_spaces = dict.fromkeys("ab", Shelves().action_space)

    two = dataclasses.replace(task(Shelves), multi_agent_env=Two, learning_agent="a")
    specs = build_port(two, seed=0, device="cpu").config.rl_module_spec.rl_module_specs
    assert [spec.model_config["wrapped"] for spec in specs.values()] == [False, False]
