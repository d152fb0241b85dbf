"""Puts the learner's loss and clipping to use: ratios far from 1, a gradient far above the bound.

A short update hardly leaves the policy that sampled: whether ratios are clipped, and which way, shows at none of its
minibatches. Here the log-probs at sampling are moved, so that ratios spread from 1/2 to 2, and the gradient of that loss is
stretched; both after the update and on its weights.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch

from parity.capture.module_capture import ModuleCapture, loss_terms
from parity.capture.rllib.hooks import replaced
from parity.capture.rllib.sequences import Sequences
from parity.capture.rllib.update import ROW, logged_losses, row_numbers
from parity.frameworks.rllib.arrays import array, take
from parity.results.capture import Capture, Stress

# exp of these is from 1/2 to 2; none is 0, where a ratio of 1 says nothing.
SHIFTS = np.array([0.7, -0.05, -0.4, 0.25, 0.05, -0.7, 0.4, -0.25], dtype=np.float32)
# The stretched gradient's norm: beyond every bound in use.
NORM = 1e3


def stress(capture: Capture, learner: Any, batches: dict[str, dict[str, Any]]) -> None:
    """One loss and one clipped gradient of the modules' valid rows; no parameter is changed."""
    owns = [own for own in (ModuleCapture(capture, module_id) for module_id in batches) if own.rows.has("valid")]
    if not owns:
        return
    columns = {own.module: _moved(own, batches[own.module]) for own in owns}
    batch = MultiAgentBatch(
        {m: SampleBatch(each, _zero_padded=Columns.SEQ_LENS in each) for m, each in columns.items()},
        env_steps=max(len(each[Columns.ACTIONS]) for each in columns.values()),
    )
    out = learner.module.forward_train(batch.policy_batches)
    with contextlib.ExitStack() as stack:
        values = {m: stack.enter_context(_values_kept(learner.module[m].unwrapped())) for m in columns}
        losses = learner.compute_losses(fwd_out=out, batch=batch.policy_batches)
    for own in owns:
        module_id, total = own.module, losses.get(own.module)
        place = _place(own, columns[module_id])
        into = own.loss.stress = _given_to_the_loss(learner, module_id, columns[module_id], out[module_id], place)
        into.loss = loss_terms(module_id, {k: [v] for k, v in logged_losses(learner, module_id, total).items()})
        if total is not None and total.requires_grad:
            _derivatives(into, learner, module_id, columns[module_id], out[module_id], total, values[module_id], place)
    if all(loss is not None and bool(torch.isfinite(loss)) for loss in (losses.get(own.module) for own in owns)):
        _clip(owns, learner, losses)


def _place(own: ModuleCapture, columns: dict[str, Any]) -> Any:
    """Where in a column of the loss the rows are that stand for decisions."""
    if Columns.SEQ_LENS not in columns:
        return slice(None)
    sequences, valid = Sequences(columns), np.flatnonzero(own.rows.valid)
    return sequences.sequence[valid], sequences.step[valid]


def _moved(own: ModuleCapture, columns: dict[str, Any]) -> dict[str, Any]:
    valid = np.flatnonzero(own.rows.valid)
    moved: dict[str, Any] = {
        name: column for name, column in columns.items() if isinstance(column, dict | torch.Tensor)
    }
    if Columns.SEQ_LENS in columns:
        # Sequences stay whole: the mask of the loss leaves out their padding and what was appended.
        moved = copy.deepcopy(moved) | {ROW: row_numbers(columns)}
    else:
        moved = take(moved, valid) | {ROW: torch.as_tensor(valid, device=columns[Columns.ACTION_LOGP].device)}
    logp = moved[Columns.ACTION_LOGP]
    logp[_place(own, columns)] += torch.as_tensor(np.resize(SHIFTS, len(valid)), device=logp.device, dtype=logp.dtype)
    return moved


