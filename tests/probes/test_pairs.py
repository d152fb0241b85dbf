"""The two forms of a pair: while the partner plays as the single-agent form does inside, the learner sees no difference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("ray.rllib")

from parity_envs.probes.pair import LEARNER, PARTNER

from parity import probes

PAIRS = [name for name in probes.names() if probes.get(name).task.multi_agent_env is not None]


def test_there_are_pairs() -> None:
    assert PAIRS == ["probe-other-agent", "probe-cooperative", "probe-competitive"]


@pytest.mark.parametrize("name", PAIRS)
def test_beside_a_partner_that_plays_as_fixed_both_forms_are_the_same(name: str) -> None:
    task = probes.get(name).task
    single: Any = task.env()
    assert task.multi_agent_env is not None
    both = task.multi_agent_env()
    generator = np.random.default_rng(0)
    for seed in range(20):
        expected, _ = single.reset(seed=seed)
        observations, _ = both.reset(seed=seed)
        over = False
        while not over:
            assert np.array_equal(observations[LEARNER]["observations"], expected)
            assert np.array_equal(observations[LEARNER]["action_mask"], single.action_masks())
            for agent in (LEARNER, PARTNER):
                assert both.get_observation_space(agent).contains(observations[agent])
            action = int(generator.integers(single.n_actions))
            partners = single.fixed()
            expected, reward, terminated, truncated, _ = single.step(action)
            observations, rewards, ends, cuts, _ = both.step({LEARNER: action, PARTNER: partners})
            assert rewards[LEARNER] == reward
            assert (ends, cuts) == ({"__all__": terminated}, {"__all__": truncated})
            over = terminated or truncated


def test_the_fixed_partner_plays_its_observation_and_is_not_trained() -> None:
    import torch
    from parity_envs.probes.pair_together import PlaysWhatItSees

    from parity.frameworks.rllib.config import build_port

    task = probes.get("probe-other-agent").task
    config = build_port(task, seed=0, device="cpu").config
    assert config.policies_to_train == [LEARNER]
    spec = config.rl_module_spec.rl_module_specs[PARTNER]
    assert spec.module_class is PlaysWhatItSees
    assert task.multi_agent_env is not None
    env = task.multi_agent_env()
    module = PlaysWhatItSees(
        observation_space=env.get_observation_space(PARTNER), action_space=env.get_action_space(PARTNER)
    )
    logits = module._forward({"obs": {"observations": torch.eye(2)}})["action_dist_inputs"]
    assert torch.softmax(logits, -1).diagonal().min() == 1.0
