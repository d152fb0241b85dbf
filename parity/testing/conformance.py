"""Tests every promise of `parity.frameworks.base`, for any registered framework.

An adapter outside of parity derives a class whose name pytest collects, and names its framework::

    class TestTorchRL(FrameworkConformance):
        framework = "torchrl"
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from gymnasium import spaces

from parity import PPOParams, Task, frameworks
from parity.errors import CannotStart
from parity.frameworks.base import Effective, Iteration, Session
from parity.frameworks.evaluation import evaluate
from parity.frameworks.network import build_network, network_input, weights_hash
from parity.task.masks import MaskCounts, MaskedEnv
from parity.testing.toy_envs import (
    GlobalMaze,
    Maze,
    OneWay,
    Raising,
    Several,
    Worded,
    WrongLogits,
    WrongValues,
    maze_task,
)

PPOS = {
    "defaults": PPOParams(),
    "everything": PPOParams(
        n_envs=2, n_steps=24, batch_size=12, n_epochs=3, learning_rate=1e-3, gamma=0.9, gae_lambda=0.8, clip_range=0.3,
        clip_range_vf=0.4, ent_coef=0.01, vf_coef=0.7, max_grad_norm=0.9, adam_eps=1e-7, normalize_advantage=False,
        target_kl=0.05,
    ),
    "torch's Adam": PPOParams(n_envs=1, n_steps=32, batch_size=32, adam_eps=1e-8),
}  # fmt: skip


def _unbuilt(observation_space: Any, action_space: Any) -> Any:
    return 1 / 0


def _number(observation_space: Any, action_space: Any) -> Any:
    return 1


BAD_NETWORKS: dict[Any, str] = {
    WrongLogits: "logits have shape [2, 5] for 2 observations; the action space Discrete(4) needs [2, 4]",
    WrongValues: "values have shape [2, 1] for 2 observations; return [2]",
    Raising: "forward(obs) raised KeyError: 'tiles'; obs arrives without the mask, as {last: torch.int64 [2], "
    "state: torch.float32 [2, 3]}",
    _unbuilt: "cannot be built for Dict('last': Discrete(4), 'state': Box(-1.0, 1.0, (3,), float32)) and Discrete(4): "
    "ZeroDivisionError: division by zero",
    _number: "returned a int: return a torch.nn.Module",
}


@contextmanager
def opened(name: str, task: Task, seed: int = 0, device: str = "cpu") -> Iterator[Session]:
    """A session of the framework, closed at the end."""
    session = frameworks.get(name).open(task, seed, device=device, threads=1)
    try:
        yield session
    finally:
        session.close()


def effective(name: str, task: Task, device: str = "cpu") -> Effective:
    """The framework's `Effective` for a task."""
    return frameworks.get(name).effective(task, device=device, threads=1)


def refusal(name: str, task: Task) -> str:
    """The sentence with which the framework refuses a task."""
    with pytest.raises(CannotStart) as stopped:
        effective(name, task)
    assert "\n" not in str(stopped.value)
    return str(stopped.value)


def now(session: Session) -> str:
    """SHA-256 of the learning agent's parameters."""
    return weights_hash(session.weights())


def trained(name: str, task: Task, each: Callable[[Session], None] = lambda _: None) -> str:
    """The weights after a whole training; ``each`` is called after every iteration."""
    with opened(name, task) as session:
        session.train(task.steps, lambda _: each(session))
        return now(session)


def train(session: Session, steps: int) -> list[Iteration]:
    iterations: list[Iteration] = []
    session.train(steps, iterations.append)
    return iterations


