"""The numbers that parity's ladder compares: one short rollout by the collector, its advantages, one short update.

Names of arrays and facts are those of ``docs/frameworks.md``; ``parity.capture.sb3.module_reference`` has SB3's side.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv
from tensordict import TensorDict

from parity import PPOParams, Task
from parity.capture.random_masks import drawn_masks
from parity.capture.sb3 import module_reference as beside
from parity.capture.sb3 import sb3_reference as counterpart
from parity.capture.sensitivity import reach
from parity.frameworks import hyperparameters
from parity.frameworks.base import Framework
from parity.frameworks.network import sample_observations
from parity.frameworks.sb3 import build_model
from parity.frameworks.sb3.policy import SharedNetworkPolicy
from parity.ladder.correspondence import correspond
from parity.results.capture import Numbers
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
REACH_ROWS = 64
NOT_APPLICABLE = {
    "lockstep": "TorchRL's collector draws actions from torch's own generator; this adapter gives it no stream of randomness"
}


def collect(framework: Framework, task: Task, device: str, lockstep: int | None = None, full: bool = False) -> Numbers:
    """Everything of one task, with SB3's weights in the policy; nothing is judged."""
    numbers = Numbers()
    env = DummyVecEnv([lambda: MaskedEnv(task.env(), task.mask)])
    model = build_model(task, env, 0, "cpu")
    recording = Recording()
    short = dataclasses.replace(task, ppo=_short(task.ppo))
    torch.manual_seed(0)
    training = Training(short, 0, device, watch=recording.attach)
    try:
        _facts(numbers, task, short, training, model)
        policy = _same_weights(numbers, task, training, model.policy)
        numbers.put(f"{M}/weights", _parameters(training))
        _space(numbers, training, policy)
        after = _one_iteration(numbers, recording, training)
        settings = beside.settings(task.ppo)
        numbers.facts["settings"] = {M: dataclasses.asdict(settings)}
        beside.beside(numbers, M, policy, after, settings, training.optimizer.defaults["eps"])
    finally:
        training.close()
        env.close()
    return numbers


def _one_iteration(numbers: Numbers, recording: Recording, training: Training) -> Any:
    """One rollout and update by ``PPOTrainer.train``, looked at between the two; returns what followed each chunk."""
    followed: list[Any] = []

    def look(batch: Any) -> Any:
        numbered = torch.arange(batch.numel(), device=batch.device).reshape(batch.shape)
        rows = batch.set(ROW, numbered).reshape(-1)
        _stored(numbers, rows)
        followed.append(_recorded(numbers, recording, batch.shape[-1], training.policy.module.observation_space))
        _behaviour(numbers, training, rows)
        _far_from_one(numbers, training, rows)
        return batch

    # After GAE, which is registered there too.
    training.trainer.register_op("batch_process", look)
    training.trainer.total_frames = 1
    with _watched(numbers, training):
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


def _facts(numbers: Numbers, task: Task, short: Task, training: Training, model: Any) -> None:
    module = training.policy.module
    whole = Training(task, 0, "cpu")
    try:
        effective = of_torchrl(whole)
    finally:
        whole.close()
    numbers.facts |= {
        "framework": "torchrl",
        "learning_module": M,
        "learning_agent": AGENT,
        "agents": [AGENT],
        "raised": {},
        "plays_task_env": True,
        "not_applicable": NOT_APPLICABLE,
        "phases": {phase: f"the actor ({phase})" for phase in ("exploration", "inference", "train")},
        "declared": dict(task.declared),
        "untranslated": [dataclasses.asdict(each) for each in untranslated(task.ppo)],
        "config": {
            "port": effective,
            "task": dataclasses.asdict(task.ppo),
            "sb3": hyperparameters.of_sb3(model),
            "names": NAMES,
        },
        "modules": {
            M: {
                "class": type(module.network).__name__,
                "trained": True,
                "parameters": {name: list(p.shape) for name, p in module.named_parameters()},
                "frozen": [name for name, p in module.named_parameters() if not p.requires_grad],
                "choices": choices(training.envs[0].action_space),
                "mask_in_space": True,
            }
        },
        "update": {"epochs": short.ppo.n_epochs, "minibatch_size": short.ppo.batch_size},
    }


