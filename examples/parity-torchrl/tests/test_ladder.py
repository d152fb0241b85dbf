"""The ladder finds TorchRL's numbers equal to MaskablePPO's, and names defects that are planted in the adapter."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import parity_torchrl.policy
import parity_torchrl.training
import pytest
import torch
from gymnasium import spaces
from parity_torchrl.hyperparameters import Arguments, to_torchrl
from torchrl.modules import MaskedCategorical

from parity import PPOParams, Task
from parity.capture import collect
from parity.ladder.run_rungs import LadderResult, run_rungs
from parity.testing import Maze, maze_task
from parity.testing.toy_envs import Several


class Cut(Maze):
    """Every second episode is truncated."""

    def step(self, action: Any) -> Any:
        observation, reward, terminated, _, info = super().step(action)
        return observation, reward, terminated and self.length % 2 == 0, terminated and self.length % 2 == 1, info


class Plain(Maze):
    """Observations that are no Dict."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = spaces.Box(-1, 1, (3,))  # type: ignore[assignment]

    def _view(self) -> Any:
        observation, info = super()._view()
        return observation["state"], info


def ladder_of(task: Task) -> LadderResult:
    numbers = collect(task, "torchrl", "cpu")
    assert numbers is not None
    return run_rungs(numbers)


TASKS = {
    "maze": maze_task(),
    "truncations": maze_task(env=Cut),
    "no dict": maze_task(env=Plain),
    "several sub-actions": maze_task(env=lambda: Several(spaces.MultiDiscrete([2, 3])), network=Several.network),
    "other hyperparameters": maze_task(
        ppo=PPOParams(
            n_envs=3, n_steps=50, batch_size=64, n_epochs=3, gamma=0.9, gae_lambda=0.8, clip_range=0.1, ent_coef=0.02,
            vf_coef=0.7, max_grad_norm=0.1, adam_eps=1e-8, normalize_advantage=False,
        )
    ),
}  # fmt: skip


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_torchrl_computes_what_maskable_ppo_computes(task: Task) -> None:
    result = ladder_of(task)
    assert result, [each.message for each in result.raw_findings if each.is_error]
    statuses = {name: rung.status for name, rung in result.rungs.items()}
    assert statuses.pop("lockstep") == "not_applicable"
    assert set(statuses.values()) == {"pass"}


def test_a_rung_without_numbers_says_why() -> None:
    assert "stream of randomness" in (ladder_of(maze_task()).rungs["lockstep"].reason or "")


def test_a_value_clip_stands_as_untranslated() -> None:
    result = ladder_of(maze_task(ppo=dataclasses.replace(maze_task().ppo, clip_range_vf=0.2)))
    (finding,) = [each for each in result.raw_findings if each.code == "PAR013"]
    assert "clip_range_vf" in finding.message and "larger of the clipped" in finding.message


def with_arguments(monkeypatch: pytest.MonkeyPatch, **changes: dict[str, Any]) -> None:
    def changed(ppo: PPOParams) -> Arguments:
        arguments = to_torchrl(ppo)
        return dataclasses.replace(
            arguments, **{part: {**getattr(arguments, part), **fields} for part, fields in changes.items()}
        )

    monkeypatch.setattr(parity_torchrl.training, "to_torchrl", changed)


def unmasked(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unmasked(MaskedCategorical):
        def __init__(self, logits: torch.Tensor, mask: torch.Tensor) -> None:
            super().__init__(logits=logits, mask=torch.ones_like(mask))

    monkeypatch.setattr(parity_torchrl.policy, "MaskedCategorical", Unmasked)


class Allowing(Maze):
    """Illegal actions do nothing, so that a policy without a mask survives its rollout."""

    def step(self, action: Any) -> Any:
        return super().step(action if self.mask[action] else self.best)


# Name -> the defect, the task, a finding that names it.
DEFECTS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], Task, str]] = {
    "advantages normalised by GAE": (lambda m: with_arguments(m, gae={"average_gae": True}), maze_task(), "PAR405"),
    "another discount": (lambda m: with_arguments(m, gae={"gamma": 0.5}), maze_task(), "PAR010"),
    "another value loss": (lambda m: with_arguments(m, loss={"loss_critic_type": "smooth_l1"}), maze_task(), "PAR502"),
    "another clip range": (lambda m: with_arguments(m, loss={"clip_epsilon": 0.4}), maze_task(), "PAR501"),
    "another epsilon of Adam": (lambda m: with_arguments(m, optimizer={"eps": 1e-3}), maze_task(), "PAR010"),
    "no mask in the policy": (unmasked, maze_task(env=Allowing), "PAR201"),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_of_the_adapter_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, task, code = DEFECTS[name]
    plant(monkeypatch)
    result = ladder_of(task)
    assert not result
    assert code in [each.code for each in result.raw_findings if each.is_error]
