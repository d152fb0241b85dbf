"""Runs a module by itself: on the rollout, on random observations, with scaled and with disturbed weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import tree
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI

from parity.capture.draws import draw_within, vary_constants, whole_rows
from parity.capture.module_capture import ModuleCapture, add_entry
from parity.capture.raised import note
from parity.capture.random_masks import random_actions, random_masks
from parity.capture.scaled_weights import scaled
from parity.capture.sensitivity import output_sensitivity
from parity.errors import one_line
from parity.frameworks.network import nested, sample_observations
from parity.frameworks.rllib.arrays import array, device_of, flat, probability, take
from parity.results.capture import Arrays, ChosenActions, Distribution, RandomObservations, ScaledWeights
from parity.task.masks import choices

SPACE_SAMPLES = 32
# Rows on which single parameters are disturbed: enough to reach every input, few enough for large networks.
SENSITIVITY_ROWS = 64
PHASES = ("exploration", "inference", "train")
# Of actions as they are drawn: enough to see a bias of a few percent.
CHOSEN_ROWS = 64
CHOSEN_TIMES = 64
# Observed rows on which it is asked whether a module needs its mask.
MASKED_ROWS = 128


def has_values(module: Any) -> bool:
    """Whether ``compute_values`` can be called; RLlib's loss asks no more than that (ppo_torch_learner.py:96, ray 2.60.0)."""
    return callable(getattr(module, "compute_values", None))


def missing_distributions(module: Any) -> dict[str, str]:
    """Phase -> what the module raises when it is asked for its action distribution's class, in words."""
    missing = {}
    for phase in PHASES:
        try:
            _getter(module, phase)()
        except Exception as error:
            missing[phase] = " ".join([type(error).__name__, *one_line(error).split()[:20]])
    return missing


def distribution_class(module: Any, phase: str) -> Any:
    """The module's distribution class in a phase; another phase's where it has none for this one (a finding of rung 0)."""
    missing = missing_distributions(module)
    return _getter(module, next((each for each in (phase, *PHASES) if each not in missing), phase))()


def _getter(module: Any, phase: str) -> Callable[[], Any]:
    return getattr(module, f"get_{phase}_action_dist_cls")


def as_trained(module: Any, observations: Any) -> dict[str, Any]:
    """Observations as they reach ``forward_train``: RLlib's pipeline has called ``compute_values`` on that very batch.

    Most modules leave it as it was (general_advantage_estimation.py:96, ray 2.60.0).
    """
    batch = {Columns.OBS: copy.deepcopy(observations)}
    if isinstance(module, ValueFunctionAPI):
        with torch.no_grad():
            module.compute_values(batch)
    return batch


