"""Which parameter of a port's module is which of SB3's: by the task's map, by names, else by what each does."""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from gymnasium import spaces

from parity.capture.input_order import input_orders, take_inputs_in_order
from parity.capture.pairing import Network, Outputs, find_pairing, unused
from parity.capture.raised import note
from parity.capture.rllib.behaviour import has_values, outputs_of
from parity.capture.sb3 import sb3_reference
from parity.capture.sb3.sb3_reference import for_policy
from parity.frameworks.network import by_path, network_input, sample_observations
from parity.frameworks.rllib.arrays import by_entry, duplicate
from parity.frameworks.rllib.env import OBSERVATIONS_KEY
from parity.frameworks.rllib.module import is_wrapped, same_tensors, unmasked_space
from parity.frameworks.shown import shown_observations
from parity.ladder.correspondence import correspond
from parity.results.capture import Context, Correspondence
from parity.task import Task
from parity.task.masks import MASK_KEY, choices

# Observations on which parameters are told apart.
ROWS = 24
# Combinations of layers whose inputs are taken to stand in another order, beyond which no more are tried.
MOST_ORDERS = 15


def pair_parameters(context: Context, task: Task, policy: Any, module: Any, mask_key: str = MASK_KEY) -> Correspondence:
    """How the parameters of ``policy``, SB3's, and ``module`` correspond; neither is changed.

    What raises while pairings are tried is a note: names decide alone then.
    """
    ours, theirs = ({name: tuple(p.shape) for name, p in network.named_parameters()} for network in (policy, module))
    by_name = correspond(ours, theirs, task.parameter_map, context.other_side)
    other = other_observations(policy.observation_space, module.observation_space, mask_key)
    if other is not None:
        return dataclasses.replace(by_name, pairs={}, reason=by_name.reason or other)
    if task.parameter_map is not None and not by_name.pairs:
        return by_name
    try:
        return _tried(context, task, policy, module, by_name, mask_key)
    except Exception as error:
        # A module that cannot be run by itself, or an environment that cannot be played.
        note(context, "parameters are told apart by their names and shapes alone", error)
        return by_name


def other_observations(ours: spaces.Space, theirs: spaces.Space, mask_key: str = MASK_KEY) -> str | None:
    """Why the same observations cannot be given to both sides; None where they can."""
    if not isinstance(theirs, spaces.Dict) or mask_key not in theirs.spaces:
        return None if same_tensors(theirs, ours) else f"the module's observation space has no {mask_key}"
    seen = unmasked_space(theirs, is_wrapped(theirs, ours, mask_key), mask_key)
    if not same_tensors(by_path(seen, seen), ours):
        return "the port observes something else than the single-agent environment shows"
    return None


def _tried(
    context: Context, task: Task, policy: Any, module: Any, by_name: Correspondence, mask_key: str
) -> Correspondence:
    sets = _observations(task, policy, module, mask_key)
    ours, theirs = _networks(policy, module, sets)
    if by_name.other_network:
        # What no output depends on is no part of a network.
        ours, theirs = (dataclasses.replace(each, left_out=unused(each)) for each in (ours, theirs))
        shapes = [{name: tuple(shape) for name, shape in each.shapes.items()} for each in (ours, theirs)]
        by_name = correspond(shapes[0], shapes[1], other_side=context.other_side)
        if by_name.other_network:
            return by_name
    pairing = find_pairing(ours, theirs, by_name.pairs)
    if pairing is not None and pairing.same:
        return by_name if task.parameter_map is not None else Correspondence(pairs=pairing.pairs)
    for pairs in _but_for_order(ours, theirs, by_name.pairs, task.parameter_map is None):
        columns = input_orders(ours, theirs, pairs)
        if columns:
            reordered, _ = _networks(policy, module, sets)
            take_inputs_in_order(reordered.module, columns)
            reordered = dataclasses.replace(reordered, left_out=ours.left_out)
            if find_pairing(reordered, theirs, pairs, only_same=True) is not None:
                return Correspondence(pairs=pairs, columns=columns)
    return by_name if pairing is None or task.parameter_map is not None else Correspondence(pairs=pairing.pairs)


def _but_for_order(ours: Network, theirs: Network, by_name: dict[str, str], free: bool) -> Iterator[dict[str, str]]:
    """Pairings with which both may be one but for the order of a layer's inputs. ``free``: others than by name as well."""
    if by_name:
        yield by_name
    counts = list(dict.fromkeys(shape[1] for shape in ours.shapes.values() if len(shape) == 2 and shape[1] > 1))
    # A normalised sum is 0: of all layers at once, the order of inputs cannot be left open.
    some = itertools.chain.from_iterable(itertools.combinations(counts, n) for n in (1, 2, 3)) if free else ()
    for chosen in itertools.islice(some, MOST_ORDERS):
        mine, its = (dataclasses.replace(each, any_order=frozenset(chosen)) for each in (ours, theirs))
        ordered = find_pairing(mine, its, only_same=True)
        if ordered is not None:
            yield ordered.pairs


def _observations(task: Task, policy: Any, module: Any, mask_key: str) -> list[dict[str, Any]]:
    """What the environment shows, then what its space allows, everything legal: as the module takes them."""
    space = module.observation_space
    sampled = sample_observations(space, ROWS)
    shown = shown_observations(task, ROWS)
    if not isinstance(space, spaces.Dict) or mask_key not in space.spaces:
        return [network_input(shown, space), sampled]
    if is_wrapped(space, policy.observation_space, mask_key):
        shown = {OBSERVATIONS_KEY: shown}
    rest = spaces.Dict({key: part for key, part in space.spaces.items() if key != mask_key})
    mask = torch.ones_like(sampled[mask_key])
    return [{**network_input(shown, rest), mask_key: mask}, {**sampled, mask_key: mask}]


def _networks(policy: Any, module: Any, sets: list[dict[str, Any]]) -> tuple[Network, Network]:
    policy, module = copy.deepcopy(policy), duplicate(module).cpu()
    sizes, with_values = choices(module.action_space), has_values(module)

    def normalised(logits: torch.Tensor, values: torch.Tensor | None) -> torch.Tensor:
        columns = [part.log_softmax(-1) for part in logits.split(sizes, -1)]
        values = torch.zeros(len(logits)) if values is None or not with_values else values
        return torch.cat([*columns, values.reshape(len(logits), 1)], -1)

    def of_sb3(observations: dict[str, Any]) -> torch.Tensor:
        return normalised(*sb3_reference.outputs(policy, for_policy(by_entry(observations), policy.observation_space)))

    def of_port(observations: dict[str, Any]) -> torch.Tensor:
        # `outputs_of` gives the module a copy of its own.
        return normalised(*outputs_of(module, observations))

    networks = ((policy, of_sb3), (module, of_port))
    ours, theirs = (Network(network, functools.partial(_on_all, of, sets)) for network, of in networks)
    return ours, theirs


def _on_all(of: Callable[[dict[str, Any]], torch.Tensor], sets: list[dict[str, Any]]) -> Outputs:
    """Outputs on each set; None where the network refuses what the environment may never show."""
    outputs: Outputs = []
    for place, observations in enumerate(sets):
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(0)
            try:
                outputs.append(of(observations))
            except Exception:
                # The first set is what the environment shows; the others are draws, which a network may refuse.
                if place == 0:
                    raise
                outputs.append(None)
    return outputs
