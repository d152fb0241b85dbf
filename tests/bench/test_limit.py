"""The limit is no toy: it learns, by the same steps, minibatches and epochs, and several agents where several learn."""

from __future__ import annotations

import pytest
import torch
from match_task import Match, Network

from parity import PPOParams, Task
from parity.bench.limit import limit_of_task
from parity.bench.limit_of_port import limit_of_port
from parity.errors import CannotStart
from parity.frameworks.base import Iteration
from parity.task.registry import load, resolve


class Legal(Match):
    def step(self, action):
        assert self.mask[action], "an illegal action"
        return super().step(action)


def test_it_learns_what_is_shown_and_plays_legally() -> None:
    ppo = PPOParams(n_envs=4, n_steps=64, learning_rate=0.02)
    limit = limit_of_task(Task(id="match", env=Legal, network=Network, ppo=ppo), 0, "cpu")
    torch.manual_seed(0)
    seen: list[Iteration] = []
    limit.train(48 * ppo.rollout_steps, seen.append)
    assert [each.steps for each in seen] == [256 * (k + 1) for k in range(48)]
    assert min(min(each.sample_s, each.returns_s, each.update_s) for each in seen) > 0
    logits = limit.players[0].network.logits.weight
    assert logits.argmax(-1).tolist() == [0, 1, 2, 3] and logits.softmax(-1).diag().min() > 0.7


def test_of_a_port_in_which_two_agents_learn_both_do() -> None:
    task = load(resolve("tiles-two-learners"))
    limit = limit_of_port(task, 0, "cpu")
    assert [player._sizes for player in limit.players] == [[16], [3]]
    before = [[p.detach().clone() for p in player.network.parameters()] for player in limit.players]
    limit.train(1, lambda _: None)
    for player, parameters in zip(limit.players, before, strict=True):
        assert any(not torch.equal(a, b) for a, b in zip(player.network.parameters(), parameters, strict=True))


def test_there_is_none_where_agents_take_turns_or_there_is_no_network() -> None:
    with pytest.raises(CannotStart, match="take turns"):
        limit_of_port(load(resolve("tictactoe-selfplay")), 0, "cpu")
    task = Task(id="brought", env=Legal, sb3_model=lambda *_: None, rllib_config=lambda config: config)
    with pytest.raises(CannotStart, match="no network"):
        limit_of_task(task, 0, "cpu")
