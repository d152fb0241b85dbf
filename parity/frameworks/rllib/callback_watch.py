"""Sees what the port's callbacks of ``Algorithm`` change: environments, weights, settings.

``on_algorithm_init``, ``on_train_result`` and ``on_evaluate_…`` are called between rollouts and updates, where no rung looks.
What differs between the moment before such a call and the moment after it, the callback has done. An environment that has
other attributes is played beside a copy of what it was: a callback that counts or logs changes nothing there.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import hashlib
import numbers
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.algorithms import algorithm as rllib_algorithm
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.utils import force_list

from parity.errors import in_short
from parity.frameworks.rllib.arrays import parameters
from parity.results.capture import CallbackChange
from parity.task.masks import MASK_KEY, uniform_legal_action

# Of what an environment holds, objects in objects; deeper lie other libraries' own.
DEPTH = 5
MOST_ITEMS = 2_000
SEEDS, STEPS = 3, 60
# Fields by which self-play and leagues name their modules: SB3's side has nothing like them.
OF_SELF_PLAY = (
    "policies",
    "policy_mapping_fn",
    "policies_to_train",
    "_rl_module_spec",
    "algorithm_config_overrides_per_module",
)
BEFORE = "_parity_before_callback"


class CallbackWatch:
    """What callbacks of an ``Algorithm`` changed, while `watching` lasts.

    Attributes:
        changes: each once.
        called: own callbacks that were called.
    """

    def __init__(self) -> None:
        self.changes: list[CallbackChange] = []
        self.called: set[str] = set()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        call = rllib_algorithm.make_callback

        def watched(name: str, callbacks_objects: Any = None, callbacks_functions: Any = None, **given: Any) -> None:
            algorithm = (given.get("kwargs") or {}).get("algorithm")
            own = is_own(name, callbacks_objects, callbacks_functions)
            before = _state(algorithm) if own and algorithm is not None else None
            call(name, callbacks_objects, callbacks_functions, **given)
            if before is not None:
                self.called.add(name)
                self._compare(name, algorithm, before)

        rllib_algorithm.make_callback = watched
        try:
            yield
        finally:
            rllib_algorithm.make_callback = call

    def _compare(self, name: str, algorithm: Any, before: dict[str, Any]) -> None:
        after = _state(algorithm, remember=False)
        for module_id, weights in before["weights"].items():
            now = after["weights"].get(module_id, {})
            changed = [
                n for n, array in weights.items() if n not in now or not np.array_equal(array, now[n], equal_nan=True)
            ]
            if changed:
                self._add(CallbackChange(callback=name, what="weights", where=module_id, names=changed[:4]))
        settings = [n for n in before["settings"] if before["settings"][n] != after["settings"].get(n)]
        for what, fields in (
            ("self-play", [n for n in settings if n in OF_SELF_PLAY]),
            ("settings", [n for n in settings if n not in OF_SELF_PLAY]),
        ):
            if fields:
                values = [
                    f"{n}: {before['settings'][n][:40]} → {after['settings'].get(n, 'gone')[:40]}" for n in fields
                ]
                self._add(CallbackChange(callback=name, what=what, where="config", names=values[:4]))
        for changes in algorithm.env_runner_group.foreach_env_runner(_environment_changes):
            for change in changes:
                self._add(dataclasses.replace(change, callback=name))

    def _add(self, change: CallbackChange) -> None:
        """Once for each callback and kind; where it was seen at last to play otherwise, that is told."""
        key = (change.callback, change.what)
        before = next((i for i, each in enumerate(self.changes) if (each.callback, each.what) == key), None)
        if before is None:
            self.changes.append(change)
        elif change.plays_otherwise and not self.changes[before].plays_otherwise:
            self.changes[before] = change


def is_own(name: str, objects: Any, functions: Any) -> bool:
    """Whether the port has a callback of its own under this name."""
    base = getattr(RLlibCallback, name, None)
    return bool(force_list(functions)) or any(
        getattr(type(each), name, base) is not base
        for each in force_list(objects)
        if not getattr(each, "only_looks", False)
    )


def has_own(config: Any) -> bool:
    """Whether a configuration has callbacks that ``Algorithm`` calls once or more in every iteration."""
    classes = [each for each in force_list(config.callbacks_class) if not getattr(each, "only_looks", False)]
    return any(
        getattr(each, name, None) is not getattr(RLlibCallback, name) for each in classes for name in OF_ITERATIONS
    ) or any(force_list(getattr(config, f"callbacks_{name}")) for name in OF_ITERATIONS)


OF_ITERATIONS = ("on_train_result", "on_evaluate_start", "on_evaluate_end")


def _state(algorithm: Any, remember: bool = True) -> dict[str, Any]:
    """Weights and settings now; with ``remember`` every env runner keeps a copy of its environments."""
    weights, settings = next(iter(algorithm.learner_group.foreach_learner(_learner_state))).get()
    if remember:
        algorithm.env_runner_group.foreach_env_runner(_remember_environments)
    own = {name: _words(value) for name, value in vars(algorithm.config).items() if name != "_is_frozen"}
    return {"weights": weights, "settings": own | settings}


# What follows runs in the processes of learners and env runners.


def _learner_state(learner: Any) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, str]]:
    """Parameters of the modules that are trained, and the numbers that their optimisers step with."""
    weights = {
        str(module_id): parameters(learner.module[module_id].unwrapped())
        for module_id in learner.module.keys()  # noqa: SIM118
        if learner.should_module_be_updated(module_id)
    }
    settings = {
        f"{module_id}, optimiser {key}": str(value)
        for module_id in weights
        for _, optimizer in learner.get_optimizers_for_module(module_id)
        for group in optimizer.param_groups
        for key, value in group.items()
        if isinstance(value, numbers.Number)
    }
    return weights, settings


def _environments(runner: Any) -> list[Any]:
    return [env.unwrapped for env in getattr(runner.env, "envs", None) or []]


def _remember_environments(runner: Any) -> None:
    kept = []
    for env in _environments(runner):
        try:
            kept.append((attributes(env), copy.deepcopy(env)))
        except Exception:
            # One that cannot be copied has its attributes compared alone; `plays_otherwise` is None then, and said.
            kept.append((attributes(env), None))
    setattr(runner, BEFORE, kept)


def _environment_changes(runner: Any) -> list[CallbackChange]:
    """Of each environment whose attributes have changed since `_remember_environments`."""
    changes = []
    for i, (env, (before, copied)) in enumerate(zip(_environments(runner), getattr(runner, BEFORE, []), strict=False)):
        after = attributes(env)
        names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        if names:
            varying = _varying(copied) if copied is not None else set()
            # What playing never changes is a parameter of the environment, and named first.
            names.sort(key=lambda name: name in varying)
            changes.append(
                CallbackChange(
                    callback="",
                    what="environment",
                    where=f"env runner {runner.worker_index}, sub-environment {i}",
                    names=names[:4],
                    plays_otherwise=None if copied is None else plays_otherwise(copied, env),
                    changes_in_play=set(names) <= varying,
                )
            )
    setattr(runner, BEFORE, [])
    return changes


def _varying(env: Any) -> set[str]:
    """Attributes that playing changes by itself."""
    try:
        played = copy.deepcopy(env)
        for seed in range(SEEDS):
            _played(played, seed)
    except Exception:
        # Nothing is known to change by itself then.
        return set()
    before, after = attributes(env), attributes(played)
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def attributes(env: Any) -> dict[str, str]:
    """What an environment holds, by path: numbers, texts and arrays in short, states of generators, objects in objects."""
    return in_words(env, type(env).__name__)


def in_words(value: Any, name: str = "") -> dict[str, str]:
    """All that a value holds, by path."""
    words: dict[str, str] = {}
    _collect(value, name, DEPTH, words, set())
    return words


def _collect(value: Any, path: str, depth: int, words: dict[str, str], seen: set[int]) -> None:
    if depth < 0 or len(words) >= MOST_ITEMS or id(value) in seen:
        return
    if isinstance(value, numbers.Number | str | bytes | np.ndarray | torch.Tensor | spaces.Space | None):
        words[path] = _words(value)
        return
    seen.add(id(value))
    if isinstance(value, np.random.Generator):
        words[path] = _words(str(value.bit_generator.state))
    elif isinstance(value, np.random.RandomState):
        words[path] = _words(str(value.get_state()))
    elif isinstance(value, Mapping):
        for key, part in value.items():
            _collect(part, f"{path}[{key!r}]", depth - 1, words, seen)
    elif isinstance(value, list | tuple | set | frozenset):
        words[path] = f"{len(value)} items"
        for i, part in enumerate(value):
            _collect(part, f"{path}[{i}]", depth - 1, words, seen)
    elif hasattr(value, "__dict__") and not callable(value) and not isinstance(value, type):
        for name, part in vars(value).items():
            _collect(part, f"{path}.{name}", depth - 1, words, seen)


def _words(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        data = value.tobytes() if value.dtype != object else repr(value.tolist()).encode()
        return f"{value.dtype}{value.shape} {hashlib.sha256(data).hexdigest()[:16]}"
    text = repr(value)
    return text if len(text) <= 200 else hashlib.sha256(text.encode()).hexdigest()[:16]


def plays_otherwise(before: Any, now: Any) -> bool | None:
    """Whether two environments part on the same seeds and actions; None where that cannot be played. Neither is changed."""
    try:
        for seed in range(SEEDS):
            ours, theirs = copy.deepcopy(before), copy.deepcopy(now)
            if in_words(_played(ours, seed)) != in_words(_played(theirs, seed)):
                return True
    except Exception:
        # A copy that raises is no judge of its original; the change is told without this.
        return None
    return False


def _played(env: Any, seed: int) -> list[Any]:
    generator = np.random.default_rng(seed)
    shown, _ = env.reset(seed=seed)
    seen: list[Any] = [copy.deepcopy(shown)]
    for _ in range(STEPS):
        try:
            actions = {agent: _action(env, agent, each, generator) for agent, each in shown.items()}
            shown, rewards, terminated, truncated, _ = env.step(actions)
        except Exception as error:
            seen.append(in_short(error))
            break
        seen.append(copy.deepcopy((shown, rewards, terminated, truncated)))
        if terminated.get("__all__") or truncated.get("__all__"):
            break
    return seen


def _action(env: Any, agent: Any, observation: Any, generator: np.random.Generator) -> Any:
    space = env.get_action_space(agent)
    mask = observation.get(MASK_KEY) if isinstance(observation, dict) else None
    if mask is None:
        space.seed(int(generator.integers(2**31)))
        return space.sample()
    return uniform_legal_action(np.asarray(mask).reshape(-1).astype(bool), space, generator)