def _given_to_the_loss(learner: Any, module_id: str, columns: dict[str, Any], out: Any, place: Any) -> Stress:
    module = learner.module[module_id].unwrapped()
    with torch.no_grad():
        policy = module.get_train_action_dist_cls().from_logits(out[Columns.ACTION_DIST_INPUTS])
        return Stress(
            module=module_id,
            log_prob=array(policy.logp(columns[Columns.ACTIONS])[place]),
            old_log_prob=array(columns[Columns.ACTION_LOGP][place]),
            advantages=array(columns[Postprocessing.ADVANTAGES][place]),
            targets=array(columns[Postprocessing.VALUE_TARGETS][place]),
            values=array(module.compute_values(columns, embeddings=out.get(Columns.EMBEDDINGS))[place]),
            entropy=array(policy.entropy()[place]),
        )


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
    into: Stress,
    learner: Any,
    module_id: str,
    columns: dict[str, Any],
    out: Any,
    total: Any,
    values: list[Any],
    place: Any,
) -> None:
    """Derivatives of the loss, and of PPO's terms, by the module's outputs: a loss that logs nothing shows itself here."""
    logits, actions = out[Columns.ACTION_DIST_INPUTS], columns[Columns.ACTIONS][place]
    (by_logits,) = torch.autograd.grad(total, logits, retain_graph=True, allow_unused=True)
    if by_logits is not None:
        leaf = logits.detach()[place].requires_grad_()
        policy = learner.module[module_id].unwrapped().get_train_action_dist_cls().from_logits(leaf)
        ratio = torch.exp(policy.logp(actions) - columns[Columns.ACTION_LOGP][place])
        clip = learner.config.get_config_for_module(module_id).clip_param
        as_they_are = columns[Postprocessing.ADVANTAGES][place]
        normalised = (as_they_are - as_they_are.mean()) / (as_they_are.std() + 1e-8)
        terms = {"entropy": policy.entropy().mean()}
        for name, a in (("policy", as_they_are), ("normalised", normalised)):
            terms[name] = -torch.min(a * ratio, a * ratio.clamp(1 - clip, 1 + clip)).mean()
        into.by_logits["total"] = array(by_logits[place])
        for name, term in terms.items():
            into.by_logits[name] = array(torch.autograd.grad(term, leaf, retain_graph=True)[0])
    value = next((each for each in values if isinstance(each, torch.Tensor) and each.requires_grad), None)
    by_values = None if value is None else torch.autograd.grad(total, value, retain_graph=True, allow_unused=True)[0]
    if value is not None and by_values is not None and value.shape == columns[Postprocessing.VALUE_TARGETS].shape:
        error = (value.detach() - columns[Postprocessing.VALUE_TARGETS])[place]
        into.by_values = {"total": array(by_values[place]), "value": array(2 * error / len(error))}


def _clip(owns: list[ModuleCapture], learner: Any, losses: dict[str, Any]) -> None:
    gradients = {key: g.detach().clone() for key, g in learner.compute_gradients(losses).items() if g is not None}
    named = {
        own.module: {n: p for n, p in learner.module[own.module].unwrapped().named_parameters() if p in gradients}
        for own in owns
    }
    for own in owns:
        parameters = named[own.module]
        norm = torch.linalg.vector_norm(
            torch.stack([gradients[p].norm() for p in parameters.values()] or [torch.ones(())])
        )
        if not torch.isfinite(norm) or norm == 0:
            return
        for parameter in parameters.values():
            gradients[parameter] *= NORM / norm
        own.gradient.stretched = {n: array(gradients[p]).copy() for n, p in parameters.items()}
    # What is not returned, the optimiser takes as it was.
    clipped = {**gradients, **learner.postprocess_gradients(dict(gradients))}
    for own in owns:
        own.gradient.stretched_clipped = {
            n: array(clipped[p]).copy() for n, p in named[own.module].items() if clipped.get(p) is not None
        }
