"""Harmless and harmful learners, callbacks and connectors around one port: feeding four lamps from a battery."""

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.connectors.learner import GeneralAdvantageEstimation
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.evaluation.postprocessing import Postprocessing
from torch import nn

from parity import PPOParams, Task

K = 4


class Lamps(gym.Env):
    observation_space = spaces.Dict(
        {
            "lamps": spaces.Box(0, 2, (K,), np.float32),
            "battery": spaces.Box(0, 2, (1,), np.float32),
            "action_mask": spaces.Box(0, 1, (K + 1,), np.int8),
        }
    )
    action_space = spaces.Discrete(K + 1)

    def __init__(self, drain=0.15):
        self.drain = drain

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.lamps = self.np_random.uniform(0.2, 1, K).astype(np.float32)
        self.battery, self.t = 0.5, 0
        return self.observe(), {}

    def observe(self):
        mask = np.append((self.lamps < 0.9) & (self.battery >= 0.2), True)
        return {
            "lamps": self.lamps.copy(),
            "battery": np.array([self.battery], np.float32),
            "action_mask": mask.astype(np.int8),
        }

    def step(self, action):
        assert self.observe()["action_mask"][action]
        if action < K:
            self.lamps[action] = 1.0
            self.battery -= 0.2
        self.battery = min(2.0, self.battery + float(self.np_random.uniform(0, 0.3)))
        self.lamps = np.maximum(self.lamps - self.np_random.uniform(0, self.drain, K), 0).astype(np.float32)
        self.t += 1
        dark = int((self.lamps < 0.05).sum())
        return self.observe(), 1.0 - dark - 4.0 * (dark > 1), dark >= 3, self.t >= 30, {}


