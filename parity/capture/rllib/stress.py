"""The learner's loss and clipping where they are put to use: ratios far from 1, a gradient far above the bound.

A short update hardly leaves the policy that sampled: whether ratios are clipped, and which way, shows at none of its
minibatches. Here the log-probs at sampling are moved, so that ratios spread from 1/2 to 2, and the gradient of that loss is
stretched. Arrays, for every trained module ``M`` with rows, after the update and on its weights:

    M/stress/{logp, old_logp, advantages, targets, values, entropy}   float32 [V], what the loss was given
    M/stress/loss/{total, policy, value, entropy}                     float64 [1]; NaN where the learner logs none
    M/stress/by_logits/{total, policy, normalised, entropy}           float32 [V, n_logits], derivatives: of the learner's loss,
                                and of the clipped surrogate (with the advantages as they are and normalised) and the mean
                                entropy as the module's own distribution gives them
    M/stress/by_values/{total, value}                                 float32 [V], likewise; value: the mean squared error
    M/stress/gradient/PARAM, M/stress/clipped/PARAM                   before and after ``postprocess_gradients``
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.learner import ENTROPY_KEY, POLICY_LOSS_KEY, VF_LOSS_KEY
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch

from parity.capture.rllib.hooks import replaced
from parity.capture.rllib.update import ROW
from parity.frameworks.rllib.arrays import array, take
from parity.results.capture import Numbers

# exp of these is from 1/2 to 2; none is 0, where a ratio of 1 says nothing.
SHIFTS = np.array([0.7, -0.05, -0.4, 0.25, 0.05, -0.7, 0.4, -0.25], dtype=np.float32)
# The stretched gradient's norm: beyond every bound in use.
NORM = 1e3


def stress(numbers: Numbers, learner: Any, batches: dict[str, dict[str, Any]]) -> None:
    """One loss and one clipped gradient of the modules' valid rows; no parameter is changed."""
    modules = [module_id for module_id in batches if f"{module_id}/rows/valid" in numbers]
    columns = {module_id: _moved(numbers, module_id, batches[module_id]) for module_id in modules}
    batch = MultiAgentBatch(
        {module_id: SampleBatch(each) for module_id, each in columns.items()},
        env_steps=max((len(each[Columns.ACTIONS]) for each in columns.values()), default=0),
    )
    if not modules:
        return
    out = learner.module.forward_train(batch.policy_batches)
    with contextlib.ExitStack() as stack:
        values = {m: stack.enter_context(_values_kept(learner.module[m].unwrapped())) for m in modules}
        losses = learner.compute_losses(fwd_out=out, batch=batch.policy_batches)
    for module_id in modules:
        total = losses.get(module_id)
        _note(numbers, learner, module_id, columns[module_id], out[module_id], total)
        if total is not None and total.requires_grad:
            _derivatives(numbers, learner, module_id, columns[module_id], out[module_id], total, values[module_id])
    if all(loss is not None and bool(torch.isfinite(loss)) for loss in (losses.get(m) for m in modules)):
        _clip(numbers, learner, modules, losses)


def _moved(numbers: Numbers, module_id: str, columns: dict[str, Any]) -> dict[str, Any]:
    rows = np.flatnonzero(numbers[f"{module_id}/rows/valid"])
    taken = {name: take(column, rows) for name, column in columns.items() if isinstance(column, dict | torch.Tensor)}
    logp = taken[Columns.ACTION_LOGP]
    shifts = torch.as_tensor(np.resize(SHIFTS, len(rows)), device=logp.device, dtype=logp.dtype)
    return {**taken, Columns.ACTION_LOGP: logp + shifts, ROW: torch.as_tensor(rows, device=logp.device)}


def _note(numbers: Numbers, learner: Any, module_id: str, columns: dict[str, Any], out: Any, total: Any) -> None:
    module = learner.module[module_id].unwrapped()
    with torch.no_grad():
        policy = module.get_train_action_dist_cls().from_logits(out[Columns.ACTION_DIST_INPUTS])
        values = module.compute_values(columns, embeddings=out.get(Columns.EMBEDDINGS))
        numbers.put(
            f"{module_id}/stress",
            {
                "logp": array(policy.logp(columns[Columns.ACTIONS])),
                "old_logp": array(columns[Columns.ACTION_LOGP]),
                "advantages": array(columns[Postprocessing.ADVANTAGES]),
                "targets": array(columns[Postprocessing.VALUE_TARGETS]),
                "values": array(values),
                "entropy": array(policy.entropy()),
            },
        )
    losses = {"total": float("nan") if total is None else float(total.detach())}
    for name, key in (("policy", POLICY_LOSS_KEY), ("value", VF_LOSS_KEY), ("entropy", ENTROPY_KEY)):
        try:
            losses[name] = float(array(learner.metrics.peek((module_id, key))))
        except KeyError:
            losses[name] = float("nan")
    numbers.put(f"{module_id}/stress/loss", {name: np.array([value]) for name, value in losses.items()})


