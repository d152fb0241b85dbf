"""What every framework adapter promises (`parity.frameworks.base`), for every registered one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from worlds import Maze, Raising, WrongLogits, WrongValues, maze_task

from parity import PPOParams, Task, frameworks
from parity.errors import CannotStart
from parity.evaluation import evaluate
from parity.frameworks.base import Effective, Iteration, Session
from parity.frameworks.network import weights_hash
from parity.masks import MaskCounts

pytestmark = [pytest.mark.usefixtures("ray_started"), pytest.mark.parametrize("name", frameworks.names())]


class GlobalMaze(Maze):
    """An environment that draws from NumPy's global generator, as many do."""

    def _view(self) -> Any:
        observation, info = super()._view()
        observation["state"][2] = np.random.uniform(-1, 1)
        return observation, info


class OneWay(Maze):
    """One legal action at a time, and it scores."""

    def _view(self) -> Any:
        observation, info = super()._view()
        self.mask[:] = False
        self.mask[self.best] = True
        return observation, info


class Tupled(Maze):
    def __init__(self) -> None:
        super().__init__()
        self.observation_space = spaces.Tuple([spaces.Discrete(3), spaces.Discrete(3)])  # type: ignore[assignment]

    def _view(self) -> Any:
        return (0, 1), super()._view()[1]


@contextmanager
def opened(name: str, task: Task, seed: int = 0) -> Iterator[Session]:
    session = frameworks.get(name).open(task, seed, device="cpu", threads=1)
    try:
        yield session
    finally:
        session.close()


def weights(session: Any) -> str:
    """SHA-256 of the learning agent's parameters as they are now."""
    return weights_hash(session.model.policy.state_dict() if hasattr(session, "model") else session._learning_weights())


def effective(name: str, task: Task) -> Effective:
    return frameworks.get(name).effective(task, device="cpu", threads=1)


def refusal(name: str, task: Task) -> str:
    with pytest.raises(CannotStart) as stopped:
        effective(name, task)
    assert "\n" not in str(stopped.value)
    return str(stopped.value)


def train(session: Session, steps: int) -> int:
    """Returns the environment steps that were made: RLlib's rollouts are up to ``n_envs - 1`` longer."""
    iterations: list[Iteration] = []
    session.train(steps, iterations.append)
    return iterations[-1].steps


def trained(name: str, task: Task, each: Callable[[Session], None] = lambda _: None) -> str:
    with opened(name, task) as session:
        session.train(task.steps, lambda _: each(session))
        return weights(session)


def test_initial_weights_follow_the_seed_and_are_those_of_sb3(name: str) -> None:
    task = maze_task()
    hashes = []
    for seed in (3, 3, 4):
        with opened(name, task, seed) as session:
            hashes.append(session.initial_weights())
            assert weights(session) == session.initial_weights()
    assert hashes[0] == hashes[1] != hashes[2]
    with opened(frameworks.REFERENCE, task, 3) as reference:
        assert reference.initial_weights() == hashes[0]


def test_training_moves_the_weights_and_repeats(name: str) -> None:
    task = maze_task()
    first, second = trained(name, task), trained(name, task)
    with opened(name, task) as session:
        assert first == second != session.initial_weights()


def test_training_reaches_the_steps_asked_for_and_counts_environment_steps(name: str) -> None:
    iterations: list[Iteration] = []
    task = maze_task()
    with opened(name, task) as session:
        session.train(80, iterations.append)
        played = session.sampling_masks()
    steps = [iteration.steps for iteration in iterations]
    assert len(steps) == 3 and steps == sorted(set(steps))
    assert 80 <= steps[-1] < 80 + task.ppo.rollout_steps + task.ppo.n_envs
    assert played == MaskCounts(decisions=steps[-1])


def test_the_phases_of_an_iteration_are_told_apart(name: str) -> None:
    iterations: list[Iteration] = []
    with opened(name, maze_task()) as session:
        session.train(64, iterations.append)
    assert iterations
    for iteration in iterations:
        phases = (iteration.sample_s, iteration.returns_s, iteration.update_s)
        assert all(math.isnan(seconds) or seconds > 0 for seconds in phases)