def _same_weights(numbers: Numbers, task: Task, training: Training, sb3: Any) -> Any:
    """Copies SB3's weights in where parameters correspond; SB3's policy, or one around the task's network."""
    module = training.policy.module
    numbers.put(f"{M}/initial", _parameters(training))
    ours, theirs = ({n: tuple(p.shape) for n, p in part.named_parameters()} for part in (sb3, module))
    found = correspond(ours, theirs, task.parameter_map)
    numbers.facts["correspondence"] = dataclasses.asdict(found)
    numbers.facts["sb3_policy"] = {M: "sb3" if found.pairs else "module"}
    if not found.pairs:
        network = module.network.cpu()
        return SharedNetworkPolicy(
            module.observation_space, training.envs[0].action_space, lambda _: task.ppo.learning_rate,
            network=lambda *_: network, network_seed=None, adam_eps=task.ppo.adam_eps,
        )  # fmt: skip
    weights, parameters = dict(sb3.named_parameters()), dict(module.named_parameters())
    with torch.no_grad():
        for name, other in found.pairs.items():
            parameters[other].copy_(weights[name])
    return sb3


def _space(numbers: Numbers, training: Training, policy: Any) -> None:
    """On observations that the environment may never show, with one and with many legal actions."""
    module, env = training.policy.module, training.envs[0]
    drawn = sample_observations(module.observation_space, SPACE_SAMPLES)
    mask = drawn_masks(choices(env.action_space), SPACE_SAMPLES)
    seen = by_entry(drawn, module.observation_space)
    batch = TensorDict({**seen, MASK: torch.as_tensor(mask)}, batch_size=[SPACE_SAMPLES]).to(_device(training))
    with torch.no_grad():
        distribution = training.policy.actor.get_dist(batch)
        values = training.policy.critic(batch)[VALUE]
    numbers.put(f"{M}/space/obs", _observed(drawn))
    found = {"mask": mask, "logits": _array(_logits(training, batch)), "values": _array(values)[:, 0]}
    numbers.put(f"{M}/space", found | {"probability": _array(distribution.probs)})
    if numbers.facts["sb3_policy"][M] == "sb3":
        counterpart.forward_space(numbers, M, policy, beside.for_policy(_observed(drawn), policy.observation_space))


def _stored(numbers: Numbers, rows: Any) -> None:
    """What the loss will see."""
    seen = {name.removeprefix("seen").removeprefix("_"): rows[name] for name in rows.keys() if name.startswith("seen")}  # noqa: SIM118
    obs = {name or beside.OBSERVATIONS: _array(column) for name, column in seen.items()}
    numbers.put(f"{M}/batch/obs", obs | {MASK_KEY: _array(rows[MASK])})
    columns = {
        "actions": rows[ACTION],
        "action_logp": rows[LOG_PROB],
        "rewards": rows["next", "reward"][:, 0],
        "terminateds": rows["next", "terminated"][:, 0],
        "truncateds": rows["next", "truncated"][:, 0],
        "advantages": rows["advantage"][:, 0],
        "value_targets": rows["value_target"][:, 0],
    }
    numbers.put(f"{M}/batch", {name: _array(column).copy() for name, column in columns.items()})


def _recorded(numbers: Numbers, recording: Recording, steps: int, space: spaces.Space) -> Any:
    """The environment's side of the rows, in the batch's order; returns what followed each chunk."""
    played = [moves[:steps] for moves in recording.moves]
    moves = [(env, move) for env, each in enumerate(played) for move in each]
    last = [
        i + 1 == len(moves) or moves[i + 1][0] != env or move["terminated"] or move["truncated"]
        for i, (env, move) in enumerate(moves)
    ]
    chunk = np.concatenate([[0], np.cumsum(last)[:-1]])
    numbers.put(
        f"{M}/rows",
        {
            "valid": np.ones(len(moves), dtype=bool),
            "chunk": chunk,
            "agent": np.zeros(len(moves), dtype=np.int64),
            "env": np.array([env for env, _ in moves]),
            "episode": np.array([move["episode"] for _, move in moves]),
            "step": np.array([move["step"] for _, move in moves]),
        },
    )
    columns = ("action", "mask", "reward", "terminated", "truncated")
    numbers.put(f"{M}/env", {name: np.stack([np.asarray(move[name]) for _, move in moves]) for name in columns})
    numbers.put(f"{M}/env/obs", _observed(_stack([move["observation"] for _, move in moves], space)))
    numbers.facts |= {
        "reset_seeds": recording.seeds,
        "decisions": {AGENT: {"played": sum(map(len, played)), "learned_from": len(numbers[f"{M}/batch/actions"])}},
    }
    return _observed(_stack([move["after"] for (_, move), ends in zip(moves, last, strict=True) if ends], space))


