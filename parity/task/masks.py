"""The one mask adapter: however an environment shows its action mask, everything else sees ``action_masks()``.

Four conventions are in use: a method ``action_masks()`` (sb3-contrib), an entry of the observation (PettingZoo, RLlib),
an entry of ``info`` (Gymnasium's Taxi, OpenSpiel), and a method of another name.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from parity.errors import CannotStart, in_short, in_words

MASK_KEY = "action_mask"
MASK_METHOD = "action_masks"


@dataclasses.dataclass
class MaskCounts:
    """Counts of decisions that were checked against the environment's mask."""

    decisions: int = 0
    violations: int = 0  # actions that the mask forbade
    empty: int = 0  # decisions for which it allowed nothing at all

    def check(self, mask: np.ndarray, action: Any, action_space: spaces.Space) -> None:
        """Counts one decision. ``mask``: bool ``[n_logits]``; ``action``: an element of ``action_space``."""
        self.decisions += 1
        actions = _maskable(action_space)
        if actions.is_empty(mask):
            self.empty += 1
        elif not actions.is_legal(mask, action):
            self.violations += 1

    def check_rows(self, masks: np.ndarray, actions: np.ndarray, action_space: spaces.Space) -> None:
        """Counts many decisions. ``masks``: bool ``[n, n_logits]``; ``actions``: ``[n]``, or ``[n, k]`` of k sub-actions."""
        known = _maskable(action_space)
        picked = np.asarray(actions).reshape(len(masks), -1).astype(np.int64)
        is_empty = np.logical_not(np.all(np.logical_or.reduceat(masks, known.starts, axis=1), axis=1))
        is_legal = np.zeros(len(masks), dtype=bool)
        if picked.shape[1] == len(known.sizes):
            is_there = (picked >= 0) & (picked < known.sizes)
            columns: np.ndarray = np.where(is_there, picked, 0) + np.array(known.starts)
            is_legal = (is_there & np.take_along_axis(masks, columns, axis=1)).all(axis=1)
        self.decisions += len(masks)
        self.empty += int(is_empty.sum())
        self.violations += int((~is_empty & ~is_legal).sum())

    def __add__(self, other: MaskCounts) -> MaskCounts:
        return MaskCounts(
            self.decisions + other.decisions, self.violations + other.violations, self.empty + other.empty
        )


@dataclasses.dataclass(frozen=True)
class _Maskable:
    """What a mask of an action space is checked by: worked out once, as it is asked at every step."""

    space: spaces.Space  # held, so that no other can have its ``id``
    sizes: list[int]  # number of options of each sub-action

    @functools.cached_property
    def n_logits(self) -> int:
        return sum(self.sizes)

    @functools.cached_property
    def starts(self) -> list[int]:
        """Where each sub-action's options begin in the mask."""
        return [0, *itertools.accumulate(self.sizes)][:-1]

    def is_empty(self, mask: np.ndarray) -> bool:
        if len(self.sizes) == 1:
            return not np.count_nonzero(mask)
        return 0 in np.logical_or.reduceat(mask, self.starts)

    def is_legal(self, mask: np.ndarray, action: Any) -> bool:
        if len(self.sizes) == 1 and isinstance(action, int | np.integer):
            return bool(0 <= action < self.sizes[0] and mask[action])
        picked = np.asarray(action).reshape(-1).astype(np.int64).tolist()
        return len(picked) == len(self.sizes) and all(
            0 <= option < size and bool(mask[start + option])
            for option, size, start in zip(picked, self.sizes, self.starts, strict=True)
        )

    def read_rows(self, raw: Any) -> np.ndarray | None:
        """As `read`, of many masks side by side: bool ``[n, n_logits]``."""
        if type(raw) is np.ndarray and raw.shape[1:] == (self.n_logits,) and raw.dtype.char in _BYTES:
            return None if raw.size and raw.view(np.uint8).max() > 1 else raw.astype(bool)
        return None

    def read(self, raw: Any) -> np.ndarray | None:
        """A mask that is one plain array of zeros and ones, one byte each, or a list of booleans, as bool ``[n_logits]``.

        None for all others.
        """
        if type(raw) is np.ndarray and raw.shape == (self.n_logits,) and raw.dtype.char in _BYTES:
            # One pass over the bytes finds what is neither 0 nor 1, in a quarter of the time of two comparisons of arrays.
            return None if raw.tobytes().strip(_ZEROS_AND_ONES) else raw.astype(bool)
        if type(raw) is list and len(raw) == self.n_logits and _BOOLEANS.issuperset(map(type, raw)):
            return np.array(raw)
        return None