@pytest.mark.parametrize("env", [Maze, GlobalMaze])
def test_evaluation_does_not_change_training(name: str, env: type[Maze]) -> None:
    def look(session: Session) -> None:
        stage = session.stage(3)
        evaluate(stage, 5, deterministic=True)
        evaluate(stage, 5, deterministic=False)
        stage.close()

    task = maze_task(env=env)
    np.random.seed(0)
    undisturbed = trained(name, task)
    np.random.seed(0)
    assert trained(name, task, each=look) == undisturbed


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("env", [Maze, GlobalMaze])
def test_evaluation_depends_on_its_seeds_alone(name: str, env: type[Maze], deterministic: bool) -> None:
    with opened(name, maze_task(env=env)) as session:
        stage = session.stage(4)
        first = evaluate(stage, 9, deterministic)
        np.random.seed(99)
        evaluate(stage, 5, not deterministic, first_seed=7)
        again = evaluate(stage, 9, deterministic)
        elsewhere = evaluate(session.stage(4), 9, deterministic)
        other = evaluate(stage, 9, deterministic, first_seed=5)
    for same in (again, elsewhere):
        assert same.returns.tolist() == first.returns.tolist() and same.lengths.tolist() == first.lengths.tolist()
        assert same.masks == first.masks
    assert other.lengths.tolist() != first.lengths.tolist()


def test_a_stage_plays_the_policy_as_it_stands(name: str) -> None:
    """Deterministic play before and after training that is long enough to learn which action scores."""
    task = maze_task(ppo=PPOParams(n_envs=4, n_steps=64, batch_size=64, n_epochs=10, learning_rate=1e-2), steps=2048)
    with opened(name, task) as session:
        stage = session.stage(10)
        before = evaluate(stage, 40, deterministic=True)
        session.train(task.steps, lambda _: None)
        after = evaluate(stage, 40, deterministic=True)
    # Uniform legal play scores 0.42 a step, the best 1.
    assert after.returns.sum() / after.lengths.sum() > 0.6 > before.returns.sum() / before.lengths.sum()


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_checkpoint_restores_to_the_same_masked_actions(name: str, deterministic: bool, tmp_path: Path) -> None:
    task = maze_task()
    with opened(name, task) as session:
        session.train(32, lambda _: None)
        session.save(tmp_path / "checkpoint")
        played = evaluate(session.stage(4), 12, deterministic)
    with opened(name, task, seed=5) as other:
        different = evaluate(other.stage(4), 12, deterministic)
    stage = frameworks.get(name).restore(task, tmp_path / "checkpoint", slots=4)
    restored = evaluate(stage, 12, deterministic)
    stage.close()
    assert restored.returns.tolist() == played.returns.tolist() != different.returns.tolist()
    assert restored.masks == played.masks and played.masks.violations == 0


def test_training_goes_on_after_a_checkpoint(name: str, tmp_path: Path) -> None:
    task = maze_task()
    undisturbed = trained(name, task)
    assert trained(name, task, each=lambda session: session.save(tmp_path / "checkpoint")) == undisturbed


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_mask_of_one_legal_action_is_always_obeyed(name: str, deterministic: bool) -> None:
    with opened(name, maze_task(env=OneWay)) as session:
        played = evaluate(session.stage(4), 12, deterministic)
        assert played.returns.tolist() == played.lengths.tolist()
        assert played.masks == MaskCounts(decisions=int(played.lengths.sum()))
        steps = train(session, 64)  # the environment raises at an illegal action
        assert session.sampling_masks() == MaskCounts(decisions=steps)