class FrameworkConformance:
    """The promises, one test each. ``framework``: the name under which the adapter is registered."""

    framework: ClassVar[str]

    def test_it_is_registered_under_its_name(self) -> None:
        adapter = frameworks.get(self.framework)
        assert adapter.name == self.framework
        assert adapter.packages

    # Weights and seeds

    def test_initial_weights_follow_the_seed_and_are_those_of_sb3(self) -> None:
        task = maze_task()
        hashes = []
        for seed in (3, 3, 4):
            with opened(self.framework, task, seed) as session:
                hashes.append(now(session))
        assert hashes[0] == hashes[1] != hashes[2]
        with opened(frameworks.REFERENCE, task, 3) as reference:
            assert now(reference) == hashes[0]

    def test_training_moves_the_weights_and_repeats(self) -> None:
        task = maze_task()
        first, second = trained(self.framework, task), trained(self.framework, task)
        with opened(self.framework, task) as session:
            assert first == second != now(session)

    # Steps and seconds

    def test_training_reaches_the_steps_asked_for_and_counts_environment_steps(self) -> None:
        task = maze_task()
        with opened(self.framework, task) as session:
            steps = [iteration.steps for iteration in train(session, 80)]
            played = session.sampling_masks()
        assert len(steps) == 3 and steps == sorted(set(steps))
        # A rollout may be a step of the other sub-environments longer than asked, as RLlib's are.
        assert 80 <= steps[-1] < 80 + task.ppo.rollout_steps + task.ppo.n_envs
        assert played == MaskCounts(decisions=steps[-1])

    def test_the_phases_of_an_iteration_are_told_apart(self) -> None:
        with opened(self.framework, maze_task()) as session:
            iterations = train(session, 64)
        assert iterations
        for iteration in iterations:
            phases = (iteration.sample_s, iteration.returns_s, iteration.update_s)
            assert all(math.isnan(seconds) or seconds > 0 for seconds in phases)

    # Evaluation

    @pytest.mark.parametrize("env", [Maze, GlobalMaze])
    def test_evaluation_does_not_change_training(self, env: type[Maze]) -> None:
        def evaluate_twice(session: Session) -> None:
            eval_runner = session.eval_runner(3)
            evaluate(eval_runner, 5, deterministic=True)
            evaluate(eval_runner, 5, deterministic=False)
            eval_runner.close()

        task = maze_task(env=env)
        np.random.seed(0)
        undisturbed = trained(self.framework, task)
        np.random.seed(0)
        assert trained(self.framework, task, each=evaluate_twice) == undisturbed

    @pytest.mark.parametrize("deterministic", [True, False])
    @pytest.mark.parametrize("env", [Maze, GlobalMaze])
    def test_evaluation_depends_on_its_seeds_alone(self, env: type[Maze], deterministic: bool) -> None:
        with opened(self.framework, maze_task(env=env)) as session:
            eval_runner = session.eval_runner(4)
            first = evaluate(eval_runner, 9, deterministic)
            np.random.seed(99)
            evaluate(eval_runner, 5, not deterministic, first_seed=7)
            again = evaluate(eval_runner, 9, deterministic)
            elsewhere = evaluate(session.eval_runner(4), 9, deterministic)
            other = evaluate(eval_runner, 9, deterministic, first_seed=5)
        for same in (again, elsewhere):
            assert same.returns.tolist() == first.returns.tolist() and same.lengths.tolist() == first.lengths.tolist()
            assert same.masks == first.masks
        assert other.lengths.tolist() != first.lengths.tolist()

    def test_an_eval_runner_plays_the_policy_as_it_stands(self) -> None:
        """Compares deterministic play before and after training that is long enough to learn which action scores."""
        ppo = PPOParams(n_envs=4, n_steps=64, batch_size=64, n_epochs=10, learning_rate=1e-2)
        task = maze_task(ppo=ppo, steps=2048)
        with opened(self.framework, task) as session:
            eval_runner = session.eval_runner(10)
            before = evaluate(eval_runner, 40, deterministic=True)
            session.train(task.steps, lambda _: None)
            after = evaluate(eval_runner, 40, deterministic=True)
        # Uniform legal play scores 0.42 a step, the best 1.
        assert after.returns.sum() / after.lengths.sum() > 0.6 > before.returns.sum() / before.lengths.sum()

    def test_an_eval_runner_gives_the_masked_probabilities_and_values_of_the_shared_network(self) -> None:
        """Checked at the initial weights, which are the same everywhere; asking draws no random number that play depends on."""
        task = maze_task()
        env = MaskedEnv(task.env(), task.mask)
        rows, masks = [], []
        for seed in range(6):
            rows.append(env.reset(seed=seed)[0])
            masks.append(env.action_masks())
        network = build_network(task.network, env.observation_space, env.action_space, seed=3)  # type: ignore[arg-type]
        batch = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
        with torch.no_grad():
            logits, values = network(network_input(batch, env.observation_space))
        expected = torch.where(torch.as_tensor(np.stack(masks)), logits, -torch.inf).softmax(dim=-1)
        with opened(self.framework, task, seed=3) as session:
            eval_runner = session.eval_runner(2)
            before = eval_runner.values_and_probabilities(rows, np.stack(masks))
            np.testing.assert_allclose(before[0], values, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(before[1], expected, rtol=1e-5, atol=1e-6)
            played = evaluate(eval_runner, 4, deterministic=False)
            eval_runner.values_and_probabilities(rows, np.stack(masks))
            assert evaluate(eval_runner, 4, deterministic=False).returns.tolist() == played.returns.tolist()
            session.train(64, lambda _: None)
            assert np.abs(eval_runner.values_and_probabilities(rows, np.stack(masks))[0] - before[0]).max() > 1e-4

    # Checkpoints

    @pytest.mark.parametrize("deterministic", [True, False])
    def test_a_checkpoint_restores_to_the_same_masked_actions(self, deterministic: bool, tmp_path: Path) -> None:
        task = maze_task()
        with opened(self.framework, task) as session:
            session.train(32, lambda _: None)
            session.save(tmp_path / "checkpoint")
            played = evaluate(session.eval_runner(4), 12, deterministic)
        with opened(self.framework, task, seed=5) as other:
            different = evaluate(other.eval_runner(4), 12, deterministic)
        eval_runner = frameworks.get(self.framework).restore(task, tmp_path / "checkpoint", slots=4)
        restored = evaluate(eval_runner, 12, deterministic)
        eval_runner.close()
        assert restored.returns.tolist() == played.returns.tolist() != different.returns.tolist()
        assert restored.masks == played.masks and played.masks.violations == 0

    def test_training_goes_on_after_a_checkpoint(self, tmp_path: Path) -> None:
        task = maze_task()
        undisturbed = trained(self.framework, task)
        saved = trained(self.framework, task, each=lambda session: session.save(tmp_path / "checkpoint"))
        assert saved == undisturbed

    # Masks

    @pytest.mark.parametrize("deterministic", [True, False])
    def test_a_mask_of_one_legal_action_is_always_obeyed(self, deterministic: bool) -> None:
        with opened(self.framework, maze_task(env=OneWay)) as session:
            played = evaluate(session.eval_runner(4), 12, deterministic)
            assert played.returns.tolist() == played.lengths.tolist()
            assert played.masks == MaskCounts(decisions=int(played.lengths.sum()))
            steps = train(session, 64)[-1].steps  # the environment raises at an illegal action
            assert session.sampling_masks() == MaskCounts(decisions=steps)

    @pytest.mark.parametrize(
        "action_space", [spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(2)], ids=["multidiscrete", "multibinary"]
    )
    def test_actions_of_several_parts_are_masked_part_by_part(self, action_space: Any) -> None:
        task = maze_task(env=lambda: Several(action_space), network=Several.network)
        with opened(self.framework, task) as session:
            steps = train(session, 32)[-1].steps
            assert session.sampling_masks() == MaskCounts(decisions=steps)
            assert evaluate(session.eval_runner(2), 4, False).masks.violations == 0

    # Configuration

    @pytest.mark.parametrize("ppo", PPOS.values(), ids=PPOS)
    def test_hyperparameters_read_back_are_those_asked_or_stand_as_untranslated(self, ppo: PPOParams) -> None:
        running = effective(self.framework, maze_task(ppo=ppo))
        untranslated = {difference.field for difference in running.untranslated}
        for field, asked in dataclasses.asdict(ppo).items():
            assert running.hyperparameters[field] == asked or field in untranslated, field
        assert all(difference.reason for difference in running.untranslated)

    def test_devices_processes_and_what_to_reserve_are_said(self) -> None:
        running = effective(self.framework, maze_task())
        assert running.devices and set(running.devices.values()) == {"cpu"}
        assert running.threads == 1 and running.processes == len(running.bundles)
        assert all(bundle["CPU"] >= 1 and not bundle.get("GPU") for bundle in running.bundles)
        with opened(self.framework, maze_task()) as session:
            assert set(session.devices().values()) == {"cpu"}

    def test_a_minibatch_longer_than_the_rollout_is_the_rollout(self) -> None:
        ppo = PPOParams(n_envs=2, n_steps=8, batch_size=64, n_epochs=1)
        trained(self.framework, maze_task(ppo=ppo, steps=32))

    # Bad input

    @pytest.mark.parametrize(("network", "says"), BAD_NETWORKS.items(), ids=[key.__name__ for key in BAD_NETWORKS])
    def test_a_network_that_cannot_be_used_is_one_sentence(self, network: Any, says: str) -> None:
        sentence = refusal(self.framework, maze_task(network=network))
        assert sentence.startswith("network ") and says in sentence

    def test_an_observation_space_without_tensors_is_one_sentence(self) -> None:
        wanted = "use Box, Discrete, MultiDiscrete (one-dimensional) or MultiBinary"
        assert wanted in refusal(self.framework, maze_task(env=Worded))
