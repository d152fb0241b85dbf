"""A dispatcher serves one of five queues; observation exactly {"observations", "action_mask"}."""

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import nn

from parity import PPOParams, Task

N = 5


class Queues(gym.Env):
    observation_space = spaces.Dict(
        {
            "observations": spaces.Box(0.0, 10.0, (2 * N,), np.float32),
            "action_mask": spaces.Box(0, 1, (N,), np.int8),
        }
    )
    action_space = spaces.Discrete(N)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.length = self.np_random.integers(0, 4, N).astype(np.float32)
        self.length[self.np_random.integers(N)] += 1
        self.weight = self.np_random.uniform(0.5, 2.0, N).astype(np.float32)
        self.t = 0
        return self._obs(), {}

    def _obs(self):
        return {
            "observations": np.concatenate([self.length, self.weight]).astype(np.float32),
            "action_mask": (self.length > 0).astype(np.int8),
        }

    def step(self, action):
        assert self.length[action] > 0, "queue is empty"
        self.length[action] -= 1
        self.t += 1
        reward = float(self.weight[action]) - 0.05 * float(self.length.sum())
        if self.np_random.random() < 0.5:
            k = self.np_random.integers(N)
            self.length[k] = min(self.length[k] + 1, 9)
        return self._obs(), reward, not self.length.any() or self.t >= 20, False, {}


