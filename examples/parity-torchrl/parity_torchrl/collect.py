"""The numbers that parity's ladder compares: one short rollout by the collector, its advantages, one short update.

`parity.results.capture` says what each of them is; ``parity.capture.sb3.sb3_reference`` has SB3's side.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv
from tensordict import TensorDict

from parity import PPOParams, Task
from parity.capture.module_capture import ModuleCapture, loss_terms
from parity.capture.moves import Move, fill_rows
from parity.capture.random_masks import random_masks
from parity.capture.sb3 import sb3_reference
from parity.capture.sensitivity import output_sensitivity
from parity.frameworks import hyperparameters
from parity.frameworks.base import Framework
from parity.frameworks.network import sample_observations
from parity.frameworks.sb3 import build_model
from parity.ladder.correspondence import correspond
from parity.results.capture import (
    Arrays,
    Capture,
    Configuration,
    Context,
    Decisions,
    ModuleFacts,
    Resets,
    Stress,
)
from parity.task.masks import MASK_KEY, MaskedEnv, choices
from parity_torchrl.env import MASK, by_entry, entries
from parity_torchrl.hyperparameters import NAMES, of_torchrl, untranslated
from parity_torchrl.policy import ACTION, LOG_PROB, VALUE
from parity_torchrl.recording import Recording
from parity_torchrl.training import Training

# The only module and the only agent.
M, AGENT = "policy", "agent"
ROWS = 256
ROW = "row"
SPACE_SAMPLES = 32
SENSITIVITY_ROWS = 64
PHASES = ("exploration", "inference", "train")
NOT_APPLICABLE = {
    "lockstep": "TorchRL's collector draws actions from torch's own generator; this adapter gives it no stream of randomness"
}


def collect(framework: Framework, task: Task, device: str, lockstep: int | None = None, full: bool = False) -> Capture:
    """Everything of one task, with SB3's weights in the policy; nothing is judged."""
    env = DummyVecEnv([lambda: MaskedEnv(task.env(), task.mask)])
    model = build_model(task, env, 0, "cpu")
    recording = Recording(AGENT)
    short = dataclasses.replace(task, ppo=_short(task.ppo))
    torch.manual_seed(0)
    training = Training(short, 0, device, watch=recording.attach)
    try:
        capture = Capture(context=_context(task, training, model))
        own = ModuleCapture(capture, M)
        capture.contract.initial = _parameters(training)
        policy = _same_weights(own, task, training, model.policy)
        capture.contract.weights = _parameters(training)
        own.fill_weights(capture.contract.weights)
        _on_random_observations(own, training, policy)
        after = _one_iteration(own, recording, training, short.ppo)
        settings = sb3_reference.settings(task.ppo)
        own.facts.settings = dataclasses.asdict(settings)
        sb3_reference.add_reference(own, policy, after, settings, training.optimizer.defaults["eps"])
    finally:
        training.close()
        env.close()
    return capture


def _one_iteration(own: ModuleCapture, recording: Recording, training: Training, short: PPOParams) -> Any:
    """One rollout and update by ``PPOTrainer.train``, looked at between the two; returns what followed each chunk."""
    followed: list[Any] = []

    def look(batch: Any) -> Any:
        numbered = torch.arange(batch.numel(), device=batch.device).reshape(batch.shape)
        rows = batch.set(ROW, numbered).reshape(-1)
        own.fill_batch(*_given_to_the_loss(rows))
        followed.append(_recorded(own, recording, batch.shape[-1], training.policy.module.observation_space))
        _behaviour(own, training, rows)
        _far_from_one(own, training, rows)
        return batch

    # After GAE, which is registered there too.
    training.trainer.register_op("batch_process", look)
    training.trainer.total_frames = 1
    with _watched(own, training, short):
        training.trainer.train()
    return followed[0]


def _short(ppo: PPOParams) -> PPOParams:
    """A rollout of some hundred rows, and at most a dozen minibatches."""
    n_envs, epochs = min(ppo.n_envs, 4), min(ppo.n_epochs, 3)
    n_steps = ROWS // n_envs
    batch_size = max(min(ppo.batch_size, n_envs * n_steps), math.ceil(n_envs * n_steps * epochs / 12))
    if n_envs * n_steps % batch_size == 1:
        batch_size += 1
    return dataclasses.replace(ppo, n_envs=n_envs, n_steps=n_steps, batch_size=batch_size, n_epochs=epochs)