# NumPy's characters of bool, int8 and uint8.
_BYTES = "?bB"
_ZEROS_AND_ONES = b"\x00\x01"
_BOOLEANS = {bool, np.bool_}
_known: dict[int, _Maskable] = {}
# Some environments make a new space whenever they are asked for it.
_MOST_KNOWN = 256


def _maskable(action_space: spaces.Space) -> _Maskable:
    known = _known.get(id(action_space))
    if known is None:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        known = _known[id(action_space)] = _Maskable(action_space, _choices(action_space))
    return known


def choices(action_space: spaces.Space) -> list[int]:
    """Number of options of each sub-action: ``[n]``, ``nvec`` or ``[2] * n``.

    Raises:
        CannotStart: the action space is none that MaskablePPO supports, or does not count from 0.
    """
    return list(_maskable(action_space).sizes)


def _choices(action_space: spaces.Space) -> list[int]:
    if np.any(getattr(action_space, "start", 0)):
        # Neither framework's categorical distribution knows of `start`.
        raise CannotStart(f"The action space {action_space} starts above 0: let the actions count from 0.")
    match action_space:
        case spaces.Discrete():
            return [int(action_space.n)]
        case spaces.MultiDiscrete() if action_space.nvec.ndim == 1:
            return [int(n) for n in action_space.nvec]
        case spaces.MultiBinary() if isinstance(action_space.n, int | np.integer):
            return [2] * int(action_space.n)
    raise CannotStart(
        f"The action space {action_space} cannot be masked: use Discrete, MultiDiscrete or MultiBinary (one-dimensional)."
    )


def plain_masks(raw: Any, action_space: spaces.Space) -> np.ndarray | None:
    """Masks ``[n, n_logits]`` of zeros and ones, one byte each, as bool; None for what `as_mask` has to look at one by one."""
    return _maskable(action_space).read_rows(raw)


def n_logits(action_space: spaces.Space) -> int:
    """Length of a mask and of the network's logits: ``n``, the sum of ``nvec``, or ``2 n``."""
    return _maskable(action_space).n_logits


def branch_columns(sizes: Sequence[int]) -> list[slice]:
    """The columns of each sub-action in a mask or in logits; ``sizes``: its number of options, as from `choices`."""
    return [slice(low, high) for low, high in itertools.pairwise([0, *itertools.accumulate(sizes)])]


def split_by_branch(values: np.ndarray, sizes: Sequence[int]) -> list[np.ndarray]:
    """A mask or logits ``[..., n_logits]``, cut into one view ``[..., size]`` for each sub-action."""
    return [values[..., columns] for columns in branch_columns(sizes)]


def is_legal(mask: np.ndarray, action: Any, action_space: spaces.Space) -> bool:
    """Whether every sub-action is allowed. ``mask``: bool ``[n_logits]``, sub-actions concatenated."""
    return _maskable(action_space).is_legal(mask, action)


def is_empty(mask: np.ndarray, action_space: spaces.Space) -> bool:
    """Whether some sub-action has no option left."""
    return _maskable(action_space).is_empty(mask)


def uniform_legal_action(
    mask: np.ndarray, action_space: spaces.Space, generator: np.random.Generator
) -> np.ndarray | np.int64:
    """Draws every sub-action uniformly from what ``mask`` (bool ``[n_logits]``) allows; from all where it allows nothing.

    As both frameworks hand actions over: an int64 of NumPy, no Python integer, or an int64 array ``[k]``.
    """
    branches = split_by_branch(mask, choices(action_space))
    picked = [generator.choice(np.flatnonzero(branch if branch.any() else ~branch)) for branch in branches]
    return np.array(picked, dtype=np.int64) if action_space.shape else np.int64(picked[0])


