"""Faults that begin in the middle of a training, each as somebody's code might have it; the environment and module are good.

`train` runs a fault's training and returns what `parity.watch` said of it. Everything runs in one process: a fault begins when
`Fault.begins` becomes true for all that is made of it.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from audit.watched_scripts import Mended, Tiles, tiles_config
from gymnasium import spaces
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.evaluation.postprocessing import Postprocessing
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.policies import MaskableMultiInputActorCriticPolicy
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from torch import nn

import parity
from parity.results.watch import WATCH_FILE, WatchEvent, read_events

# The iteration in which a fault acts first, and the last one of its training.
BEGINS, ENDS = 4, 9


class Fault:
    """Whether it acts now."""

    begins = False


@dataclasses.dataclass(frozen=True)
class Late:
    """A training with a fault.

    Attributes:
        codes: of which one has to be told.
        config: makes its ``PPOConfig``; None for SB3.
        at_begin: called with the ``Algorithm``, or SB3's model, before iteration `BEGINS`.
        every: the same before each later iteration.
        model: makes SB3's model.
        known: named at this iteration at the latest.
    """

    codes: tuple[str, ...]
    config: Callable[[], PPOConfig] | None = None
    at_begin: Callable[[Any], None] = lambda _: None
    every: Callable[[Any], None] = lambda _: None
    model: Callable[[], Any] | None = None
    known: int = BEGINS + 3


def train(late: Late, folder: Path, iterations: int = ENDS) -> list[WatchEvent]:
    Fault.begins = False
    if late.model is not None:
        _train_sb3(late, folder, iterations)
    else:
        assert late.config is not None

        class Begin(RLlibCallback):
            def on_train_result(self, *, algorithm: Any, **_: Any) -> None:
                if algorithm.iteration >= BEGINS - 1:
                    (late.every if Fault.begins else late.at_begin)(algorithm)
                    Fault.begins = True

        config = late.config()
        config.callbacks([*(config.callbacks_class if isinstance(config.callbacks_class, list) else []), Begin])
        algorithm = parity.watch(config, folder=folder).build_algo()
        # Some faults stop their training in the end: what was said by then counts.
        with contextlib.suppress(Exception):
            for _ in range(iterations):
                algorithm.train()
        algorithm.stop()
    Fault.begins = False
    return read_events(folder / WATCH_FILE)


class _BeginSb3(BaseCallback):
    def __init__(self, late: Late) -> None:
        super().__init__()
        self._late, self._updates = late, 0

    def _on_rollout_start(self) -> None:
        if self._updates >= BEGINS - 1:
            (self._late.every if Fault.begins else self._late.at_begin)(self.model)
            Fault.begins = True
        self._updates += 1

    def _on_step(self) -> bool:
        return True


def _train_sb3(late: Late, folder: Path, iterations: int) -> None:
    assert late.model is not None
    model = late.model()
    steps = model.n_steps * model.n_envs * iterations
    with contextlib.suppress(ValueError):
        model.learn(steps, callback=CallbackList([_BeginSb3(late), parity.WatchCallback(folder)]))


# --- modules


class DropsMaskInTraining(Mended):
    def _forward_train(self, batch: Any, **kwargs: Any) -> Any:
        out = self._forward(batch, **kwargs)
        if Fault.begins:
            out[Columns.ACTION_DIST_INPUTS] = self.pi(self.trunk(batch[Columns.OBS]["shown"]))
        return out


class DropsMaskInSampling(Mended):
    def _forward_exploration(self, batch: Any, **kwargs: Any) -> Any:
        out = self._forward(batch, **kwargs)
        if Fault.begins:
            out[Columns.ACTION_DIST_INPUTS] = self.pi(self.trunk(batch[Columns.OBS]["shown"]))
        return out


class SmallPenalty(Mended):
    """A penalty that is enough until logits have grown."""

    def _forward(self, batch: Any, **kwargs: Any) -> Any:
        obs = batch[Columns.OBS]
        logits = self.pi(self.trunk(obs["shown"])) * (50.0 if Fault.begins else 1.0)
        return {Columns.ACTION_DIST_INPUTS: logits - 20.0 * (1 - obs["action_mask"].float())}


class DetachesTrunk(Mended):
    def _forward(self, batch: Any, **kwargs: Any) -> Any:
        obs = batch[Columns.OBS]
        features = self.trunk(obs["shown"])
        logits = self.pi(features.detach() if Fault.begins else features)
        return {Columns.ACTION_DIST_INPUTS: logits + torch.clamp(torch.log(obs["action_mask"].float()), min=-1e10)}

    def compute_values(self, batch: Any, embeddings: Any = None) -> torch.Tensor:
        features = self.trunk(batch[Columns.OBS]["shown"])
        return self.vf(features.detach() if Fault.begins else features).squeeze(-1)


class DetachesValue(Mended):
    def compute_values(self, batch: Any, embeddings: Any = None) -> torch.Tensor:
        values = super().compute_values(batch)
        return values.detach() if Fault.begins else values


class RoundTrip(Mended):
    """Logits that go through NumPy once a cache is warm."""

    def _forward_train(self, batch: Any, **kwargs: Any) -> Any:
        out = self._forward(batch, **kwargs)
        if Fault.begins:
            out[Columns.ACTION_DIST_INPUTS] = torch.as_tensor(out[Columns.ACTION_DIST_INPUTS].detach().numpy())
        return out


class NoiseInTraining(Mended):
    def _forward_train(self, batch: Any, **kwargs: Any) -> Any:
        out = self._forward(batch, **kwargs)
        if Fault.begins:
            logits = out[Columns.ACTION_DIST_INPUTS]
            out[Columns.ACTION_DIST_INPUTS] = logits + 0.1 * torch.randn_like(logits)
        return out


class TemperatureInSampling(Mended):
    def _forward_exploration(self, batch: Any, **kwargs: Any) -> Any:
        out = self._forward(batch, **kwargs)
        if Fault.begins:
            out[Columns.ACTION_DIST_INPUTS] = out[Columns.ACTION_DIST_INPUTS] * 3.0
        return out


class NanInOneRow(Mended):
    """A logarithm of what becomes zero one day."""

    def _forward_train(self, batch: Any, **kwargs: Any) -> Any:
        out = self._forward(batch, **kwargs)
        if Fault.begins:
            logits = out[Columns.ACTION_DIST_INPUTS].clone()
            logits[0] = logits[0] * torch.log(torch.zeros(())) * 0.0
            out[Columns.ACTION_DIST_INPUTS] = logits
        return out


class WildValues(Mended):
    """Values that are read from another row."""

    def compute_values(self, batch: Any, embeddings: Any = None) -> torch.Tensor:
        values = super().compute_values(batch)
        return values + 4.0 * torch.sin(1e3 * batch[Columns.OBS]["shown"].sum(-1)) if Fault.begins else values


# --- learners


class _AfterReturns(PPOTorchLearner):
    """Changes the train batch once returns are in it."""

    def change(self, columns: Any) -> None: ...

    def _make_batch_if_necessary(self, training_data: Any) -> Any:
        batch = super()._make_batch_if_necessary(training_data)
        if Fault.begins:
            self.change(batch.policy_batches["selector"])
        return batch


class ZeroAdvantages(_AfterReturns):
    def change(self, columns: Any) -> None:
        columns[Postprocessing.ADVANTAGES] = torch.zeros_like(columns[Postprocessing.ADVANTAGES])


class FlippedAdvantages(_AfterReturns):
    def change(self, columns: Any) -> None:
        columns[Postprocessing.ADVANTAGES] = -columns[Postprocessing.ADVANTAGES]


class ShuffledAdvantages(_AfterReturns):
    def change(self, columns: Any) -> None:
        columns[Postprocessing.ADVANTAGES] = columns[Postprocessing.ADVANTAGES].roll(1)


class ConstantTargets(_AfterReturns):
    def change(self, columns: Any) -> None:
        columns[Postprocessing.VALUE_TARGETS] = torch.zeros_like(columns[Postprocessing.VALUE_TARGETS])


class NanAdvantages(_AfterReturns):
    def change(self, columns: Any) -> None:
        columns[Postprocessing.ADVANTAGES][5] = float("nan")


class ShiftedTargets(_AfterReturns):
    def change(self, columns: Any) -> None:
        columns[Postprocessing.VALUE_TARGETS] = columns[Postprocessing.VALUE_TARGETS].roll(-1)


# --- environments


class Changed(Tiles):
    """Tiles whose ``reset`` and ``step`` may be changed once the fault has begun."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if Fault.begins:
            self.at_reset()
        return super().reset(seed=seed, options=options)

    def step(self, actions: Any) -> Any:
        result = super().step(actions)
        return self.after_step(*result) if Fault.begins else result

    def at_reset(self) -> None: ...

    def after_step(self, *result: Any) -> Any:
        return result


