"""The network that all frameworks share: how it is built, which tensors it gets, what it must return."""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces

from parity.errors import CannotStart, in_short
from parity.frameworks.randomness import seeded
from parity.task.masks import n_logits

NetworkFactory = Callable[[gymnasium.Space, gymnasium.Space], torch.nn.Module]


def build_network(
    factory: NetworkFactory, observation_space: spaces.Space, action_space: spaces.Space, seed: int | None = None
) -> torch.nn.Module:
    """Builds the network. With a ``seed``, the weights depend on it alone and the global generators are not changed.

    Raises:
        CannotStart: it cannot be built for these spaces, or its outputs have other shapes than the contract's.
    """
    name = getattr(factory, "__name__", repr(factory))
    with seeded(seed) if seed is not None else contextlib.nullcontext():
        try:
            network = factory(observation_space, action_space)
        except Exception as error:
            raise CannotStart(
                f"network {name} cannot be built for {observation_space} and {action_space}: {in_short(error)}."
            ) from error
    if not isinstance(network, torch.nn.Module):
        raise CannotStart(f"network {name} returned a {type(network).__name__}: return a torch.nn.Module.")
    return network


def check_network(
    network: torch.nn.Module,
    observation_space: spaces.Space,
    action_space: spaces.Space,
    shown: Callable[[], Any] | None = None,
) -> None:
    """Checks shapes and dtypes of one forward pass on two observations.

    Args:
        shown: gives two that the environment shows, side by side: a network need not take all that a loose space allows.

    Raises:
        CannotStart: ``forward`` raised, or returned something else than ``(logits [B, n_logits], values [B])``, float32.
    """
    name = type(network).__name__
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    batch = sample_observations(observation_space, 2)
    try:
        out = _forward(network, network_input(batch, observation_space, device))
    except Exception as error:
        refused: Exception | None = error
        if shown is not None:
            try:
                batch = network_input(shown(), observation_space, device)
                out, refused = _forward(network, batch), None
            except Exception as error_on_shown:
                refused = error_on_shown
        if refused is not None:
            raise CannotStart(
                f"network {name}: forward(obs) raised {in_short(refused)}; obs arrives without the "
                f"mask, as {_shapes(batch)}."
            ) from refused
    if not (isinstance(out, tuple) and len(out) == 2 and all(isinstance(part, torch.Tensor) for part in out)):
        raise CannotStart(f"network {name}: forward(obs) must return (logits, values), two tensors.")
    logits, values = out
    shape = [2, n_logits(action_space)]
    for label, part, wanted, remedy in (
        ("logits", logits, shape, f"the action space {action_space} needs {shape}"),
        ("values", values, [2], "return [2] (squeeze the last dimension)"),
    ):
        if list(part.shape) != wanted:
            raise CannotStart(f"network {name}: {label} have shape {list(part.shape)} for 2 observations; {remedy}.")
        if part.dtype != torch.float32:
            raise CannotStart(f"network {name}: {label} are {part.dtype}; return torch.float32.")


def _forward(network: torch.nn.Module, batch: Any) -> Any:
    with torch.no_grad():
        return network(batch)


def sample_observations(observation_space: spaces.Space, batch: int, seed: int = 0) -> Any:
    """Random observations of the space, as the network gets them: a tensor or a dict of tensors ``[batch, …]``, on the CPU."""
    observation_space = copy.deepcopy(observation_space)
    observation_space.seed(seed)
    rows = [observation_space.sample() for _ in range(batch)]
    return network_input(stack_observations(rows, observation_space), observation_space)