def _context(task: Task, training: Training, model: Any) -> Context:
    module = training.policy.module
    whole = Training(task, 0, "cpu")
    try:
        effective = of_torchrl(whole)
    finally:
        whole.close()
    return Context(
        framework="torchrl",
        learning_module=M,
        learning_agent=AGENT,
        agents=[AGENT],
        plays_task_env=True,
        not_applicable=NOT_APPLICABLE,
        phases={phase: f"the actor ({phase})" for phase in PHASES},
        declared=dict(task.declared),
        configuration=Configuration(
            port=effective,
            task=dataclasses.asdict(task.ppo),
            sb3=hyperparameters.of_sb3(model),
            names=NAMES,
            untranslated=[dataclasses.asdict(each) for each in untranslated(task.ppo)],
        ),
        modules={
            M: ModuleFacts(
                class_name=type(module.network).__name__,
                parameters={name: list(p.shape) for name, p in module.named_parameters()},
                frozen=[name for name, p in module.named_parameters() if not p.requires_grad],
                choices=choices(training.envs[0].action_space),
            )
        },
    )


def _same_weights(own: ModuleCapture, task: Task, training: Training, sb3: Any) -> Any:
    """Copies SB3's weights in where parameters correspond; SB3's policy, or one around the task's network."""
    module = training.policy.module
    ours, theirs = ({n: tuple(p.shape) for n, p in part.named_parameters()} for part in (sb3, module))
    pairing = correspond(ours, theirs, task.parameter_map)
    own.capture.context.correspondence = pairing
    own.facts.reference = "sb3" if pairing.pairs else "module"
    if not pairing.pairs:
        spaces_of_module = module.observation_space, training.envs[0].action_space
        return sb3_reference.policy_around(module.network.cpu(), spaces_of_module, task.ppo)
    weights, parameters = dict(sb3.named_parameters()), dict(module.named_parameters())
    with torch.no_grad():
        for name, other in pairing.pairs.items():
            parameters[other].copy_(weights[name])
    return sb3


def _on_random_observations(own: ModuleCapture, training: Training, policy: Any) -> None:
    """On observations that the environment may never show, with one and with many legal actions."""
    module, env = training.policy.module, training.envs[0]
    observations = sample_observations(module.observation_space, SPACE_SAMPLES)
    mask = random_masks(choices(env.action_space), SPACE_SAMPLES)
    seen = by_entry(observations, module.observation_space)
    batch = TensorDict({**seen, MASK: torch.as_tensor(mask)}, batch_size=[SPACE_SAMPLES]).to(_device(training))
    with torch.no_grad():
        probability = training.policy.actor.get_dist(batch).probs
        values = training.policy.critic(batch)[VALUE]
    own.fill_random(
        observations=_observed(observations),
        mask=mask,
        logits=_array(_logits(training, batch)),
        probability=_array(probability),
        values=_array(values)[:, 0],
    )
    if own.facts.reference == "sb3":
        shown = sb3_reference.for_policy(_observed(observations), policy.observation_space)
        sb3_reference.add_random_reference(own.forward.random, policy, shown)


def _given_to_the_loss(rows: Any) -> tuple[Arrays, Arrays]:
    """Observations and other columns of the batch."""
    seen = {name.removeprefix("seen").removeprefix("_"): rows[name] for name in rows.keys() if name.startswith("seen")}  # noqa: SIM118
    observations = {name or sb3_reference.OBSERVATIONS: _array(column) for name, column in seen.items()}
    columns = {
        "actions": rows[ACTION],
        "action_logp": rows[LOG_PROB],
        "rewards": rows["next", "reward"][:, 0],
        "terminateds": rows["next", "terminated"][:, 0],
        "truncateds": rows["next", "truncated"][:, 0],
        "advantages": rows["advantage"][:, 0],
        "value_targets": rows["value_target"][:, 0],
    }
    return observations | {MASK_KEY: _array(rows[MASK])}, {n: _array(column).copy() for n, column in columns.items()}


def _recorded(own: ModuleCapture, recording: Recording, steps: int, space: spaces.Space) -> Any:
    """The environment's side of the rows, in the batch's order; returns what followed each chunk."""
    chunks: list[list[Move]] = []
    for moves in recording.moves:
        for i, move in enumerate(moves[:steps]):
            if i == 0 or chunks[-1][-1].terminated or chunks[-1][-1].truncated:
                chunks.append([])
            chunks[-1].append(move)
    context, rows = own.capture.context, own.rows
    fill_rows(context, rows, chunks)
    rows.observations = _observed(_stack([move.observation for chunk in chunks for move in chunk], space))
    own.capture.contract.resets = Resets(seeds=recording.seeds)
    context.sub_environments = len(recording.seeds)
    context.decisions = {AGENT: Decisions(played=len(rows.valid), learned_from=own.forward.batch_rows)}
    return _observed(_stack([chunk[-1].after for chunk in chunks], space))


