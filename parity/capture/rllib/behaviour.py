"""What a module computes by itself: on the rollout, on observations drawn from its space, and when it is disturbed."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import tree
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI

from parity.capture import sensitivity as disturbed
from parity.capture.random_masks import drawn_actions, drawn_masks
from parity.capture.scaled_weights import grown
from parity.frameworks.network import nested, sample_observations
from parity.frameworks.rllib.arrays import array, flat, probability, take
from parity.results.capture import Numbers
from parity.task.masks import MASK_KEY, choices

SPACE_SAMPLES = 32
# Rows on which single parameters are disturbed: enough to reach every input, few enough for large networks.
REACH_ROWS = 64
# Of a module that picks its actions itself: enough to see a bias of a few percent.
CHOSEN_ROWS = 64
CHOSEN_TIMES = 64


def has_values(module: Any) -> bool:
    """Whether ``compute_values`` can be called; RLlib's loss asks no more than that (ppo_torch_learner.py:96, ray 2.60.0)."""
    return callable(getattr(module, "compute_values", None))


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


def forward(numbers: Numbers, module_id: str, module: Any, columns: dict[str, Any], after: Any) -> None:
    """The module on the rows that stand for decisions, in each of its phases.

    Args:
        columns: the learner's batch of the module, with the observations as its connectors made them.
        after: observations that followed the last row of each chunk, columns of arrays; None if unknown.
    """
    valid = numbers.get(f"{module_id}/rows/valid")
    rows = np.arange(len(columns[Columns.ACTIONS])) if valid is None else np.flatnonzero(valid)
    batch = {Columns.OBS: take(columns[Columns.OBS], rows)}
    actions = take(columns[Columns.ACTIONS], rows)
    with torch.no_grad():
        # Each call gets a batch of its own: one that changes it must not disturb the next.
        trained = as_trained(module, batch[Columns.OBS])
        given = copy.deepcopy(trained)
        prepared = flat(copy.deepcopy(trained))
        first = module.forward_train(given)
        _note_changes(numbers, module_id, prepared, flat(given))
        second = module.forward_train(copy.deepcopy(trained))
        outs, given = _phases(numbers, f"{module_id}/phase", module, batch, trained, actions)
        numbers.facts.setdefault("forward_columns", {})[module_id] = {
            phase: sorted(map(str, out)) for phase, out in outs.items()
        }
        if Columns.ACTIONS in outs["exploration"]:
            numbers.put(f"{module_id}/chosen", _chosen(module, take(batch, np.arange(min(CHOSEN_ROWS, len(rows))))))
        for name, out in (("first", first), ("second", second)):
            numbers.put(f"{module_id}/twice", {name: array(out[Columns.ACTION_DIST_INPUTS])})
        if has_values(module):
            numbers.put(
                module_id,
                {"values": array(module.compute_values({**columns, Columns.OBS: copy.deepcopy(columns[Columns.OBS])}))},
            )
            embeddings = outs["train"].get(Columns.EMBEDDINGS)
            # The batch of the training pass, as RLlib's loss has it.
            shared = module.compute_values(given, embeddings=embeddings)
            numbers.put(f"{module_id}/phase/train", {"values": array(shared)})
            if after is not None:
                followed = tree.map_structure(
                    lambda leaf, like: torch.as_tensor(leaf).to(device=like.device, dtype=like.dtype),
                    nested(after),
                    columns[Columns.OBS],
                )
                numbers.put(module_id, {"bootstrap": array(module.compute_values({Columns.OBS: followed}))})