def stack_observations(rows: Sequence[Any], space: spaces.Space) -> Any:
    """Observations as environments give them, side by side: ``[B, *space.shape]``; dicts and tuples of those as in the space.

    Entries that the space does not announce are left out, as Stable-Baselines3's ``DummyVecEnv`` leaves them out.
    """
    if isinstance(space, spaces.Dict):
        return {key: stack_observations([row[key] for row in rows], part) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(stack_observations([row[i] for row in rows], part) for i, part in enumerate(space.spaces))
    return np.stack(rows)


def network_input(observations: Any, space: spaces.Space, device: torch.device | str | None = None) -> Any:
    """Batched observations, arrays or tensors of a framework, as the contract delivers them to ``Network.forward``.

    ``[B, *space.shape]``; a Box keeps its dtype except that float64 becomes float32, Discrete and MultiDiscrete are
    int64 (``[B]`` and ``[B, k]``), MultiBinary int8. A Dict keeps the entries of ``space``, in the space's order; Dicts and
    Tuples within it stay dicts and tuples.
    """
    if isinstance(space, spaces.Dict):
        if not isinstance(observations, Mapping):
            raise TypeError(f"the observation space is a Dict, the observations are a {type(observations).__name__}")
        return {key: network_input(observations[key], part, device) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(network_input(observations[i], part, device) for i, part in enumerate(space.spaces))
    # Asked for at every step: an operation that changes nothing takes its time too.
    is_there = isinstance(observations, torch.Tensor) and device is None
    tensor = observations if is_there else torch.as_tensor(observations, device=device)
    shape = space.shape or ()
    if tensor.shape[1:] != shape or tensor.ndim != 1 + len(shape):
        tensor = tensor.reshape(-1, *shape)
    # By the space, not by what arrives: environments return float64 or ints for a float32 Box.
    dtype = _dtype(space)
    return tensor if tensor.dtype is dtype else tensor.to(dtype)


def _dtype(space: spaces.Space) -> torch.dtype:
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        return torch.int64
    return torch.int8 if isinstance(space, spaces.MultiBinary) else _torch_dtype(space.dtype)


@functools.cache
def _torch_dtype(dtype: np.dtype) -> torch.dtype:
    return torch.float32 if dtype == np.float64 else torch.from_numpy(np.empty(0, dtype)).dtype


def parts_of(space: Any) -> dict[str, Any] | None:
    """The entries of a Dict or Tuple, a space or a value of one, by name or number; None for anything else."""
    if isinstance(space, spaces.Dict):
        return dict(space.spaces)
    if isinstance(space, Mapping):
        return dict(space)
    if isinstance(space, spaces.Tuple | tuple):
        return {str(i): part for i, part in enumerate(space)}
    return None


def by_path(value: Any, space: spaces.Space) -> Any:
    """A value of a nested space as Stable-Baselines3 takes it, entries by path (``entry/entry``); any other as it is.

    ``value``: an observation, observations side by side, or the space itself; entries that the space lacks are left out.
    """
    if not is_nested(space):
        return value
    flat = dict(_leaves(value, space, ""))
    return spaces.Dict(flat) if isinstance(value, spaces.Space) else flat


def is_nested(space: spaces.Space) -> bool:
    """Whether a space is more than one array, or one Dict of arrays: Stable-Baselines3 has no buffer for it."""
    parts = parts_of(space)
    return parts is not None and (
        isinstance(space, spaces.Tuple) or any(parts_of(part) is not None for part in parts.values())
    )


def _leaves(value: Any, space: spaces.Space, path: str) -> Iterator[tuple[str, Any]]:
    parts = parts_of(space)
    if parts is None:
        yield path, value
        return
    values = parts_of(value)
    if values is None:
        raise TypeError(f"{path or 'the observation'} is a {type(value).__name__}, its space {space}")
    for name, part in parts.items():
        yield from _leaves(values[name], part, f"{path}/{name}" if path else str(name))


def nested(columns: Any, like: Any, path: str = "") -> Any:
    """Turns columns by path into dicts and tuples again; a plain array is returned as it is.

    ``like``: a space, or a value of it, whose entries are wanted.
    """
    parts = parts_of(like)
    if parts is None or not isinstance(columns, Mapping):
        return columns[path] if path and isinstance(columns, Mapping) else columns
    inner = {name: nested(columns, part, f"{path}/{name}" if path else str(name)) for name, part in parts.items()}
    return tuple(inner.values()) if isinstance(like, spaces.Tuple | tuple) else inner


def copied(observation: Any, space: spaces.Space) -> Any:
    """An observation with arrays of its own, in dicts and tuples as its space has them."""
    if isinstance(space, spaces.Dict) and isinstance(observation, Mapping):
        return {key: copied(part, space.spaces.get(key, spaces.Space())) for key, part in observation.items()}
    if isinstance(space, spaces.Tuple) and isinstance(observation, list | tuple):
        return tuple(copied(part, each) for part, each in zip(observation, space.spaces, strict=True))
    return np.array(observation)


def check_observation_space(space: spaces.Space, may_be_nested: bool = True) -> None:
    """Raises CannotStart for an observation space that SB3 or `network_input` cannot turn into tensors.

    ``may_be_nested``: whether whoever asks can take Dicts and Tuples within a Dict.
    """
    if is_nested(space) and not may_be_nested:
        raise CannotStart(f"The observation space is {space}: use one Dict without Dicts or Tuples in it.")
    for path, part in _leaves(space, space, ""):
        match part:
            case spaces.Box() | spaces.Discrete() | spaces.MultiBinary():
                continue
            case spaces.MultiDiscrete() if part.nvec.ndim == 1:
                continue
        where = f'entry "{path}" of the observation space' if path else "observation space"
        raise CannotStart(
            f"The {where} is {part}: use Box, Discrete, MultiDiscrete (one-dimensional) or MultiBinary, or Dicts and "
            "Tuples of them."
        )


def weights_hash(parameters: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of names, shapes and values: equal exactly where the weights are."""
    digest = hashlib.sha256()
    for name in sorted(parameters):
        value = parameters[name].detach().cpu().contiguous()
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def _shapes(batch: Any) -> str:
    parts = parts_of(batch)
    if parts is not None:
        return "{" + ", ".join(f"{name}: {_shapes(part)}" for name, part in parts.items()) + "}"
    return f"{batch.dtype} {list(batch.shape)}"