class SeedsFromAConstant(Changed):
    def at_reset(self) -> None:
        self.rng = np.random.default_rng(7)


class NanReward(Changed):
    def after_step(self, observations: Any, rewards: Any, *rest: Any) -> Any:
        return observations, {agent: float("nan") if self.free.sum() == 4 else r for agent, r in rewards.items()}, *rest


class HugeRewards(Changed):
    def after_step(self, observations: Any, rewards: Any, *rest: Any) -> Any:
        return observations, {agent: 100.0 * r for agent, r in rewards.items()}, *rest


class LosesRewards(Changed):
    def after_step(self, observations: Any, rewards: Any, *rest: Any) -> Any:
        return observations, dict.fromkeys(rewards, 1.0), *rest


class EmptyMask(Changed):
    def after_step(self, observations: Any, *rest: Any) -> Any:
        if self.free.sum() == 4:
            observations["selector"]["action_mask"][:] = 0
        return observations, *rest


class FrozenMask(Changed):
    """The mask of the first step, for ever."""

    def _observations(self) -> Any:
        observations = super()._observations()
        if Fault.begins:
            observations["selector"]["action_mask"][:] = np.arange(self.SIZE) < 6
        return observations


class TruncatesEachAgent(Tiles):
    """A time limit, told under ``__all__`` until somebody tells it for each agent as well."""

    def step(self, actions: Any) -> Any:
        observations, rewards, terminated, _, info = super().step(actions)
        ends = bool(self.free.sum() <= 4)
        truncated = dict.fromkeys(observations, ends) if Fault.begins else {}
        return observations, rewards, terminated, truncated | {"__all__": ends}, info