def as_mask(raw: Any, action_space: spaces.Space, where: str) -> np.ndarray:
    """A mask as environments give it (any shape, bool, int or float) as bool ``[n_logits]``, an own copy.

    Raises:
        CannotStart: its length is not that of the action space.
    """
    actions = _maskable(action_space)
    if (plain := actions.read(raw)) is not None:
        return plain
    if (rows := _rows_of_branches(raw)) is not None:
        raise CannotStart(
            f"The mask of {where} has a row for each sub-action, of {rows} entries: return one row of {actions.n_logits}, "
            "np.concatenate(rows), as MaskablePPO takes it."
        )
    try:
        flat = np.concatenate([np.asarray(part).reshape(-1) for part in raw]) if isinstance(raw, list | tuple) else None
        numbers = np.asarray(raw if flat is None else flat).reshape(-1)
        if numbers.dtype.kind not in "biuf":
            raise TypeError(f"it holds {numbers.dtype}")
        if (numbers.dtype.kind == "f" and not np.isfinite(numbers).all()) or (numbers < 0).any():
            raise ValueError(f"it holds {numbers.min()}; write 1 for legal and 0 for illegal")
        mask = numbers.astype(bool)
    except (TypeError, ValueError) as error:
        raise CannotStart(f"The mask of {where} cannot be read as an array of booleans: {error}.") from None
    if mask.shape != (actions.n_logits,):
        raise CannotStart(
            f"The mask of {where} has {mask.size} entries, the action space {action_space} needs {actions.n_logits}: "
            "return one entry per action (sub-actions concatenated)."
        )
    return mask


def _rows_of_branches(raw: Any) -> str | None:
    """Lengths of a mask's rows, in words, where they differ or have names: no framework makes one array of them."""
    rows: Sequence[Any] | None = None
    if isinstance(raw, Mapping):
        rows = list(raw.values())
    elif isinstance(raw, list | tuple) or (isinstance(raw, np.ndarray) and raw.dtype == object):
        rows = list(raw)
    sizes = [np.size(row) for row in rows or ()]
    return (
        in_words([str(size) for size in sizes]) if len(set(sizes)) > 1 or (isinstance(raw, Mapping) and sizes) else None
    )


def _method(env: gymnasium.Env, name: str) -> Callable[[], Any] | None:
    try:
        attribute = env.get_wrapper_attr(name)
    except AttributeError:
        return None
    return attribute if callable(attribute) else None


def _announced(env: gymnasium.Env) -> str | None:
    """How an environment shows its mask, if its methods or its observation space tell."""
    if _method(env, MASK_METHOD):
        return f"method:{MASK_METHOD}"
    return f"obs:{MASK_KEY}" if MASK_KEY in getattr(env.observation_space, "spaces", {}) else None


def find_convention(env: gymnasium.Env, observation: Any, info: dict[str, Any]) -> str:
    """How ``env`` shows its mask, as ``Task.mask`` spells it.

    Raises:
        CannotStart: it shows its mask in none of the known ways.
    """
    if _method(env, MASK_METHOD):
        return f"method:{MASK_METHOD}"
    if isinstance(observation, dict) and MASK_KEY in observation:
        return f"obs:{MASK_KEY}"
    if MASK_KEY in info:
        return f"info:{MASK_KEY}"
    raise CannotStart(
        f"The environment {env.unwrapped.__class__.__name__} shows no action mask: looked for a method {MASK_METHOD}(), "
        f'observation["{MASK_KEY}"] and info["{MASK_KEY}"]; {_where_else(env, observation, info)}.'
    )


# Names under which environments show what is legal.
_LIKE_A_MASK = re.compile(r"mask|legal|valid|allowed|avail|feasible|possible_(?:actions?|moves?)", re.IGNORECASE)


def like_a_mask(env: gymnasium.Env, observation: Any, info: Mapping[str, Any]) -> list[str]:
    """Places whose names sound like a mask, as ``Task.mask`` spells them, those with the word itself first."""
    entries = observation if isinstance(observation, Mapping) else {}
    places = [f"method:{name}" for name in _methods_like_a_mask(env)]
    places += [f"obs:{key}" for key in entries if _LIKE_A_MASK.search(str(key))]
    places += [f"info:{key}" for key in info if _LIKE_A_MASK.search(str(key))]
    return sorted(places, key=lambda place: "mask" not in place.lower())


def _where_else(env: gymnasium.Env, observation: Any, info: dict[str, Any]) -> str:
    """What to write, with the places that sound like a mask; without any, how to name one."""
    places = like_a_mask(env, observation, info)
    if not places:
        return 'name another place with Task(mask="method:NAME"), "obs:KEY" or "info:KEY"'
    others = f" (or {', '.join(places[1:])})" if places[1:] else ""
    return (
        f'name the place with Task(mask="{places[0]}"){others}; where that lists actions, add a method {MASK_METHOD}() that '
        "makes a mask of the list"
    )