class Net(nn.Module):
    def __init__(self, observation_space, action_space):
        super().__init__()
        size = observation_space["observations"].shape[0]
        self.body = nn.Sequential(nn.Linear(size, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh())
        self.actor = nn.Linear(32, int(action_space.n))
        self.critic = nn.Linear(32, 1)

    def forward(self, obs):
        h = self.body(obs["observations"])
        return self.actor(h), self.critic(h).squeeze(-1)


class Dispatcher(TorchRLModule, ValueFunctionAPI):
    def setup(self):
        size = self.observation_space["observations"].shape[0]
        self.encoder = nn.Sequential(nn.Linear(size, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh())
        self.pi = nn.Linear(32, int(self.action_space.n))
        self.vf = nn.Linear(32, 1)

    def features(self, batch):
        return self.encoder(batch[Columns.OBS]["observations"].float())

    def masked(self, logits, batch):
        return logits + torch.clamp(torch.log(batch[Columns.OBS]["action_mask"].float()), min=-1e9)

    def _forward(self, batch, **kwargs):
        return {Columns.ACTION_DIST_INPUTS: self.masked(self.pi(self.features(batch)), batch)}

    def compute_values(self, batch, embeddings=None):
        return self.vf(self.features(batch)).squeeze(-1)


def make(id, module=Dispatcher, **more):
    return Task(
        id=id,
        env=Queues,
        network=Net,
        ppo=PPOParams(n_envs=4, n_steps=64, batch_size=64, n_epochs=4, learning_rate=1e-3),
        rllib_module=module,
        **more,
    )


good = make("queues-good")


class WithEmbeddings(Dispatcher):
    """Hands its features on, so that the value pass need not run the encoder again."""

    def _forward_train(self, batch, **kwargs):
        h = self.features(batch)
        return {Columns.ACTION_DIST_INPUTS: self.masked(self.pi(h), batch), Columns.EMBEDDINGS: h}

    def compute_values(self, batch, embeddings=None):
        h = self.features(batch) if embeddings is None else embeddings
        return self.vf(h).squeeze(-1)


good_embeddings = make("queues-embeddings", WithEmbeddings)


class FillMin(Dispatcher):
    def masked(self, logits, batch):
        return logits.masked_fill(batch[Columns.OBS]["action_mask"] == 0, torch.finfo(logits.dtype).min)


good_fill_min = make("queues-fillmin", FillMin)


class OwnSampling(Dispatcher):
    """Samples by itself in exploration and returns actions with their log-probabilities."""

    def _forward_exploration(self, batch, **kwargs):
        logits = self.masked(self.pi(self.features(batch)), batch)
        dist = torch.distributions.Categorical(logits=logits)
        a = dist.sample()
        return {Columns.ACTIONS: a, Columns.ACTION_LOGP: dist.log_prob(a), Columns.ACTION_DIST_INPUTS: logits}


good_own_sampling = make("queues-ownsampling", OwnSampling)


class MetricLearner(PPOTorchLearner):
    def compute_loss_for_module(self, *, module_id, config, batch, fwd_out):
        loss = super().compute_loss_for_module(module_id=module_id, config=config, batch=batch, fwd_out=fwd_out)
        probs = torch.softmax(fwd_out[Columns.ACTION_DIST_INPUTS].detach(), -1)
        self.metrics.log_value((module_id, "max_probability"), probs.max(-1).values.mean().item(), window=1)
        return loss


good_learner_metric = make("queues-metric", rllib_config=lambda c: c.learners(learner_class=MetricLearner))


class CountEmpty(RLlibCallback):
    def on_episode_start(self, *, episode, **kwargs):
        episode.custom_data["forced"] = 0

    def on_episode_step(self, *, episode, **kwargs):
        episode.custom_data["forced"] += 1

    def on_episode_end(self, *, episode, metrics_logger=None, **kwargs):
        if metrics_logger is not None:
            metrics_logger.log_value("length_seen", episode.custom_data["forced"], window=50)


good_callbacks = make("queues-callbacks", rllib_config=lambda c: c.callbacks(CountEmpty))


# --- mistakes ---------------------------------------------------------------------------------------------------------------


class MaskSign(Dispatcher):
    def masked(self, logits, batch):
        return torch.where(batch[Columns.OBS]["action_mask"].bool(), torch.full_like(logits, -1e8), logits)


bad_mask_sign = make("queues-mask-sign", MaskSign)


class MaskNotInTraining(Dispatcher):
    def _forward_train(self, batch, **kwargs):
        return {Columns.ACTION_DIST_INPUTS: self.pi(self.features(batch))}


bad_mask_not_in_training = make("queues-mask-train", MaskNotInTraining)


class MaskNotInInference(Dispatcher):
    def _forward_inference(self, batch, **kwargs):
        return {Columns.ACTION_DIST_INPUTS: self.pi(self.features(batch))}


bad_mask_not_in_inference = make("queues-mask-inference", MaskNotInInference)


class SoftmaxTwice(Dispatcher):
    def masked(self, logits, batch):
        return super().masked(torch.softmax(logits, -1), batch)


bad_softmax_twice = make("queues-softmax-twice", SoftmaxTwice)


class Temperature(Dispatcher):
    def _forward_exploration(self, batch, **kwargs):
        return {Columns.ACTION_DIST_INPUTS: self.masked(self.pi(self.features(batch)) / 1.5, batch)}


bad_temperature = make("queues-temperature", Temperature)


class PenaltyTooSmall(Dispatcher):
    def masked(self, logits, batch):
        return logits - 5.0 * (1 - batch[Columns.OBS]["action_mask"].float())


bad_penalty_small = make("queues-penalty", PenaltyTooSmall)


class WrongEmbeddings(WithEmbeddings):
    """The value in the loss comes from the last-but-one layer's output, in the returns from the whole encoder."""

    def _forward_train(self, batch, **kwargs):
        x = batch[Columns.OBS]["observations"].float()
        h = self.encoder(x)
        return {Columns.ACTION_DIST_INPUTS: self.masked(self.pi(h), batch), Columns.EMBEDDINGS: self.encoder[:2](x)}


bad_embeddings = make("queues-wrong-embeddings", WrongEmbeddings)


class ClampedLogits(Dispatcher):
    def masked(self, logits, batch):
        return super().masked(torch.clamp(logits, -5, 5), batch)


bad_clamped_logits = make("queues-clamped", ClampedLogits)


class NoApi(TorchRLModule):
    setup, features, masked = Dispatcher.setup, Dispatcher.features, Dispatcher.masked
    _forward, compute_values = Dispatcher._forward, Dispatcher.compute_values


bad_no_api = make("queues-no-api", NoApi)


class EntropySign(PPOTorchLearner):
    def compute_loss_for_module(self, *, module_id, config, batch, fwd_out):
        loss = super().compute_loss_for_module(module_id=module_id, config=config, batch=batch, fwd_out=fwd_out)
        module = self.module[module_id].unwrapped()
        dist = module.get_train_action_dist_cls().from_logits(fwd_out[Columns.ACTION_DIST_INPUTS])
        return loss - 0.01 * dist.entropy().mean()


bad_extra_entropy = make("queues-extra-entropy", rllib_config=lambda c: c.learners(learner_class=EntropySign))