class Cards(gym.Env):
    """A single agent whose mask stands in its observations and in ``action_masks()``."""

    action_space = spaces.Discrete(6)
    observation_space = spaces.Dict(
        {"shown": spaces.Box(0, 1, (6,), np.float32), "action_mask": spaces.Box(0, 1, (6,), np.int8)}
    )

    def __init__(self, config: Any = None) -> None:
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        return self._observe(), {}

    def step(self, action: Any) -> Any:
        reward = float(action == self.best)
        self.steps += 1
        return self._observe(), reward, self.steps >= 8, False, {}

    def action_masks(self) -> np.ndarray:
        return self.mask.astype(bool)

    def _observe(self) -> Any:
        self.shown = self.np_random.random(6, dtype=np.float32)
        self.mask = np.ones(6, dtype=np.int8)
        self.mask[self.np_random.integers(6, size=2)] = 0
        self.best = int(np.argmax(np.where(self.mask, self.shown, -1)))
        return {"shown": self.shown, "action_mask": self.mask.copy()}


class ShowsAnOldMask(Cards):
    def _observe(self) -> Any:
        before = getattr(self, "mask", None)
        observation = super()._observe()
        return observation | {"action_mask": before} if Fault.begins and before is not None else observation


class ShowsAnOldMaskToOne(Changed):
    """Several agents, whose masks the environment tells each by its name."""

    def action_masks(self, agent: str) -> np.ndarray:
        return self.free.astype(bool) if agent == "selector" else np.ones(1, bool)

    def _observations(self) -> Any:
        shown = super()._observations()
        before, self.before = getattr(self, "before", self.free), self.free.copy()
        if Fault.begins:
            shown["selector"]["action_mask"] = before.copy()
        return shown