def _methods_like_a_mask(env: gymnasium.Env) -> list[str]:
    """Public methods without required arguments, of the environment and its wrappers."""
    names: dict[str, None] = {}
    while True:
        own = [
            name for each in type(env).__mro__ if each not in (gymnasium.Env, gymnasium.Wrapper) for name in vars(each)
        ]
        for name in own:
            method = getattr(type(env), name, None)
            if name.startswith("_") or not _LIKE_A_MASK.search(name) or not inspect.isfunction(method):
                continue
            parameters = list(inspect.signature(method).parameters.values())[1:]
            if all(p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
                names[name] = None
        if not isinstance(env, gymnasium.Wrapper):
            return list(names)
        env = env.env


def check_env(make: Callable[[], gymnasium.Env], mask: str | None, who: str) -> None:
    """Makes and resets an environment once.

    Args:
        who: the task, for the message.

    Raises:
        CannotStart: it cannot be made or reset, or shows no mask.
    """
    doing = "made"
    try:
        env = make()
        doing = "reset"
        masked = MaskedEnv(env, mask)
        masked.reset(seed=0)
        masked.close()
    except CannotStart:
        raise
    except Exception as error:
        raise CannotStart(f"{who}: env raised {in_short(error)}, as it was {doing}.") from error


def masked_envs(make: Callable[[], gymnasium.Env], mask: str | None, n: int) -> list[MaskedEnv]:
    """Makes ``n`` separate environments, each with its mask in one place.

    Raises:
        CannotStart: ``make`` returns the same environment twice, or one without a mask.
    """
    envs = [MaskedEnv(make(), mask) for _ in range(n)]
    if len({id(env.unwrapped) for env in envs}) < n:
        raise CannotStart(f"env returns the same {envs[0].name} at every call: make a new one each time.")
    return envs


def vector_masks(env: Any, observations: Any, infos: Any, mask: str | None = None) -> np.ndarray:
    """The masks of a vectorised environment, of the states just returned: bool ``[n_envs, n_logits]``.

    Args:
        env: a ``gymnasium.vector.VectorEnv`` or a Stable-Baselines3 ``VecEnv``; for the method it is asked through ``call`` or
            ``env_method``, so that wrappers and other processes are no obstacle.
        observations: a dict of arrays ``[n_envs, …]``, or an array.
        infos: a dict of arrays (Gymnasium) or a list of dicts (Stable-Baselines3). Where a sub-environment's info has no mask,
            as in many at the end of an episode, everything is allowed.
        mask: as ``Task.mask``; None looks into observation and info, then for a method ``action_masks()``.

    Raises:
        CannotStart: there is no mask there, or one of the wrong length.
    """
    name = type(env.unwrapped if hasattr(env, "unwrapped") else env).__name__
    space = getattr(env, "single_action_space", None) or env.action_space
    kind, _, key = (mask or "").partition(":")
    if not kind:
        named = infos if isinstance(infos, dict) else {k for info in infos or () for k in info}
        in_observation = isinstance(observations, dict) and MASK_KEY in observations
        kind = "obs" if in_observation else "info" if MASK_KEY in named else "method"
        key = MASK_METHOD if kind == "method" else MASK_KEY
    try:
        rows = _vector_rows(env, kind, key, observations, infos)
    except (AttributeError, KeyError) as error:
        raise CannotStart(
            f'{name} shows no action mask as "{kind}:{key}" ({type(error).__name__}: {error}): name its place with '
            'mask="obs:KEY", "info:KEY" or "method:NAME".'
        ) from None
    everything = np.ones(n_logits(space), dtype=bool)
    return np.stack([everything if row is None else as_mask(row, space, f"{name} ({kind}:{key})") for row in rows])


def _vector_rows(env: Any, kind: str, key: str, observations: Any, infos: Any) -> list[Any]:
    """One mask for each sub-environment, None where its info has none."""
    if kind == "obs":
        return list(observations[key])
    if kind == "method":
        return list(env.env_method(key) if hasattr(env, "env_method") else env.call(key))
    if isinstance(infos, dict):
        present = infos.get(f"_{key}", np.ones(len(infos[key]), dtype=bool))
        return [row if there else None for row, there in zip(infos[key], present, strict=True)]
    if not any(key in info for info in infos):
        raise KeyError(key)
    return [info.get(key) for info in infos]


def _check_single(env: Any) -> None:
    """Raises CannotStart unless ``env`` is one environment with one agent."""
    if isinstance(env, gymnasium.Env):
        return
    name = type(env).__name__
    if isinstance(env, gymnasium.vector.VectorEnv):
        raise CannotStart(f"env makes the vectorised environment {name}: make a single one; n_envs says how many.")
    if hasattr(env, "possible_agents"):
        raise CannotStart(
            f"env makes {name}, which has several agents: for the one that SB3 trains, make "
            "parity.task.pettingzoo.AgainstOpponents(that environment, agent)."
        )
    raise CannotStart(f"env makes a {name}: make a gymnasium.Env.")


class MaskedEnv(gymnasium.Wrapper):
    """An environment with its mask in one place: ``action_masks()``, bool ``[n_logits]``, of the state just returned.

    The mask's entry is taken out of a ``Dict`` observation and its space, nothing else is changed; an entry "action_mask"
    goes too where the mask comes from elsewhere, as RLlib's modules read the mask under that name. Every action is
    checked against the mask of the state that it was chosen in, and counted in ``counts``.

    Args:
        env: the user's environment.
        mask: ``Task.mask``; None finds the convention, by a reset where method and space do not tell.
        audit: whether to look at masks that the environment shows in other places too. ``contradictions`` then counts, by
            place, how many differed from the one that is used; ``unreadable`` has the errors of places without a readable one.

    Raises:
        CannotStart: ``env`` is no environment of one agent, or the mask is not where ``mask`` says or has the wrong length.
    """

    def __init__(self, env: gymnasium.Env, mask: str | None = None, audit: bool = False) -> None:
        _check_single(env)
        super().__init__(env)
        n_logits(env.action_space)
        self.name = env.unwrapped.__class__.__name__
        self.counts = MaskCounts()
        self._mask: np.ndarray | None = None
        if mask is None:
            # A reset is something that an environment may remember: only where nothing else tells.
            mask = _announced(env) or find_convention(env, *env.reset())
        self.convention = mask
        self._audit, self.contradictions, self.unreadable = audit, dict[str, int](), dict[str, Exception]()
        kind, _, key = mask.partition(":")
        self._kind, self._key = kind, key
        if kind == "method" and _method(env, key) is None:
            raise CannotStart(f'Task(mask="{mask}"): {self.name} has no method {key}().')
        parts = env.observation_space.spaces if isinstance(env.observation_space, spaces.Dict) else {}
        if kind == "obs" and key not in parts:
            raise CannotStart(f'Task(mask="{mask}"): the observation space of {self.name} has no entry "{key}".')
        self._hidden = parts.keys() & {MASK_KEY, key if kind == "obs" else MASK_KEY}
        if self._hidden:
            self.observation_space = spaces.Dict({n: space for n, space in parts.items() if n not in self._hidden})

    def action_masks(self) -> np.ndarray:
        """The mask of the current state: bool ``[n_logits]``."""
        if self._mask is None:
            raise RuntimeError("action_masks() before reset()")
        return self._mask

    def _take(self, observation: Any, info: dict[str, Any], ended: bool = False) -> Any:
        where = f"{self.name} ({self.convention})"
        raw: Any
        match self._kind:
            case "obs":
                if not isinstance(observation, dict) or self._key not in observation:
                    raise CannotStart(f'{where}: the observation has no "{self._key}", which its space announces.')
                raw = observation[self._key]
            case "info" if self._key not in info and ended:
                # No decision follows; many environments leave the mask out there.
                raw = np.ones(n_logits(self.action_space))
            case "info":
                if self._key not in info:
                    raise CannotStart(
                        f'{where}: info has no "{self._key}" at this step: return it at reset and every step.'
                    )
                raw = info[self._key]
            case _:
                method = _method(self.env, self._key)
                assert method is not None
                raw = method()
        self._mask = as_mask(raw, self.action_space, where)
        if self._audit and not ended:
            self._compare_others(observation, info)
        if self._hidden:
            observation = {name: part for name, part in observation.items() if name not in self._hidden}
        return observation

    def _compare_others(self, observation: Any, info: dict[str, Any]) -> None:
        shown: dict[str, Callable[[], Any]] = {}
        if isinstance(observation, dict) and MASK_KEY in observation:
            shown[f"obs:{MASK_KEY}"] = lambda: observation[MASK_KEY]
        if MASK_KEY in info:
            shown[f"info:{MASK_KEY}"] = lambda: info[MASK_KEY]
        if (method := _method(self.env, MASK_METHOD)) is not None:
            shown[f"method:{MASK_METHOD}"] = method
        for place in shown.keys() - {self.convention}:
            try:
                other = as_mask(shown[place](), self.action_space, place)
            except Exception as error:
                self.unreadable.setdefault(place, error)
                continue
            if not np.array_equal(other, self.action_masks()):
                self.contradictions[place] = self.contradictions.get(place, 0) + 1

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)
        return self._take(observation, info), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self.counts.check(self.action_masks(), action, self.action_space)
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._take(observation, info, bool(terminated or truncated)), reward, terminated, truncated, info