@contextlib.contextmanager
def _values_kept(module: Any) -> Iterator[list[torch.Tensor]]:
    """What ``compute_values`` returns meanwhile."""
    kept: list[torch.Tensor] = []
    compute_values = getattr(module, "compute_values", None)
    if compute_values is None:
        yield kept
        return

    def watched(*args: Any, **kwargs: Any) -> Any:
        kept.append(compute_values(*args, **kwargs))
        return kept[-1]

    with replaced(module, compute_values=watched):
        yield kept


def _derivatives(
    numbers: Numbers, learner: Any, module_id: str, columns: dict[str, Any], out: Any, total: Any, values: list[Any]
) -> None:
    """Of the loss by what the module gave, beside those of PPO's terms: a loss that logs nothing shows itself here."""
    logits, actions = out[Columns.ACTION_DIST_INPUTS], columns[Columns.ACTIONS]
    (by_logits,) = torch.autograd.grad(total, logits, retain_graph=True, allow_unused=True)
    if by_logits is not None:
        leaf = logits.detach().requires_grad_()
        policy = learner.module[module_id].unwrapped().get_train_action_dist_cls().from_logits(leaf)
        ratio = torch.exp(policy.logp(actions) - columns[Columns.ACTION_LOGP])
        clip = learner.config.get_config_for_module(module_id).clip_param
        as_they_are = columns[Postprocessing.ADVANTAGES]
        normalised = (as_they_are - as_they_are.mean()) / (as_they_are.std() + 1e-8)
        terms = {"entropy": policy.entropy().mean()}
        for name, a in (("policy", as_they_are), ("normalised", normalised)):
            terms[name] = -torch.min(a * ratio, a * ratio.clamp(1 - clip, 1 + clip)).mean()
        found = {"total": by_logits}
        for name, term in terms.items():
            (found[name],) = torch.autograd.grad(term, leaf, retain_graph=True)
        numbers.put(f"{module_id}/stress/by_logits", {name: array(each) for name, each in found.items()})
    value = next((each for each in values if isinstance(each, torch.Tensor) and each.requires_grad), None)
    by_values = None if value is None else torch.autograd.grad(total, value, retain_graph=True, allow_unused=True)[0]
    if value is not None and by_values is not None and value.shape == columns[Postprocessing.VALUE_TARGETS].shape:
        of_error = 2 * (value.detach() - columns[Postprocessing.VALUE_TARGETS]) / len(value)
        numbers.put(f"{module_id}/stress/by_values", {"total": array(by_values), "value": array(of_error)})


def _clip(numbers: Numbers, learner: Any, modules: list[str], losses: dict[str, Any]) -> None:
    gradients = {key: g.detach().clone() for key, g in learner.compute_gradients(losses).items() if g is not None}
    named = {
        module_id: {n: p for n, p in learner.module[module_id].unwrapped().named_parameters() if p in gradients}
        for module_id in modules
    }
    for module_id, parameters in named.items():
        norm = torch.linalg.vector_norm(
            torch.stack([gradients[p].norm() for p in parameters.values()] or [torch.ones(())])
        )
        if not torch.isfinite(norm) or norm == 0:
            return
        for parameter in parameters.values():
            gradients[parameter] *= NORM / norm
        numbers.put(f"{module_id}/stress/gradient", {n: array(gradients[p]).copy() for n, p in parameters.items()})
    # What is not returned, the optimiser takes as it was.
    clipped = {**gradients, **learner.postprocess_gradients(dict(gradients))}
    for module_id, parameters in named.items():
        numbers.put(
            f"{module_id}/stress/clipped",
            {n: array(clipped[p]).copy() for n, p in parameters.items() if clipped.get(p) is not None},
        )
