"""The evaluator: every seed once, in order, to its end, whatever the length of its episode."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from parity.errors import CannotStart
from parity.frameworks import evaluation
from parity.frameworks.base import EvalRunner
from parity.frameworks.evaluation import FIRST_EVALUATION_SEED, Evaluation, evaluate
from parity.frameworks.reference_scores import uniform_legal_returns
from parity.task.masks import MaskCounts, uniform_legal_action
from parity.testing.toy_envs import Maze, maze_task


class Scripted(EvalRunner):
    """Plays nothing: an episode's length and return follow from its seed.

    Half of the episodes last one step, the others ``LONG``; the return of a seed is the seed itself.
    """

    LONG = 9

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.counts = MaskCounts()
        self.left: dict[int, int] = {}
        self.seeds: dict[int, int] = {}
        self.resets: list[int] = []
        self.policy_seeds: list[int] = []

    @classmethod
    def length(cls, seed: int) -> int:
        return 1 if seed % 2 else cls.LONG

    def reset(self, slot: int, seed: int) -> None:
        assert self.left.get(slot, 0) == 0, "the episode before was cut off"
        self.resets.append(seed)
        self.seeds[slot], self.left[slot] = seed, self.length(seed)

    def step(self, slots: list[int], deterministic: bool) -> list[tuple[float, bool]]:
        outcomes = []
        for slot in slots:
            assert self.left[slot] > 0, "a slot without an episode was stepped"
            self.left[slot] -= 1
            self.counts.decisions += 2  # two agents
            outcomes.append((self.seeds[slot] / self.length(self.seeds[slot]), self.left[slot] == 0))
        return outcomes

    def seed_policy(self, seed: int) -> None:
        self.policy_seeds.append(seed)

    def close(self) -> None:
        pass


def play(slots: int, episodes: int, first: int = 100) -> tuple[Evaluation, Scripted]:
    eval_runner = Scripted(slots)
    return evaluate(eval_runner, episodes, deterministic=True, first_seed=first), eval_runner


@pytest.mark.parametrize(("slots", "episodes"), list(itertools.product([1, 3, 20], [1, 3, 7, 40])))
def test_each_seed_is_played_once_to_its_end_and_stands_at_its_place(slots: int, episodes: int) -> None:
    played, eval_runner = play(slots, episodes)
    seeds = list(range(100, 100 + episodes))
    assert sorted(eval_runner.resets) == seeds
    assert played.returns.tolist() == pytest.approx(seeds)
    assert played.lengths.tolist() == [Scripted.length(seed) for seed in seeds]


def test_short_episodes_are_not_favoured() -> None:
    """The first 20 episodes to finish would last 1.8 steps in the mean; the first 20 seeds last 5."""
    for slots in (1, 5, 20):
        assert play(slots, 20)[0].lengths.mean() == pytest.approx(5.0)


def test_masks_are_those_of_these_episodes_alone() -> None:
    eval_runner = Scripted(3)
    for _ in range(2):
        played = evaluate(eval_runner, 6, deterministic=True, first_seed=0)
        assert played.masks == MaskCounts(decisions=2 * int(played.lengths.sum()))


def test_the_policy_is_seeded_once_before_anything_is_played() -> None:
    _, eval_runner = play(4, 9, first=17)
    assert eval_runner.policy_seeds == [17]
    default = Scripted(2)
    evaluate(default, 2, deterministic=False)
    assert default.policy_seeds == [FIRST_EVALUATION_SEED]
    assert default.resets == [FIRST_EVALUATION_SEED, FIRST_EVALUATION_SEED + 1]


def test_an_episode_without_end_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "MAX_EPISODE_STEPS", 8)
    with pytest.raises(CannotStart, match=r"^No end after 8 steps of an evaluated episode; add a TimeLimit wrapper"):
        play(2, 4)


def test_uniform_legal_play_is_legal_and_repeats() -> None:
    task = maze_task()  # the environment raises at an illegal action
    returns = uniform_legal_returns(task, episodes=50)
    assert returns.shape == (50,) and returns.dtype == np.float64
    assert uniform_legal_returns(task, episodes=50).tolist() == returns.tolist()
    # One of about 2.7 legal actions scores 1, over 4.5 steps in the mean.
    assert 1.2 < returns.mean() < 2.8


def test_uniform_actions_cover_what_is_legal_evenly() -> None:
    generator = np.random.default_rng(0)
    space = Maze().action_space
    mask = np.array([True, False, True, True])
    drawn = np.bincount([uniform_legal_action(mask, space, generator) for _ in range(3000)], minlength=4)
    assert drawn[1] == 0 and (np.abs(drawn[[0, 2, 3]] - 1000) < 5 * np.sqrt(3000 * 2 / 9)).all()


def test_an_environment_that_raises_under_uniform_legal_play_is_one_sentence() -> None:
    class Fragile(Maze):
        def reset(self, **_: object) -> object:
            raise OSError("no such\nfile")

    says = (
        r"^Task maze: env raised OSError: no such file \(test_evaluation\.py, line \d+, in reset\), as it was reset\.$"
    )
    with pytest.raises(CannotStart, match=says):
        uniform_legal_returns(maze_task(env=Fragile, mask="method:action_masks"), episodes=1)