class Net(nn.Module):
    def __init__(self, observation_space, action_space):
        super().__init__()
        self.f = nn.Sequential(nn.Linear(K + 1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh())
        self.p, self.v = nn.Linear(32, K + 1), nn.Linear(32, 1)

    def forward(self, obs):
        h = self.f(torch.cat([obs["lamps"], obs["battery"]], -1))
        return self.p(h), self.v(h).squeeze(-1)


class Lamplighter(TorchRLModule, ValueFunctionAPI):
    def setup(self):
        self.f = nn.Sequential(nn.Linear(K + 1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh())
        self.p, self.v = nn.Linear(32, K + 1), nn.Linear(32, 1)

    def h(self, batch):
        o = batch[Columns.OBS]
        return self.f(torch.cat([o["lamps"], o["battery"]], -1))

    def _forward(self, batch, **kwargs):
        h = self.h(batch)
        return {Columns.ACTION_DIST_INPUTS: self.p(h).masked_fill(batch[Columns.OBS]["action_mask"] == 0, -1e9)}

    def compute_values(self, batch, embeddings=None):
        return self.v(self.h(batch)).squeeze(-1)


def make(id, config=None, module=Lamplighter, **more):
    return Task(
        id=id,
        env=Lamps,
        network=Net,
        rllib_module=module,
        rllib_config=config,
        ppo=PPOParams(n_envs=4, n_steps=48, batch_size=48, n_epochs=4, learning_rate=1e-3, ent_coef=0.003),
        **more,
    )


def learner(cls):
    return lambda c: c.learners(learner_class=cls)


def callbacks(cls):
    return lambda c: c.callbacks(cls)


good = make("lamps-good")

# --- learners ---------------------------------------------------------------------------------------------------------------


class Metrics(PPOTorchLearner):
    def after_gradient_based_update(self, *, timesteps):
        super().after_gradient_based_update(timesteps=timesteps)
        for mid in self.module.keys():
            norm = sum(float(p.detach().pow(2).sum()) for p in self.module[mid].parameters()) ** 0.5
            self.metrics.log_value((mid, "weight_norm"), norm, window=1)


good_learner_metric = make("lamps-learner-metric", learner(Metrics))


class Eps(PPOTorchLearner):
    """Adam with SB3's epsilon."""

    def configure_optimizers_for_module(self, module_id, config=None):
        params = self.get_parameters(self.module[module_id])
        self.register_optimizer(
            module_id=module_id,
            optimizer=torch.optim.Adam(params, eps=1e-5),
            params=params,
            lr_or_lr_schedule=config.lr,
        )


good_eps = make("lamps-eps", learner(Eps))


class PerMinibatch(PPOTorchLearner):
    """Standardises advantages within the minibatch, over its real rows, as SB3 does."""

    def compute_loss_for_module(self, *, module_id, config, batch, fwd_out):
        a = batch[Postprocessing.ADVANTAGES]
        real = a[batch[Columns.LOSS_MASK]] if Columns.LOSS_MASK in batch else a
        batch = type(batch)(batch) if not isinstance(batch, dict) else dict(batch)
        batch[Postprocessing.ADVANTAGES] = (a - real.mean()) / (real.std() + 1e-8)
        return super().compute_loss_for_module(module_id=module_id, config=config, batch=batch, fwd_out=fwd_out)


good_per_minibatch = make("lamps-per-minibatch", learner(PerMinibatch))


class RawAdvantages(PPOTorchLearner):
    """Undoes RLlib's standardisation: advantages as they are."""

    def build(self):
        super().build()
        self._learner_connector.remove(GeneralAdvantageEstimation)

        class Raw(GeneralAdvantageEstimation):
            def __call__(self, *, rl_module, episodes, batch, **kwargs):
                out = super().__call__(rl_module=rl_module, episodes=episodes, batch=batch, **kwargs)
                for mid, b in out.items():
                    if Postprocessing.VALUE_TARGETS in b:
                        with torch.no_grad():
                            v = rl_module[mid].compute_values(
                                {Columns.OBS: {k: torch.as_tensor(x) for k, x in b[Columns.OBS].items()}}
                            )
                        b[Postprocessing.ADVANTAGES] = torch.as_tensor(b[Postprocessing.VALUE_TARGETS]) - v
                return out

        self._learner_connector.append(Raw(gamma=self.config.gamma, lambda_=self.config.lambda_))


bad_raw_advantages = make("lamps-raw-advantages", learner(RawAdvantages))


class Positive(PPOTorchLearner):
    """Learns from good surprises alone."""

    def compute_loss_for_module(self, *, module_id, config, batch, fwd_out):
        batch[Postprocessing.ADVANTAGES] = torch.clamp(batch[Postprocessing.ADVANTAGES], min=0)
        return super().compute_loss_for_module(module_id=module_id, config=config, batch=batch, fwd_out=fwd_out)


bad_positive_advantages = make("lamps-positive", learner(Positive))


class Accumulate(PPOTorchLearner):
    """Gradients of two minibatches are added up, not averaged, before a step."""

    kept = None

    def postprocess_gradients(self, gradients_dict):
        if self.kept is None:
            self.kept = {k: g.clone() for k, g in gradients_dict.items() if g is not None}
            return super().postprocess_gradients({k: torch.zeros_like(g) for k, g in gradients_dict.items()})
        summed = {k: g + self.kept[k] for k, g in gradients_dict.items()}
        self.kept = None
        return super().postprocess_gradients(summed)


bad_accumulate = make("lamps-accumulate", learner(Accumulate))


class WeightDecay(PPOTorchLearner):
    def configure_optimizers_for_module(self, module_id, config=None):
        params = self.get_parameters(self.module[module_id])
        self.register_optimizer(
            module_id=module_id, optimizer=torch.optim.AdamW(params), params=params, lr_or_lr_schedule=config.lr
        )


bad_adamw = make("lamps-adamw", learner(WeightDecay))


class HeadsOnly(PPOTorchLearner):
    """The optimiser gets the policy's layers; the value head was forgotten."""

    def configure_optimizers_for_module(self, module_id, config=None):
        m = self.module[module_id]
        params = [*m.f.parameters(), *m.p.parameters()]
        self.register_optimizer(
            module_id=module_id, optimizer=torch.optim.Adam(params), params=params, lr_or_lr_schedule=config.lr
        )


bad_value_not_optimised = make("lamps-value-not-optimised", learner(HeadsOnly))


class FreshAdam(PPOTorchLearner):
    """'Old moments belong to old data': a new state for every update."""

    def before_gradient_based_update(self, *, timesteps):
        super().before_gradient_based_update(timesteps=timesteps)
        for optimizer in self._named_optimizers.values():
            optimizer.state.clear()


bad_fresh_adam = make("lamps-fresh-adam", learner(FreshAdam))


class Averaged(PPOTorchLearner):
    """Polyak averaging of the policy after each update."""

    def after_gradient_based_update(self, *, timesteps):
        super().after_gradient_based_update(timesteps=timesteps)
        with torch.no_grad():
            for mid in self.module.keys():
                new = {k: p.clone() for k, p in self.module[mid].named_parameters()}
                old = getattr(self, "_old", new)
                for k, p in self.module[mid].named_parameters():
                    p.copy_(0.5 * new[k] + 0.5 * old[k])
                self._old = new


bad_averaged = make("lamps-averaged", learner(Averaged))


class AllRows(PPOTorchLearner):
    """The loss over all rows, bootstrap rows too."""

    def compute_loss_for_module(self, *, module_id, config, batch, fwd_out):
        batch[Columns.LOSS_MASK] = torch.ones_like(batch[Columns.LOSS_MASK])
        return super().compute_loss_for_module(module_id=module_id, config=config, batch=batch, fwd_out=fwd_out)


bad_all_rows = make("lamps-all-rows", learner(AllRows))


class Huber(PPOTorchLearner):
    """Adds a Huber loss of the value and takes the squared one away."""

    def compute_loss_for_module(self, *, module_id, config, batch, fwd_out):
        loss = super().compute_loss_for_module(module_id=module_id, config=config, batch=batch, fwd_out=fwd_out)
        v = self.module[module_id].unwrapped().compute_values(batch)
        keep = batch[Columns.LOSS_MASK]
        t = batch[Postprocessing.VALUE_TARGETS]
        mse = ((v - t) ** 2)[keep].mean()
        return loss + config.vf_loss_coeff * (torch.nn.functional.smooth_l1_loss(v[keep], t[keep]) - mse)


bad_huber = make("lamps-huber", learner(Huber))


class EarlyStop(PPOTorchLearner):
    """Half of the minibatches are skipped 'when the KL is large'; its test is always true after the second one."""

    def postprocess_gradients(self, gradients_dict):
        self.n = getattr(self, "n", 0) + 1
        out = super().postprocess_gradients(gradients_dict)
        return {k: torch.zeros_like(g) for k, g in out.items()} if self.n > 8 else out


bad_stops_early = make("lamps-stops-early", learner(EarlyStop))

# --- callbacks --------------------------------------------------------------------------------------------------------------


class Logs(RLlibCallback):
    def on_episode_end(self, *, episode, metrics_logger=None, **kwargs):
        if metrics_logger is not None:
            metrics_logger.log_value("my_length", len(episode), window=20)

    def on_train_result(self, *, algorithm, result, **kwargs):
        result["mine"] = 1


good_callbacks = make("lamps-callbacks", callbacks(Logs))


class Darker(RLlibCallback):
    """A curriculum: lamps burn down faster from the third episode of an environment on."""

    def on_episode_start(self, *, episode, env=None, env_index=0, **kwargs):
        try:
            envs = env.envs if hasattr(env, "envs") else env.unwrapped.envs
        except AttributeError:
            return
        inner = envs[env_index].unwrapped
        while not isinstance(inner, Lamps):
            found = [x for x in vars(inner).values() if isinstance(x, gym.Env)]
            if not found:
                return
            inner = found[0].unwrapped
        inner.drain = 0.3


bad_curriculum = make("lamps-curriculum", callbacks(Darker))


class Shaping(RLlibCallback):
    """Adds a bonus for every step survived to the reward of the episode's last one."""

    def on_episode_end(self, *, episode, **kwargs):
        for agent in episode.agent_episodes.values():
            rewards = agent.rewards
            if hasattr(rewards, "data") and len(rewards.data):
                rewards.data[len(agent) - 1 + rewards.lookback] += 0.1 * len(agent)


bad_callback_bonus = make("lamps-callback-bonus", callbacks(Shaping))


class DropsShort(RLlibCallback):
    """Throws short pieces away, they are 'not worth a bootstrap'."""

    def on_sample_end(self, *, samples=None, **kwargs):
        samples[:] = [e for e in samples if len(e) >= 12]


bad_drops_short = make("lamps-drops-short", callbacks(DropsShort))


class Decay(RLlibCallback):
    """Shrinks weights after every iteration (only within Algorithm)."""

    def on_train_result(self, *, algorithm, result, **kwargs):
        def shrink(learner):
            with torch.no_grad():
                for mid in learner.module.keys():
                    for p in learner.module[mid].parameters():
                        p.mul_(0.99)

        algorithm.learner_group.foreach_learner(lambda l, *a, **k: shrink(l))


bad_callback_decay = make("lamps-callback-decay", callbacks(Decay))

# --- connectors -------------------------------------------------------------------------------------------------------------


class Count(ConnectorV2):
    """Counts calls and changes nothing."""

    calls = 0

    def __call__(self, *, rl_module, batch, episodes, explore=None, shared_data=None, metrics=None, **kwargs):
        self.calls += 1
        return batch


def env_to_module(cls):
    def configure(config):
        return config.env_runners(env_to_module_connector=lambda *a, **k: cls())

    return configure


def learner_connector(cls):
    return lambda c: c.training(learner_connector=lambda *a, **k: cls())


good_connector = make("lamps-connector", env_to_module(Count))
good_learner_connector = make("lamps-learner-connector", learner_connector(Count))


class BatchOnly(ConnectorV2):
    """Centres the lamps in the batch of the sampling pass, and leaves the episode as it is."""

    def __call__(self, *, rl_module, batch, episodes, explore=None, shared_data=None, metrics=None, **kwargs):
        for e in self.single_agent_episode_iterator(episodes):
            o = e.get_observations(-1)
            self.add_batch_item(
                batch, Columns.OBS, item_to_add={**o, "lamps": o["lamps"] - np.float32(0.5)}, single_agent_episode=e
            )
        return batch


bad_batch_only = make("lamps-batch-only", env_to_module(BatchOnly))


class ClipRewards(ConnectorV2):
    """Atari's sign of the reward, before the returns."""

    def __call__(self, *, rl_module, batch, episodes, explore=None, shared_data=None, metrics=None, **kwargs):
        for e in self.single_agent_episode_iterator(episodes, agents_that_stepped_only=False):
            e.rewards.data = np.sign(np.asarray(e.rewards.data))
        return batch


bad_clip_rewards = make("lamps-clip-rewards", learner_connector(ClipRewards))


class Trim(ConnectorV2):
    def __call__(self, *, rl_module, batch, episodes, explore=None, shared_data=None, metrics=None, **kwargs):
        for b in batch.values():
            real = torch.as_tensor(b[Columns.LOSS_MASK])
            b[Columns.LOSS_MASK] = real & torch.roll(real, -1)
        return batch


class DropLast(PPOTorchLearner):
    """Leaves the last step of every piece of an episode out of the loss ('it has no next observation')."""

    def build(self):
        super().build()
        self._learner_connector.append(Trim())


bad_drop_last = make("lamps-drop-last", learner(DropLast))


class MaskFloat(ConnectorV2):
    """Normalises every entry of the observation to mean 0, the mask too."""

    def __call__(self, *, rl_module, batch, episodes, explore=None, shared_data=None, metrics=None, **kwargs):
        for e in self.single_agent_episode_iterator(episodes):
            o = e.get_observations(-1)
            e.set_observations(new_data={k: (x - x.mean()).astype(np.float32) for k, x in o.items()}, at_indices=-1)
        return batch


bad_mask_normalised = make("lamps-mask-normalised", env_to_module(MaskFloat))
bad_no_gae_lambda = make("lamps-no-gae", lambda c: c.training(use_gae=True, lambda_=0.0))
bad_vf_share = make("lamps-vf-loss-off", lambda c: c.training(use_critic=False))
bad_explore_off = make("lamps-explore-off", lambda c: c.env_runners(explore=False))


def evaluates(config):
    from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

    return config.evaluation(
        evaluation_interval=5, evaluation_duration=10, evaluation_config=AlgorithmConfig.overrides(explore=False)
    )


good_evaluation = make("lamps-evaluation", evaluates)