def _phases(
    numbers: Numbers, folder: str, module: Any, batch: dict[str, Any], trained: dict[str, Any], actions: torch.Tensor
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Stores each phase's distribution below ``folder``. Returns what each phase gave, and the training pass's batch after it.

    ``trained``: the batch as it reaches ``forward_train``; ``batch``: as it reaches the others. Neither is changed.
    """
    phases = {
        "exploration": (module.forward_exploration, module.get_exploration_action_dist_cls),
        "inference": (module.forward_inference, module.get_inference_action_dist_cls),
        "train": (module.forward_train, module.get_train_action_dist_cls),
    }
    outs, given = {}, trained
    for phase, (forward_phase, distribution_class) in phases.items():
        given = copy.deepcopy(trained if phase == "train" else batch)
        out = outs[phase] = forward_phase(given)
        if phase == "inference" and Columns.ACTION_DIST_INPUTS not in out and Columns.ACTIONS in out:
            continue  # it picks its actions itself, as RLlib allows where nothing is learned from them
        logits = out[Columns.ACTION_DIST_INPUTS]
        distribution = distribution_class().from_logits(logits)
        numbers.put(
            f"{folder}/{phase}",
            {
                "logits": array(logits),
                "logp": array(distribution.logp(actions)),
                "entropy": array(distribution.entropy()),
                "probability": array(probability(distribution)),
            },
        )
    return outs, given


def _chosen(module: Any, batch: dict[str, Any]) -> dict[str, np.ndarray]:
    """What a module that picks its actions itself picks, each row `CHOSEN_TIMES` times, beside its distribution.

    ``actions`` int64 ``[S, k]``, ``logp`` (its own word, where it gives one) and ``wanted`` (its distribution's) ``[S]``,
    ``probability`` ``[S, n_logits]``.
    """
    many = tree.map_structure(lambda leaf: leaf.repeat_interleave(CHOSEN_TIMES, dim=0), batch)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        out = module.forward_exploration(copy.deepcopy(many))
    distribution = module.get_exploration_action_dist_cls().from_logits(out[Columns.ACTION_DIST_INPUTS])
    actions = torch.as_tensor(out[Columns.ACTIONS])
    found = {
        "actions": array(actions).reshape(len(actions), -1).astype(np.int64),
        "wanted": array(distribution.logp(actions)),
        "probability": array(probability(distribution)),
    }
    if Columns.ACTION_LOGP in out:
        found["logp"] = array(out[Columns.ACTION_LOGP])
    return found


def strays(module: Any, registered: set[int], columns: dict[str, Any]) -> list[list[int]]:
    """Shapes of what the outputs are learned from and no module holds: a layer in a plain list, a tensor with a gradient.

    ``registered``: ``id`` of every parameter that some module of the learner holds.
    """
    rows = np.arange(min(2, len(columns[Columns.ACTIONS])))
    batch = as_trained(module, take(columns[Columns.OBS], rows))
    with torch.enable_grad():
        out = module.forward_train(batch)
        outputs = [out[Columns.ACTION_DIST_INPUTS]]
        if has_values(module):
            outputs.append(module.compute_values(batch, embeddings=out.get(Columns.EMBEDDINGS)))
    waiting = [each.grad_fn for each in outputs if isinstance(each, torch.Tensor) and each.grad_fn is not None]
    seen: set[Any] = set()
    found: dict[int, list[int]] = {}
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None and id(leaf) not in registered:
            found[id(leaf)] = list(leaf.shape)
        waiting += [before for before, _ in node.next_functions if before is not None]
    return list(found.values())


def space(numbers: Numbers, module_id: str, module: Any) -> None:
    """The module on observations that the environment may never show, with one and with many legal actions."""
    drawn = drawn_for(numbers, module_id, module)
    if drawn is None:
        return
    mask = drawn[MASK_KEY]
    with torch.no_grad():
        given = as_trained(module, drawn)
        before = flat(copy.deepcopy(given))
        try:
            out = module.forward_train(given)
        except Exception:
            # What it misses, its own compute_values may have taken away.
            _note_changes(numbers, module_id, flat({Columns.OBS: drawn}), flat(given))
            raise
        _note_changes(numbers, module_id, before, flat(given))
        logits = out[Columns.ACTION_DIST_INPUTS]
        distribution = module.get_train_action_dist_cls().from_logits(logits)
        numbers.put(f"{module_id}/space", flat({"obs": drawn}))
        numbers.put(
            f"{module_id}/space",
            {"logits": array(logits), "mask": array(mask), "probability": array(probability(distribution))},
        )
        if has_values(module):
            values = module.compute_values(given, embeddings=out.get(Columns.EMBEDDINGS))
            numbers.put(f"{module_id}/space", {"values": array(values)})


def far(numbers: Numbers, module_id: str, module: Any, by: Mapping[str, float]) -> None:
    """The module with its weights multiplied ``by`` something, on the observations of `space`, in each of its phases.

    Stores below ``M/grown`` what `space` and `forward` store of the module as it is.
    """
    drawn = drawn_for(numbers, module_id, module)
    mask = array(drawn[MASK_KEY]).astype(bool)
    actions = drawn_actions(mask, choices(module.action_space))
    batch = {Columns.OBS: drawn}
    with torch.no_grad(), grown(module, by):
        outs, given = _phases(
            numbers,
            f"{module_id}/grown/phase",
            module,
            batch,
            as_trained(module, drawn),
            torch.as_tensor(actions[:, 0] if isinstance(module.action_space, spaces.Discrete) else actions),
        )
        if Columns.ACTIONS in outs["exploration"]:
            numbers.put(f"{module_id}/grown/chosen", _chosen(module, batch))
        numbers.put(f"{module_id}/grown", {"actions": actions})
        if has_values(module):
            values = module.compute_values(given, embeddings=outs["train"].get(Columns.EMBEDDINGS))
            numbers.put(f"{module_id}/grown", {"values": array(values)})


def drawn_for(numbers: Numbers, module_id: str, module: Any) -> Any:
    """Observations drawn from the module's space, masks with one and with many legal actions; None where it has no mask."""
    drawn = sample_observations(module.observation_space, SPACE_SAMPLES)
    if not isinstance(drawn, dict) or MASK_KEY not in drawn:
        return None
    sizes = numbers.facts["modules"][module_id]["choices"] or [drawn[MASK_KEY].shape[-1]]
    drawn[MASK_KEY] = torch.as_tensor(drawn_masks(sizes, SPACE_SAMPLES)).to(drawn[MASK_KEY])
    return _on(module, drawn)


def _note_changes(numbers: Numbers, module_id: str, before: dict[str, np.ndarray], now: dict[str, np.ndarray]) -> None:
    """Which entries of its batch a forward pass has changed."""
    changed = [name for name in before if name not in now or not np.array_equal(before[name], now[name])]
    known = numbers.facts.setdefault("batch_changed", {}).setdefault(module_id, [])
    known += [name for name in changed if name not in known]


def reach(numbers: Numbers, module_id: str, module: Any, columns: dict[str, Any]) -> None:
    """How far the outputs move when one parameter is disturbed: which gradients may be zero, and which may not."""
    valid = numbers.get(f"{module_id}/rows/valid")
    rows = np.arange(len(columns[Columns.ACTIONS])) if valid is None else np.flatnonzero(valid)
    rows = rows[np.linspace(0, len(rows) - 1, min(REACH_ROWS, len(rows))).astype(np.int64)]
    observations, actions = take(columns[Columns.OBS], rows), take(columns[Columns.ACTIONS], rows)

    def log_probabilities_and_values() -> tuple[torch.Tensor, torch.Tensor | None]:
        logits, values = outputs_of(module, observations)
        return module.get_train_action_dist_cls().from_logits(logits).logp(actions), values

    numbers.put(f"{module_id}/reach", disturbed.reach(module, log_probabilities_and_values))


def _on(module: torch.nn.Module, columns: Any) -> Any:
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    return tree.map_structure(lambda leaf: leaf.to(device), columns)
