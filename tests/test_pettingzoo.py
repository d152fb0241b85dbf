"""An AEC game as a single-agent environment: one step is a decision of the learning agent and all until its next."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("ray.rllib")

from gymnasium.utils.env_checker import check_env
from parity_envs.pettingzoo_classic.games import against_uniform

from parity.errors import CannotStart
from parity.selftest.ports.games import FIRST, LISTENER, SECOND, SPEAKER, Doors, Pile, SortingAtOnce, says_the_door
from parity.task.masks import MaskedEnv, uniform_legal_action
from parity.task.pettingzoo import AgainstOpponents, Game, form


def play(env: Any, seed: int, policy: Any = None) -> tuple[list[Any], list[float]]:
    """Observations and rewards of one game; uniformly legal without a ``policy``."""
    masked = MaskedEnv(env)
    generator = np.random.default_rng(seed)
    observation, _ = masked.reset(seed=seed)
    seen, rewards = [observation], []
    over = False
    while not over:
        action = uniform_legal_action(masked.action_masks(), masked.action_space, generator)
        observation, reward, terminated, truncated, _ = masked.step(action if policy is None else policy(observation))
        seen.append(observation)
        rewards.append(reward)
        over = terminated or truncated
    return seen, rewards


def stones(observation: Any) -> int:
    return int(np.argmax(observation["pile"] if isinstance(observation, dict) else observation))


@pytest.mark.parametrize("name", ["tictactoe_v3", "connect_four_v3"])
def test_it_is_a_gymnasium_environment(name: str) -> None:
    check_env(against_uniform(name), skip_render_check=True)


def test_uniform_against_uniform_is_the_exact_rate_of_tictactoe() -> None:
    """737/1260 - 121/420 = 0.297, over 1,500 games with a standard error of 0.023."""
    env = against_uniform("tictactoe_v3")
    returns = [sum(play(env, seed)[1]) for seed in range(1500)]
    assert abs(np.mean(returns) - 187 / 630) < 4 * np.std(returns) / len(returns) ** 0.5
    assert {-1.0, 0.0, 1.0} == set(returns)


def test_a_loss_by_the_opponents_move_is_paid_in_the_step_before() -> None:
    """Taking one stone of four leaves three, which the opponent here takes."""
    env = AgainstOpponents(Pile(), FIRST, opponent=lambda observation, mask, *_: int(np.flatnonzero(mask)[-1]))
    seed = next(s for s in range(50) if stones(env.reset(seed=s)[0]) == 5)
    (start, end), rewards = play(env, seed, policy=lambda _: 1)
    assert (stones(start), stones(end), rewards) == (5, 0, [-1.0])


def test_the_second_seat_sees_the_opponents_first_move() -> None:
    first = [stones(AgainstOpponents(Pile(), FIRST).reset(seed=seed)[0]) for seed in range(30)]
    second = [stones(AgainstOpponents(Pile(), SECOND).reset(seed=seed)[0]) for seed in range(30)]
    taken = np.subtract(first, second)
    assert set(taken) == {1, 2, 3}


def test_without_a_seat_each_is_played_and_the_seed_decides() -> None:
    env = AgainstOpponents(Pile())
    seats = []
    for seed in range(60):
        env.reset(seed=seed)
        seats.append(env.agent)
    assert 15 < seats.count(FIRST) < 45
    env.reset(seed=7)
    assert env.agent == seats[7]
    assert {FIRST, SECOND} == {env.reset() and env.agent for _ in range(20)}


def test_one_seed_is_one_game() -> None:
    games = [play(AgainstOpponents(Pile(in_info=True), SECOND), seed) for seed in (3, 3, 4)]
    np.testing.assert_array_equal(games[0][0], games[1][0])
    assert games[0][1] == games[1][1]
    assert len({len(play(AgainstOpponents(Pile(), FIRST), seed)[0]) for seed in range(20)}) > 1


def test_the_opponents_of_a_seed_play_the_same_moves_elsewhere() -> None:
    for seat in (FIRST, SECOND, None):
        env = AgainstOpponents(Pile(), seat)
        for seed in range(10):
            opponents = env.opponents(seed)
            env.reset(seed=seed)
            elsewhere = Game(Pile())
            turn = elsewhere.reset(seed=seed)
            while turn.agent is not None:
                observation, info = elsewhere.observe(turn.agent)
                if turn.agent == env.agent:
                    assert stones(observation) == env.game.env.stones
                    env.step(0)
                    turn = elsewhere.step(0)
                else:
                    turn = elsewhere.step(opponents(turn.agent, observation, info))


def test_an_opponent_sees_its_own_observation_and_mask() -> None:
    seen = []

    def opponent(observation: Any, mask: np.ndarray, action_space: Any, generator: np.random.Generator) -> int:
        seen.append((set(observation), mask.dtype, len(mask), int(action_space.n)))
        return says_the_door(observation, mask, action_space, generator)

    _, rewards = play(AgainstOpponents(Doors(), LISTENER, opponent), seed=1, policy=lambda seen: int(seen["heard"]))
    assert set(rewards) == {1.0}, "the speaker says which door is right"
    assert seen[0] == ({"right", "action_mask"}, np.dtype(bool), 4, 4)


def test_a_cut_game_is_truncated_for_the_learning_agent() -> None:
    env = AgainstOpponents(Doors(), LISTENER, says_the_door)
    ends = []
    for seed in range(20):
        env.reset(seed=seed)
        over = (False, False)
        while not any(over):
            mask = env.game.observe(LISTENER)[0]["action_mask"]
            _, _, *over, _ = env.step(int(np.argmax(mask)))
        ends.append(tuple(over))
    assert {(True, False), (False, True)} == set(ends)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: AgainstOpponents(Pile(), "third"), '"third" is not among the agents first, second'),
        (lambda: AgainstOpponents(SortingAtOnce(), "sorter"), "parallel_to_aec"),
        (lambda: AgainstOpponents(Doors()), "name the learning agent"),
        (lambda: MaskedEnv(Pile()), "AgainstOpponents"),
    ],
)
def test_what_cannot_be_played_is_a_sentence(make: Any, sentence: str) -> None:
    with pytest.raises(CannotStart, match=sentence):
        make()


def test_both_interfaces_are_told_apart() -> None:
    assert (form(Pile()), form(SortingAtOnce()), form(AgainstOpponents(Doors(), SPEAKER))) == ("aec", "parallel", None)
