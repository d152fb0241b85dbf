"""Every episode of a probe, played in the environment itself: what its closed form is checked against."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from parity import Task

# A deterministic policy: (what is seen, mask) -> action.
Situation = tuple[int, tuple[bool, ...]]
Policy = dict[Situation, int]


def situation(env: Any) -> Situation:
    return env.seen, tuple(env.action_masks().tolist())


def starts(task: Task) -> Iterator[Any]:
    """An environment at each of the equally likely starts."""
    make: Any = task.env
    for start in range(make().starts):
        env = make()
        env.reset(seed=0, options={"start": start})
        yield env


def uniform_legal(task: Task) -> float:
    """Mean return of uniform legal play, exactly."""

    def below(env: Any) -> float:
        returns = []
        for action in np.flatnonzero(env.action_masks()):
            after = copy.deepcopy(env)
            _, reward, terminated, truncated, _ = after.step(action)
            returns.append(reward + (0.0 if terminated or truncated else below(after)))
        return float(np.mean(returns))

    return float(np.mean([below(env) for env in starts(task)]))


def policies(task: Task) -> Iterator[Policy]:
    """All deterministic policies over the situations that legal play can reach."""
    found: set[Situation] = set()

    def visit(env: Any) -> None:
        found.add(situation(env))
        for action in np.flatnonzero(env.action_masks()):
            after = copy.deepcopy(env)
            _, _, terminated, truncated, _ = after.step(action)
            if not (terminated or truncated):
                visit(after)

    for env in starts(task):
        visit(env)
    ordered = sorted(found)
    for picked in itertools.product(*(np.flatnonzero(mask) for _, mask in ordered)):
        yield dict(zip(ordered, map(int, picked), strict=True))


def episodes(task: Task, policy: Policy) -> list[list[tuple[int, float, bool, int]]]:
    """From each start: (seen, reward, terminated, seen after) of each step; a last step that is not terminated is cut."""
    played = []
    for env in starts(task):
        steps, over = [], False
        while not over:
            seen = env.seen
            _, reward, terminated, truncated, _ = env.step(policy[situation(env)])
            steps.append((seen, reward, terminated, env.seen))
            over = terminated or truncated
        played.append(steps)
    return played


def mean_return(task: Task, policy: Policy) -> float:
    return float(np.mean([sum(reward for _, reward, _, _ in steps) for steps in episodes(task, policy)]))


def best(task: Task) -> tuple[float, Policy]:
    """The best mean return of all deterministic policies, and one that has it."""
    return max(((mean_return(task, policy), policy) for policy in policies(task)), key=lambda pair: pair[0])


def values(
    task: Task, policy: Policy, bootstraps: bool = True, ends: bool = True, **changes: float
) -> dict[int, float]:
    """What a table of values converges to under a policy: each entry the mean of its lambda-returns.

    ``bootstraps=False`` treats truncation as termination, ``ends=False`` termination as truncation; ``changes`` are
    ``gamma`` and ``gae_lambda``.
    """
    gamma, lambda_ = (changes.get(name, getattr(task.ppo, name)) for name in ("gamma", "gae_lambda"))
    played = episodes(task, policy)
    table = {seen: 0.0 for steps in played for seen, *_ in steps}
    for _ in range(500):
        targets: dict[int, list[float]] = {seen: [] for seen in table}
        for steps in played:
            target = 0.0
            for i, (seen, reward, terminated, after) in reversed(list(enumerate(steps))):
                if i == len(steps) - 1:
                    is_end = terminated if ends else False
                    target = 0.0 if is_end or not (bootstraps or terminated) else table[after]
                else:
                    target = (1 - lambda_) * table[after] + lambda_ * target
                target = reward + gamma * target
                targets[seen].append(target)
        table = {seen: float(np.mean(each)) for seen, each in targets.items()}
    return table