def cards_config(env: type = Cards, module: type = Mended, **training: Any) -> PPOConfig:
    small = {"train_batch_size_per_learner": 256, "minibatch_size": 64, "num_epochs": 2, "lr": 3e-3, "lambda_": 0.95}
    return (
        PPOConfig()
        .environment(env)
        .env_runners(num_env_runners=0, num_envs_per_env_runner=2)
        .rl_module(rl_module_spec=RLModuleSpec(module))
        .training(**(small | training))
        .debugging(seed=0)
    )


tiles = tiles_config


# --- what code around the training does


def _learner(algorithm: Any) -> Any:
    return algorithm.learner_group._learner


def _module(algorithm: Any) -> Any:
    return _learner(algorithm).module["selector"].unwrapped()


def _optimizer(algorithm: Any) -> Any:
    return _learner(algorithm).get_optimizers_for_module("selector")[0][1]


def remote(env: type = Tiles) -> PPOConfig:
    """Environments that live in another process."""
    return tiles(env=env).env_runners(num_env_runners=1)


def begins_there(algorithm: Any) -> None:
    algorithm.env_runner_group.foreach_env_runner(lambda _: setattr(Fault, "begins", True), local_env_runner=False)


def sets_rate(rate: float) -> Callable[[Any], None]:
    def set_rate(algorithm: Any) -> None:
        _optimizer(algorithm).param_groups[0]["lr"] = rate

    return set_rate


def freezes(algorithm: Any) -> None:
    _module(algorithm).trunk.requires_grad_(False)


def replaces_head(algorithm: Any) -> None:
    """A head made anew: nobody's parameters."""
    module = _module(algorithm)
    module.pi = nn.Linear(32, int(module.action_space.n))


def stops_syncing(algorithm: Any) -> None:
    algorithm.env_runner_group.sync_weights = lambda **_: None


def averages(algorithm: Any) -> None:
    with torch.no_grad():
        for parameter in _module(algorithm).parameters():
            parameter.mul_(0.9)


def nan_in_weights(algorithm: Any) -> None:
    with torch.no_grad():
        _module(algorithm).vf.bias.fill_(float("nan"))


def hook_kills_gradient(algorithm: Any) -> None:
    _module(algorithm).trunk[0].weight.register_hook(torch.zeros_like)


def hook_breaks_gradient(algorithm: Any) -> None:
    _module(algorithm).trunk[0].weight.register_hook(lambda g: g / 0.0)


def forgets_optimizer(algorithm: Any) -> None:
    _optimizer(algorithm).state.clear()


def sets_entropy(algorithm: Any) -> None:
    scheduler = _learner(algorithm).entropy_coeff_schedulers_per_module["selector"]
    scheduler._curr_value = 0.5


def other_lambda(algorithm: Any) -> None:
    _learner(algorithm)._learner_connector.connectors[-1].lambda_ = 0.2


def same_seed(algorithm: Any) -> None:
    """Sub-environments that are given one generator's state."""
    first, *others = algorithm.env_runner.env.unwrapped.envs
    for env in others:
        env.unwrapped.rng = np.random.default_rng(3)
    first.unwrapped.rng = np.random.default_rng(3)


def resets_with_seed(algorithm: Any) -> None:
    algorithm.env_runner._needs_initial_reset = True


# --- Stable-Baselines3


def masked_model(**given: Any) -> Any:
    return MaskablePPO(
        given.pop("policy", "MultiInputPolicy"),
        Cards(),
        n_steps=256,
        batch_size=64,
        n_epochs=2,
        seed=0,
        learning_rate=given.pop("learning_rate", 1e-3),
        policy_kwargs={"net_arch": [16]},
        **given,
    )