def outputs_of(module: Any, observations: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Logits ``[B, n_logits]`` and values ``[B]`` of the training pass; None for values where it computes none."""
    given = as_trained(module, observations)
    out = module.forward_train(given)
    values = module.compute_values(given, embeddings=out.get(Columns.EMBEDDINGS)) if has_values(module) else None
    return out[Columns.ACTION_DIST_INPUTS], values


def forward(own: ModuleCapture, module: Any, columns: dict[str, Any], after: Any) -> None:
    """The module on the rows that stand for decisions, in each of its phases.

    Args:
        columns: the learner's batch of the module, with the observations as its connectors made them.
        after: observations that followed the last row of each chunk, columns of arrays; None if unknown.
    """
    rows = own.decisions(len(columns[Columns.ACTIONS]))
    batch = {Columns.OBS: take(columns[Columns.OBS], rows)}
    actions = take(columns[Columns.ACTIONS], rows)
    with torch.no_grad():
        # Each call gets a batch of its own: one that changes it must not disturb the next.
        trained = as_trained(module, batch[Columns.OBS])
        given = copy.deepcopy(trained)
        prepared = flat(copy.deepcopy(trained))
        first = module.forward_train(given)
        _note_changes(own, prepared, flat(given))
        second = module.forward_train(copy.deepcopy(trained))
        outs, given = _phases(own.add_phase, module, batch, trained, actions)
        own.facts.forward_columns = {phase: sorted(map(str, out)) for phase, out in outs.items()}
        _add_played(own, own.distribution, module, batch, outs)
        own.forward.logits_first, own.forward.logits_again = (
            array(out[Columns.ACTION_DIST_INPUTS]) for out in (first, second)
        )
        if has_values(module):
            own.fill_values(array(module.compute_values({**columns, Columns.OBS: copy.deepcopy(columns[Columns.OBS])})))
            # The batch of the training pass, as RLlib's loss has it.
            shared = module.compute_values(given, embeddings=outs["train"].get(Columns.EMBEDDINGS))
            own.forward.values = array(shared)
            followed = None if after is None else _like(after, columns[Columns.OBS])
            if followed is not None:
                own.returns.bootstrap = array(module.compute_values({Columns.OBS: followed}))


def _like(observations: Any, given: Any) -> Any:
    """Columns of arrays as tensors in the structure of ``given``; None where connectors made another one, as rung 3 says."""
    try:
        parts = nested(observations, given)
        tree.assert_same_structure(parts, given)
    except (KeyError, ValueError, TypeError):
        return None
    return tree.map_structure(
        lambda leaf, like: torch.as_tensor(leaf).to(device=like.device, dtype=like.dtype), parts, given
    )


def _phases(
    add: Callable[..., None], module: Any, batch: dict[str, Any], trained: dict[str, Any], actions: torch.Tensor
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Runs the module's phases. Returns what each of them gave, and the training pass's batch after it.

    Args:
        add: stores the distribution of a phase, see `ModuleCapture.add_phase`.
        batch: as it reaches all phases but the training pass; not changed.
        trained: as it reaches ``forward_train``; not changed.
    """
    outs, given = {}, trained
    for phase in PHASES:
        given = copy.deepcopy(trained if phase == "train" else batch)
        # As learners call it: a module may do something else where no gradient is asked for.
        with torch.set_grad_enabled(phase == "train"):
            out = outs[phase] = getattr(module, f"forward_{phase}")(given)
        if phase == "inference" and Columns.ACTION_DIST_INPUTS not in out and Columns.ACTIONS in out:
            continue  # it picks its actions itself, as RLlib allows where nothing is learned from them
        logits = out[Columns.ACTION_DIST_INPUTS]
        distribution = distribution_class(module, phase).from_logits(logits)
        add(
            phase,
            logits=array(logits),
            log_prob=array(distribution.logp(actions)),
            entropy=array(distribution.entropy()),
            probability=array(probability(distribution)),
        )
    return outs, given


def _rows_of_actions(actions: Any) -> np.ndarray:
    """int64 ``[B, k]``."""
    rows = array(torch.as_tensor(actions))
    return rows.reshape(len(rows), -1).astype(np.int64)


def _add_played(
    own: ModuleCapture,
    into: Distribution | ScaledWeights,
    module: Any,
    batch: dict[str, Any],
    outs: Mapping[str, dict[str, Any]],
) -> None:
    """Actions as RLlib takes them: the module's, where it picks them itself, else those of its distribution's class.

    Without exploration one for each row; with it for some rows, `CHOSEN_TIMES` times each.

    Args:
        outs: what each phase made of the batch.
    """
    inferred, explored = outs["inference"], outs["exploration"]
    try:
        played = inferred.get(Columns.ACTIONS)
        if played is None:
            policy = distribution_class(module, "inference").from_logits(inferred[Columns.ACTION_DIST_INPUTS])
            played = policy.to_deterministic().sample()
        into.greedy = _rows_of_actions(played)
    except Exception as error:
        note(own.capture.context, f"what {type(module).__name__} plays without exploration is not compared", error)
    some = np.arange(min(CHOSEN_ROWS, len(explored[Columns.ACTION_DIST_INPUTS])))
    batch, logits = take(batch, some), explored[Columns.ACTION_DIST_INPUTS][some]
    picks = Columns.ACTIONS in explored
    if not (picks or torch.isfinite(logits).all()):
        return  # nobody can draw from NaN; minus infinity at illegal actions

    def many(part: Any) -> Any:
        return tree.map_structure(lambda leaf: leaf.repeat_interleave(CHOSEN_TIMES, dim=0), part)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        out = module.forward_exploration(copy.deepcopy(many(batch))) if picks else {}
        logits = out.get(Columns.ACTION_DIST_INPUTS, many(logits))
        distribution = distribution_class(module, "exploration").from_logits(logits)
        actions = torch.as_tensor(out[Columns.ACTIONS] if picks else distribution.sample())
    chosen = into.chosen = ChosenActions(
        module=into.module,
        actions=_rows_of_actions(actions),
        expected_log_prob=array(distribution.logp(actions)),
        probability=array(probability(distribution)),
    )
    if Columns.ACTION_LOGP in out:
        chosen.log_prob = array(out[Columns.ACTION_LOGP])


def unregistered_tensors(module: Any, registered: set[int], columns: dict[str, Any]) -> list[list[int]]:
    """Shapes of what the outputs are learned from and no module holds: a layer in a plain list, a tensor with a gradient.

    ``registered``: ``id`` of every parameter that some module of the learner holds.
    """
    rows = np.arange(min(2, len(columns[Columns.ACTIONS])))
    with torch.enable_grad():
        outputs = outputs_of(module, take(columns[Columns.OBS], rows))
    waiting = [each.grad_fn for each in outputs if isinstance(each, torch.Tensor) and each.grad_fn is not None]
    seen: set[Any] = set()
    shapes: dict[int, list[int]] = {}
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None and id(leaf) not in registered:
            shapes[id(leaf)] = list(leaf.shape)
        waiting += [before for before, _ in node.next_functions if before is not None]
    return list(shapes.values())


def random_observations(own: ModuleCapture, module: Any, shown: Any) -> None:
    """The module on observations that the environment has not shown, with one and with many legal actions.

    ``shown``: as in `random_observations_for`.
    """
    observations = random_observations_for(own, module, shown)
    if observations is not None:
        own.forward.random = own.distribution.random = on_drawn(own, module, observations)


def on_drawn(own: ModuleCapture, module: Any, observations: Any) -> RandomObservations:
    """The module's training pass on observations that were drawn."""
    with torch.no_grad():
        given = as_trained(module, observations)
        before = flat(copy.deepcopy(given))
        try:
            out = module.forward_train(given)
        except Exception:
            # What it misses, its own compute_values may have taken away.
            _note_changes(own, flat({Columns.OBS: observations}), flat(given))
            raise
        _note_changes(own, before, flat(given))
        logits = out[Columns.ACTION_DIST_INPUTS]
        distribution = distribution_class(module, "train").from_logits(logits)
        outputs = RandomObservations(
            module=own.module,
            observations=flat(observations),
            logits=array(logits),
            mask=array(observations[own.facts.mask_key]),
            probability=array(probability(distribution)),
        )
        if has_values(module):
            outputs.values = array(module.compute_values(given, embeddings=out.get(Columns.EMBEDDINGS)))
    return outputs


def scaled_weights(own: ModuleCapture, module: Any, factors: Mapping[str, float], shown: Any) -> ScaledWeights:
    """The module with its weights multiplied, on random observations, in each of its phases."""
    observations = random_observations_for(own, module, shown)
    mask = array(observations[own.facts.mask_key]).astype(bool)
    actions = random_actions(mask, choices(module.action_space))
    batch = {Columns.OBS: observations}
    into = own.forward.scaled = own.distribution.scaled = ScaledWeights(module=own.module, mask=mask, actions=actions)
    with torch.no_grad(), scaled(module, factors):
        outs, given = _phases(
            lambda phase, **numbers: add_entry(phase, numbers, into),
            module,
            batch,
            as_trained(module, observations),
            torch.as_tensor(actions[:, 0] if isinstance(module.action_space, spaces.Discrete) else actions),
        )
        _add_played(own, into, module, batch, outs)
        if has_values(module):
            values = module.compute_values(given, embeddings=outs["train"].get(Columns.EMBEDDINGS))
            into.values = array(values)
    return into


def random_observations_for(own: ModuleCapture, module: Any, shown: Any) -> Any:
    """Observations as a module gets them, masks with one and with many legal actions; None where it has no mask.

    Args:
        shown: what the environment showed the module, arrays ``[N, …]``, nested: nothing else is drawn, see
            `parity.capture.draws`. None where nothing is known: any of the module's space then. Of a module that knows
            what is legal from the rest of the observation (`_knows_masks`), whole observations with their own masks.
    """
    if _knows_masks(own, module, shown):
        device = device_of(module)
        return tree.map_structure(lambda leaf: torch.as_tensor(leaf).to(device), whole_rows(shown, SPACE_SAMPLES))
    if shown is None:
        observations = sample_observations(module.observation_space, SPACE_SAMPLES)
    else:
        observations = tree.map_structure(torch.as_tensor, draw_within(shown, SPACE_SAMPLES))
    mask_key = own.facts.mask_key
    if not isinstance(observations, dict) or mask_key not in observations:
        return None
    sizes = own.facts.choices or [observations[mask_key].shape[-1]]
    mask = torch.as_tensor(random_masks(sizes, SPACE_SAMPLES))
    device = device_of(module)
    copies = _copies_of_the_mask(shown, mask_key)
    return tree.map_structure_with_path(
        lambda path, leaf: (mask.reshape(leaf.shape).to(leaf) if path in copies else leaf).to(device), observations
    )


def _knows_masks(own: ModuleCapture, module: Any, shown: Any) -> bool:
    """Whether a module masks what was shown without its mask: by a copy in the last columns of a vector, by what it computes.

    With another mask than goes with the rest of an observation it is not at fault.
    """
    key = own.facts.mask_key
    if not isinstance(shown, dict) or key not in shown:
        return False
    device = device_of(module)
    given = tree.map_structure(lambda leaf: torch.as_tensor(leaf[:MASKED_ROWS]).to(device), shown)
    mask = given[key]
    illegal = mask.reshape(len(mask), -1) == 0
    if not illegal.any():
        return False
    sizes = own.facts.choices or [mask.shape[-1]]
    other = torch.as_tensor(random_masks(sizes, len(mask))).reshape(mask.shape).to(mask)
    with torch.no_grad():
        logits, _ = outputs_of(module, given)
        again, _ = outputs_of(module, {**given, key: other})
        played = probability(distribution_class(module, "train").from_logits(logits))
    knows = torch.equal(logits, again) and played.shape == illegal.shape and float(played[illegal].max()) == 0
    told = f"{type(module).__name__} masks without its mask: it is compared on observations of the rollout alone"
    if knows and told not in own.capture.context.notes:
        own.capture.context.notes.append(told)
    return knows


def unseen_observations_for(own: ModuleCapture, module: Any, shown: Any) -> Any:
    """The same with other values where all that was shown was the same; None where nothing was, or others would be legal."""
    if _knows_masks(own, module, shown):
        return None
    observations = random_observations_for(own, module, shown)
    if shown is None or observations is None:
        return None
    possible = tree.map_structure(array, sample_observations(module.observation_space, SPACE_SAMPLES))
    varied = vary_constants(shown, tree.map_structure(array, observations), possible)
    if varied is None:
        return None
    return tree.map_structure(
        lambda leaf, like: torch.as_tensor(leaf).to(like),
        {**varied, own.facts.mask_key: observations[own.facts.mask_key]},
        observations,
    )


def _copies_of_the_mask(shown: Any, mask_key: str) -> set[tuple[Any, ...]]:
    """Paths of the mask and of entries that repeat it, as wrapped environments do: they keep to one mask."""
    own: tuple[Any, ...] = (mask_key,)
    if shown is None:
        return {own}
    mask = shown[mask_key].reshape(len(shown[mask_key]), -1)
    varies = bool((mask != mask[0]).any())
    return {own} | {
        path
        for path, leaf in tree.flatten_with_path(shown)
        if varies and leaf.size == mask.size and np.array_equal(leaf.reshape(mask.shape), mask)
    }


def _note_changes(own: ModuleCapture, before: Arrays, now: Arrays) -> None:
    """Which entries of its batch a forward pass has changed."""
    changed = [name for name in before if name not in now or not np.array_equal(before[name], now[name])]
    own.facts.batch_changed += [name for name in changed if name not in own.facts.batch_changed]


def sensitivity(own: ModuleCapture, module: Any, columns: dict[str, Any]) -> None:
    """How far the outputs move when one parameter is disturbed."""
    rows = own.decisions(len(columns[Columns.ACTIONS]))
    rows = rows[np.linspace(0, len(rows) - 1, min(SENSITIVITY_ROWS, len(rows))).astype(np.int64)]
    observations, actions = take(columns[Columns.OBS], rows), take(columns[Columns.ACTIONS], rows)

    def log_probabilities_and_values() -> tuple[torch.Tensor, torch.Tensor | None]:
        logits, values = outputs_of(module, observations)
        return distribution_class(module, "train").from_logits(logits).logp(actions), values

    own.fill_sensitivity(output_sensitivity(module, log_probabilities_and_values))
