"""The reported port fails for the reported reason, and the one line mends it; one learner's batch, no training."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ray.rllib")

import torch
from parity_envs.reported import fixed, port
from parity_envs.tiles.task import tiles_resolution
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI

from parity import Task
from parity.frameworks.rllib.config import build_port
from parity.frameworks.rllib.eval_runner import make_env_runner

AGENT = "tile_selector"


class Sampled:
    """A learner of a task's port, and 256 steps sampled with its weights."""

    def __init__(self, task: Task) -> None:
        config = build_port(task, seed=0, device="cpu").config
        runner = make_env_runner(config)
        self.learner: Any = config.build_learner(env=None, spaces=runner.get_spaces())
        weights = self.learner.get_state(components="rl_module", inference_only=True)["rl_module"]
        runner.set_state({"rl_module": weights})
        self.episodes = runner.sample(num_timesteps=256)
        runner.stop()

    def batch(self) -> dict[str, dict[str, Any]]:
        """What the loss gets, by module."""
        return self.learner._learner_connector(
            rl_module=self.learner.module, batch={}, episodes=copy.deepcopy(self.episodes), shared_data={}, metrics=None
        )

    def weights(self, module: str) -> dict[str, np.ndarray]:
        return {name: value.clone().numpy() for name, value in self.learner.module[module].state_dict().items()}


@pytest.fixture(scope="module")
def reported() -> Sampled:
    torch.set_num_threads(1)
    return Sampled(port.task)


@pytest.fixture(scope="module")
def mended() -> Sampled:
    torch.set_num_threads(1)
    return Sampled(fixed.task)


@pytest.mark.parametrize("which", ["reported", "mended"])
def test_it_samples_legal_actions_only(which: str, request: pytest.FixtureRequest) -> None:
    batch = request.getfixturevalue(which).batch()[AGENT]
    real = batch["loss_mask"]
    chosen = batch["obs"]["action_mask"].gather(1, batch["actions"].long().reshape(-1, 1)).squeeze(1)
    assert int(real.sum()) >= 256
    assert (chosen[real] == 1).all()


def test_the_reported_port_learns_from_zeros(reported: Sampled) -> None:
    assert not issubclass(port.MaskedPPOModule, ValueFunctionAPI)
    batch = reported.batch()[AGENT]
    assert not batch["advantages"].any()
    assert not batch["value_targets"].any()


def test_the_reported_policy_head_has_no_gradient(reported: Sampled) -> None:
    """The value head has one, towards 0; the policy's is the rounding of a KL divergence that is 0 (about 1e-11)."""
    gradients = policy_gradients(reported)
    # The module starts from weights that nobody seeded: 9e-4 and 3e-4 were seen; the mended one's policy has above 1e-3.
    assert gradients["vf.weight"].norm() > 1e-5
    assert gradients["pi.weight"].norm() < 1e-8


def test_the_one_line_brings_advantages_and_a_policy_gradient(mended: Sampled) -> None:
    assert issubclass(fixed.MaskedPPOModule, ValueFunctionAPI)
    batch = mended.batch()[AGENT]
    assert batch["advantages"].std() > 0.5, "GAE standardises them"
    assert batch["value_targets"].std() > 0.01
    assert policy_gradients(mended)["pi.weight"].norm() > 1e-3


def policy_gradients(sampled: Sampled) -> dict[str, torch.Tensor]:
    learner = sampled.learner
    batch = {AGENT: sampled.batch()[AGENT]}
    forward = {AGENT: learner.module[AGENT].forward_train(batch[AGENT])}
    loss = learner.compute_loss_for_module(
        module_id=AGENT, config=learner.config.get_config_for_module(AGENT), batch=batch[AGENT], fwd_out=forward[AGENT]
    )
    module = learner.module[AGENT].unwrapped()
    names, parameters = zip(*module.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))


def test_a_frozen_res_selector_plays_its_script_and_keeps_its_weights() -> None:
    torch.set_num_threads(1)
    sampled = Sampled(tiles_resolution)
    for episode in sampled.episodes:
        resolutions = episode.agent_episodes["res_selector"].get_actions()
        start = int((episode.agent_episodes[AGENT].get_observations(0)["action_mask"] == 0).sum())
        assert [int(action) for action in resolutions] == [(start + step) % 3 for step in range(len(resolutions))]
    before = {module: sampled.weights(module) for module in (AGENT, "res_selector")}
    sampled.learner.update(episodes=sampled.episodes, num_epochs=1, minibatch_size=64)
    for name, value in sampled.weights("res_selector").items():
        assert np.array_equal(value, before["res_selector"][name]), name
    for name, value in sampled.weights(AGENT).items():
        assert not np.array_equal(value, before[AGENT][name]), name