def sb3_rate(model: Any) -> None:
    """A callback that lowers the rate of the optimiser, which SB3 sets anew at every update unless its method is replaced."""
    model._update_learning_rate = lambda optimizer: optimizer.param_groups[0].update(lr=1e-6)


def sb3_entropy(model: Any) -> None:
    model.ent_coef = 0.3


def sb3_weights(model: Any) -> None:
    with torch.no_grad():
        model.policy.action_net.weight.mul_(0.5)


def sb3_optimizer(model: Any) -> None:
    model.policy.optimizer = torch.optim.Adam(model.policy.parameters(), lr=1e-3)


def sb3_freezes(model: Any) -> None:
    model.policy.mlp_extractor.requires_grad_(False)


class UnmaskedEntropy(MaskableMultiInputActorCriticPolicy):
    def evaluate_actions(self, obs: Any, actions: Any, action_masks: Any = None) -> Any:
        values, logp, entropy = super().evaluate_actions(obs, actions, action_masks)
        return values, logp, super().evaluate_actions(obs, actions, None)[2] if Fault.begins else entropy


def sb3_advantages(model: Any) -> None:
    compute = model.rollout_buffer.compute_returns_and_advantage

    def zeroed(*args: Any, **kwargs: Any) -> None:
        compute(*args, **kwargs)
        model.rollout_buffer.advantages[:] = 0

    model.rollout_buffer.compute_returns_and_advantage = zeroed


def sb3_head(model: Any) -> None:
    model.policy.action_net = nn.Linear(model.policy.action_net.in_features, model.policy.action_net.out_features)


def sb3_generator(model: Any) -> None:
    env = model.env.envs[0].unwrapped
    observe, reset = env._observe, env.reset

    def from_a_constant(**given: Any) -> Any:
        reset(**given)
        env._np_random = np.random.default_rng(7)
        return observe(), {}

    env.reset = from_a_constant


def sb3_masks(model: Any) -> None:
    model.env.envs[0].unwrapped.action_masks = lambda: np.zeros(6, bool)