def _behaviour(own: ModuleCapture, training: Training, rows: Any) -> None:
    """Actor and critic on the rows. TorchRL has one actor for sampling, playing and training: its phases are one."""
    actor, critic = training.policy.actor, training.policy.critic
    ends = sb3_reference.last_rows(own.rows)
    with torch.no_grad():
        for phase in PHASES:
            distribution = actor.get_dist(rows)
            own.add_phase(
                phase,
                logits=_array(_logits(training, rows)),
                log_prob=_array(distribution.log_prob(rows[ACTION])),
                entropy=_array(distribution.entropy()),
                probability=_array(distribution.probs),
            )
        own.forward.values = _array(critic(rows.clone(False))[VALUE])[:, 0]
        own.fill_values(own.forward.values)
        own.returns.bootstrap = _array(critic(rows["next"][ends])[VALUE])[:, 0]
        own.forward.logits_first, own.forward.logits_again = (_array(_logits(training, rows)) for _ in range(2))
    some = rows[np.linspace(0, len(rows) - 1, min(SENSITIVITY_ROWS, len(rows))).astype(np.int64)]

    def outputs() -> tuple[torch.Tensor, torch.Tensor]:
        return actor.get_dist(some.clone(False)).log_prob(some[ACTION]), critic(some.clone(False))[VALUE]

    own.fill_sensitivity(output_sensitivity(training.policy.module, outputs))


def _far_from_one(own: ModuleCapture, training: Training, rows: Any) -> None:
    """The loss where ratios spread from 1/2 to 2; no parameter is changed."""
    shifts = torch.linspace(-math.log(2), math.log(2), 7, device=rows.device).repeat(len(rows))[: len(rows)]
    moved = rows.clone(False).set(LOG_PROB, rows[LOG_PROB] + shifts)
    with torch.no_grad():
        losses = training.loss(moved)
        own.loss.stress = Stress(
            module=M,
            log_prob=_array(training.policy.actor.get_dist(moved).log_prob(moved[ACTION])),
            old_log_prob=_array(moved[LOG_PROB]),
            advantages=_array(moved["advantage"])[:, 0],
            loss=loss_terms(M, {"policy": [float(losses["loss_objective"])]}),
        )


@contextlib.contextmanager
def _watched(own: ModuleCapture, training: Training, short: PPOParams) -> Iterator[None]:
    """Watches the update: rows, losses, gradients and parameters on their way through."""
    module, loss, optimizer = training.policy.module, training.loss, training.optimizer
    rows: list[np.ndarray] = []
    losses: dict[str, list[float]] = defaultdict(list)
    coefficient = 1.0 if loss.critic_coeff is None else float(loss.critic_coeff)
    parameters = dict(module.named_parameters())
    raw: Arrays = {}
    forward = loss.forward

    def watched(minibatch: Any) -> Any:
        out = forward(minibatch)
        if not torch.is_grad_enabled():  # not the update: see `_far_from_one`
            return out
        rows.append(_array(minibatch[ROW]).astype(np.int64))
        losses["total"].append(sum(float(value.detach()) for name, value in out.items() if name.startswith("loss")))
        losses["policy"].append(float(out["loss_objective"].detach()))
        losses["value"].append(
            float(out["loss_critic"].detach()) / coefficient if "loss_critic" in out else float("nan")
        )
        losses["entropy"].append(float(out["entropy"]))
        return out

    def clipped(*_: Any) -> None:
        if len(rows) == 1:
            own.fill_first_gradient(
                raw=raw, clipped={name: _array(p.grad).copy() for name, p in parameters.items() if p.grad is not None}
            )

    def stepped(*_: Any) -> None:
        if len(rows) == 1:
            own.step.after = _parameters(training)

    def accumulated(name: str) -> Any:
        def note(parameter: torch.Tensor) -> None:
            if len(rows) == 1:
                raw[name] = _array(parameter.grad).copy()

        return note

    loss.forward = watched
    hooks = [optimizer.register_step_pre_hook(clipped), optimizer.register_step_post_hook(stepped)]
    hooks += [p.register_post_accumulate_grad_hook(accumulated(name)) for name, p in parameters.items()]
    try:
        yield
    finally:
        del loss.forward
        for hook in hooks:
            hook.remove()
    own.fill_update(rows, losses, _parameters(training), short.n_epochs, short.batch_size)


def _logits(training: Training, batch: Any) -> torch.Tensor:
    """Before masking, float32 ``[B, n_logits]``."""
    module = training.policy.module
    with torch.no_grad():
        return module(*(batch[name] for name in entries(module.observation_space)))[0]


def _stack(observations: list[Any], space: spaces.Space) -> Any:
    if isinstance(space, spaces.Dict):
        return {name: np.stack([each[name] for each in observations]) for name in space.spaces}
    return np.stack(observations)


def _observed(observations: Any) -> Arrays:
    """By entry; an observation that is no Dict stands under a name of its own, as the ladder has it."""
    parts = observations if isinstance(observations, dict) else {sb3_reference.OBSERVATIONS: observations}
    return {name: _array(part) for name, part in parts.items()}


def _parameters(training: Training) -> Arrays:
    return {name: _array(parameter).copy() for name, parameter in training.policy.module.named_parameters()}


def _device(training: Training) -> torch.device:
    return next(training.policy.module.parameters()).device


def _array(value: Any) -> np.ndarray:
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