@pytest.mark.parametrize(
    "action_space", [spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(2)], ids=["multidiscrete", "multibinary"]
)
def test_actions_of_several_parts_are_masked_part_by_part(name: str, action_space: Any) -> None:
    class Several(Maze):
        """The mask leaves each part the option that its bit of the step tells."""

        def __init__(self) -> None:
            super().__init__()
            self.action_space = action_space
            self.sizes = [2, 3] if isinstance(action_space, spaces.MultiDiscrete) else [2, 2]
            self.observation_space = spaces.Box(-1, 1, (1,), np.float32)

        def _view(self) -> Any:
            self.wanted = [(self.t + k) % size for k, size in enumerate(self.sizes)]
            parts = [np.eye(size, dtype=bool)[w] for size, w in zip(self.sizes, self.wanted, strict=True)]
            self.mask = np.concatenate(parts)
            return np.zeros(1, np.float32), {}

        def step(self, action: Any) -> Any:
            assert list(action) == self.wanted
            self.t += 1
            return self._view()[0], 1.0, self.t >= self.length, False, {}

    def network(observation_space: Any, space: Any) -> Any:
        return maze_task().network(observation_space, spaces.Discrete(sum(Several().sizes)))  # type: ignore[misc]

    with opened(name, maze_task(env=Several, network=network)) as session:
        steps = train(session, 32)
        assert session.sampling_masks() == MaskCounts(decisions=steps)
        assert evaluate(session.stage(2), 4, False).masks.violations == 0


PPOS = {
    "defaults": PPOParams(),
    "everything": PPOParams(
        n_envs=2, n_steps=24, batch_size=12, n_epochs=3, learning_rate=1e-3, gamma=0.9, gae_lambda=0.8, clip_range=0.3,
        clip_range_vf=0.4, ent_coef=0.01, vf_coef=0.7, max_grad_norm=0.9, adam_eps=1e-7, normalize_advantage=False,
        target_kl=0.05,
    ),
    "torch's Adam": PPOParams(n_envs=1, n_steps=32, batch_size=32, adam_eps=1e-8),
}  # fmt: skip


@pytest.mark.parametrize("ppo", PPOS.values(), ids=PPOS)
def test_hyperparameters_read_back_are_those_asked_or_stand_as_untranslated(name: str, ppo: PPOParams) -> None:
    found = effective(name, maze_task(ppo=ppo))
    untranslated = {difference.field for difference in found.untranslated}
    for field, asked in dataclasses.asdict(ppo).items():
        assert found.hyperparameters[field] == asked or field in untranslated, field
    assert all(difference.reason for difference in found.untranslated)
    assert found.devices and set(found.devices.values()) == {"cpu"}
    assert (found.threads, found.processes, found.bundles) == (1, 1, [{"CPU": 1.0}])


def test_a_minibatch_longer_than_the_rollout_is_the_rollout(name: str) -> None:
    trained(name, maze_task(ppo=PPOParams(n_envs=2, n_steps=8, batch_size=64, n_epochs=1), steps=32))


BAD_NETWORKS = {
    WrongLogits: "logits have shape [2, 5] for 2 observations; the action space Discrete(4) needs [2, 4]",
    WrongValues: "values have shape [2, 1] for 2 observations; return [2]",
    Raising: "forward(obs) raised KeyError: 'tiles'; obs arrives without the mask, as {last: torch.int64 [2], "
    "state: torch.float32 [2, 3]}",
    "unbuilt": "cannot be built for Dict('last': Discrete(4), 'state': Box(-1.0, 1.0, (3,), float32)) and Discrete(4): "
    "ZeroDivisionError: division by zero",
    "number": "returned a int: return a torch.nn.Module",
}


@pytest.mark.parametrize(("network", "says"), BAD_NETWORKS.items(), ids=[str(key) for key in BAD_NETWORKS])
def test_a_network_that_cannot_be_used_is_one_sentence(name: str, network: Any, says: str) -> None:
    def unbuilt(observation_space: Any, action_space: Any) -> Any:
        return 1 / 0

    def number(observation_space: Any, action_space: Any) -> Any:
        return 1

    sentence = refusal(name, maze_task(network={"unbuilt": unbuilt, "number": number}.get(network, network)))
    assert sentence.startswith("network ") and says in sentence


def test_an_observation_space_without_tensors_is_one_sentence(name: str) -> None:
    assert "use Box, Discrete, MultiDiscrete (one-dimensional) or MultiBinary" in refusal(name, maze_task(env=Tupled))


def test_one_environment_for_all_is_refused_or_not_needed(name: str) -> None:
    """SB3 would refuse it with a page of text."""
    shared = Maze()
    if name == frameworks.REFERENCE:
        assert "returns the same Maze at every call" in refusal(name, maze_task(env=lambda: shared))