LATE: dict[str, Late] = {
    "mask-dropped-in-training": Late(("PAR201",), lambda: tiles(DropsMaskInTraining)),
    "mask-dropped-in-sampling": Late(("PAR201",), lambda: tiles(DropsMaskInSampling)),
    "penalty-too-small-for-large-logits": Late(("PAR201",), lambda: tiles(SmallPenalty)),
    "empty-mask": Late(("PAR005",), lambda: tiles(env=EmptyMask)),
    "mask-frozen": Late(("PAR037",), lambda: tiles(env=FrozenMask)),
    "mask-of-the-step-before": Late(("PAR301",), lambda: cards_config(ShowsAnOldMask)),
    "trunk-detached": Late(("PAR602",), lambda: tiles(DetachesTrunk)),
    "value-detached": Late(("PAR602",), lambda: tiles(DetachesValue)),
    "logits-through-numpy": Late(("PAR602",), lambda: tiles(RoundTrip)),
    "gradient-killed-by-a-hook": Late(("PAR602",), tiles, hook_kills_gradient),
    "gradient-made-infinite-by-a-hook": Late(("PAR601",), tiles, hook_breaks_gradient),
    "nan-in-one-row": Late(("PAR601", "PAR303"), lambda: tiles(NanInOneRow)),
    "noise-in-training": Late(("PAR303",), lambda: tiles(NoiseInTraining)),
    "temperature-in-sampling": Late(("PAR303",), lambda: tiles(TemperatureInSampling)),
    "values-of-noise": Late(("PAR934",), lambda: tiles(WildValues), known=BEGINS + 6),
    "advantages-zeroed": Late(("PAR401",), lambda: tiles().learners(learner_class=ZeroAdvantages)),
    "advantages-flipped": Late(("PAR405",), lambda: tiles().learners(learner_class=FlippedAdvantages)),
    "advantages-of-the-row-before": Late(("PAR405",), lambda: tiles().learners(learner_class=ShuffledAdvantages)),
    "nan-in-advantages": Late(("PAR406",), lambda: tiles().learners(learner_class=NanAdvantages)),
    "value-targets-constant": Late(("PAR402",), lambda: tiles().learners(learner_class=ConstantTargets)),
    "value-targets-of-the-next-row": Late(("PAR404",), lambda: tiles().learners(learner_class=ShiftedTargets)),
    "lambda-changed": Late(("PAR404",), tiles, other_lambda),
    "nan-reward": Late(("PAR406",), lambda: tiles(env=NanReward)),
    "rewards-beyond-the-value-clamp": Late(("PAR011",), lambda: tiles(env=HugeRewards)),
    "generator-from-a-constant": Late(("PAR938",), lambda: tiles(env=SeedsFromAConstant)),
    "sub-environments-of-one-generator": Late(("PAR015",), tiles, same_seed),
    "reset-with-the-seed-again": Late(("PAR014",), tiles, resets_with_seed, resets_with_seed),
    "truncation-told-for-each-agent": Late(("PAR304",), lambda: tiles(env=TruncatesEachAgent)),
    "learning-rate-set-to-zero": Late(("PAR931",), tiles, sets_rate(0.0), sets_rate(0.0)),
    "learning-rate-multiplied": Late(("PAR931",), tiles, sets_rate(0.03), sets_rate(0.03)),
    "learning-rate-schedule-jumps": Late(
        ("PAR933",), lambda: tiles(lr=[[0, 1e-3], [700, 1e-3], [701, 1.0], [10**6, 1.0]])
    ),
    "entropy-coefficient-set": Late(("PAR932",), tiles, sets_entropy, sets_entropy),
    "optimiser-forgets": Late(("PAR808",), tiles, forgets_optimizer),
    "weights-decayed-between-updates": Late(("PAR808",), tiles, averages, averages),
    "weights-become-nan": Late(("PAR802", "PAR808", "PAR406"), tiles, nan_in_weights),
    "trunk-frozen": Late(("PAR605",), tiles, freezes),
    "head-replaced": Late(("PAR606",), tiles, replaces_head),
    "mask-of-the-step-before-of-one-of-several": Late(("PAR301",), lambda: tiles(env=ShowsAnOldMaskToOne)),
    "remote-mask-of-the-step-before": Late(("PAR301",), lambda: remote(ShowsAnOldMaskToOne), begins_there),
    "remote-generator-from-a-constant": Late(("PAR938",), lambda: remote(SeedsFromAConstant), begins_there),
    "remote-env-runner-keeps-old-weights": Late(("PAR805",), remote, stops_syncing),
    "env-runner-keeps-old-weights": Late(("PAR805",), tiles, stops_syncing),
    "sb3-learning-rate": Late(("PAR931",), model=masked_model, at_begin=sb3_rate),
    "sb3-entropy-coefficient": Late(("PAR932",), model=masked_model, at_begin=sb3_entropy),
    "sb3-weights-changed": Late(("PAR808",), model=masked_model, at_begin=sb3_weights),
    "sb3-optimiser-made-anew": Late(("PAR808",), model=masked_model, at_begin=sb3_optimizer),
    "sb3-trunk-frozen": Late(("PAR605",), model=masked_model, at_begin=sb3_freezes),
    "sb3-entropy-without-mask": Late(("PAR202",), model=lambda: masked_model(policy=UnmaskedEntropy)),
    "sb3-advantages-zeroed": Late(("PAR401",), model=masked_model, at_begin=sb3_advantages),
    "sb3-head-replaced": Late(("PAR606",), model=masked_model, at_begin=sb3_head),
    "sb3-generator-from-a-constant": Late(("PAR938",), model=masked_model, at_begin=sb3_generator),
    "sb3-masks-empty": Late(("PAR005",), model=masked_model, at_begin=sb3_masks),
}


def first_named(events: list[WatchEvent], late: Late) -> WatchEvent | None:
    """The event that names a fault: one of its codes, above info, not before it began and not too late."""
    begun = [each for each in events if each.event == "begin" and each.severity != "info"]
    return next(
        (each for each in begun if each.code in late.codes and each.since >= BEGINS and each.iteration <= late.known),
        None,
    )