def _behaviour(numbers: Numbers, training: Training, rows: Any) -> None:
    """Actor and critic on the rows. TorchRL has one actor for sampling, playing and training: its phases are one."""
    actor, critic = training.policy.actor, training.policy.critic
    chunk = numbers[f"{M}/rows/chunk"]
    ends = np.flatnonzero(np.append(np.diff(chunk) != 0, True))
    with torch.no_grad():
        for phase in ("exploration", "inference", "train"):
            distribution = actor.get_dist(rows)
            numbers.put(
                f"{M}/phase/{phase}",
                {
                    "logits": _array(_logits(training, rows)),
                    "logp": _array(distribution.log_prob(rows[ACTION])),
                    "entropy": _array(distribution.entropy()),
                    "probability": _array(distribution.probs),
                },
            )
        values = _array(critic(rows.clone(False))[VALUE])[:, 0]
        numbers.put(f"{M}/phase/train", {"values": values})
        numbers.put(M, {"values": values, "bootstrap": _array(critic(rows["next"][ends])[VALUE])[:, 0]})
        numbers.put(f"{M}/twice", {name: _array(_logits(training, rows)) for name in ("first", "second")})
    some = rows[np.linspace(0, len(rows) - 1, min(REACH_ROWS, len(rows))).astype(np.int64)]

    def outputs() -> tuple[torch.Tensor, torch.Tensor]:
        return actor.get_dist(some.clone(False)).log_prob(some[ACTION]), critic(some.clone(False))[VALUE]

    numbers.put(f"{M}/reach", reach(training.policy.module, outputs))


def _far_from_one(numbers: Numbers, training: Training, rows: Any) -> None:
    """The loss where ratios spread from 1/2 to 2; no parameter is changed."""
    shifts = torch.linspace(-math.log(2), math.log(2), 7, device=rows.device).repeat(len(rows))[: len(rows)]
    moved = rows.clone(False).set(LOG_PROB, rows[LOG_PROB] + shifts)
    with torch.no_grad():
        losses = training.loss(moved)
        numbers.put(
            f"{M}/stress",
            {
                "logp": _array(training.policy.actor.get_dist(moved).log_prob(moved[ACTION])),
                "old_logp": _array(moved[LOG_PROB]),
                "advantages": _array(moved["advantage"])[:, 0],
            },
        )
    numbers.put(f"{M}/stress/loss", {"policy": _array(losses["loss_objective"]).reshape(1)})


@contextlib.contextmanager
def _watched(numbers: Numbers, training: Training) -> Iterator[None]:
    """The update: rows, losses, gradients and parameters on their way through; stored at the end."""
    module, loss, optimizer = training.policy.module, training.loss, training.optimizer
    rows: list[np.ndarray] = []
    losses: dict[str, list[float]] = {"total": [], "policy": [], "value": [], "entropy": []}
    coefficient = 1.0 if loss.critic_coeff is None else float(loss.critic_coeff)
    parameters = dict(module.named_parameters())
    raw: dict[str, np.ndarray] = {}
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
            gradients = {name: _array(p.grad).copy() for name, p in parameters.items() if p.grad is not None}
            numbers.put(f"{M}/update/gradient", gradients)

    def stepped(*_: Any) -> None:
        if len(rows) == 1:
            numbers.put(f"{M}/update/first", _parameters(training))

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
    table = np.full((len(rows), max(map(len, rows))), -1, dtype=np.int64)
    for i, each in enumerate(rows):
        table[i, : len(each)] = each
    numbers.put(f"{M}/update", {"rows": table})
    numbers.put(f"{M}/update/raw_gradient", raw)
    numbers.put(f"{M}/update/loss", {name: np.array(values) for name, values in losses.items()})
    numbers.put(f"{M}/update/last", _parameters(training))


def _logits(training: Training, batch: Any) -> torch.Tensor:
    """Before masking, float32 ``[B, n_logits]``."""
    module = training.policy.module
    with torch.no_grad():
        return module(*(batch[name] for name in entries(module.observation_space)))[0]


def _stack(observations: list[Any], space: spaces.Space) -> Any:
    if isinstance(space, spaces.Dict):
        return {name: np.stack([each[name] for each in observations]) for name in space.spaces}
    return np.stack(observations)


def _observed(observations: Any) -> dict[str, np.ndarray]:
    """By entry; an observation that is no Dict stands under a name of its own, as the ladder has it."""
    parts = observations if isinstance(observations, dict) else {beside.OBSERVATIONS: observations}
    return {name: _array(part) for name, part in parts.items()}


def _parameters(training: Training) -> dict[str, np.ndarray]:
    return {name: _array(parameter).copy() for name, parameter in training.policy.module.named_parameters()}


def _device(training: Training) -> torch.device:
    return next(training.policy.module.parameters()).device


def _array(value: Any) -> np.ndarray:
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
