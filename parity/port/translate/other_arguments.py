"""Arguments that are not hyperparameters: environment, policy, seed, device, logging, and RL-Zoo's wrappers."""

from __future__ import annotations

import dataclasses
from typing import Any

from parity.errors import CannotStart
from parity.port.translate.arguments import Arguments, Expression, Note, has_expression

_MODULE = "bring an RLModule: .rl_module(rl_module_spec=RLModuleSpec(module_class=...)); parity init writes one"
# What SB3's own policies have, and PPO without an RLModule of yours.
_POLICIES = {
    "MlpPolicy": (
        "PPO's own module has two layers of 256, for policy and value each; SB3's have 64 and start orthogonal",
        'for RLlib\'s own module, .rl_module(model_config=DefaultModelConfig(fcnet_hiddens=[64, 64], fcnet_activation="tanh"))',
    ),
    "CnnPolicy": (
        "PPO's own module picks its convolutions by the image's size; SB3's has NatureCNN and divides by 255",
        _MODULE,
    ),
    "MultiInputPolicy": ("PPO has no module for a Dict observation and stops there", _MODULE),
}
# Defaults that are not None, False, 0 or empty.
_NOTHING = {"sde_sample_freq": -1, "_init_setup_model": True}
# PPOParams checks the hyperparameters.
_TYPES: dict[str, type] = {
    "policy": str,
    "use_sde": bool,
    "sde_sample_freq": int,
    "stats_window_size": int,
    "tensorboard_log": str,
    "policy_kwargs": dict,
    "verbose": int,
    "seed": int,
    "device": str,
    "frame_stack": int,
}
_WORDS = {str: "text", bool: "True or False", int: "a whole number", dict: "a mapping"}
# SB3's and RLlib's default for the window of episodes whose mean return is reported.
_WINDOW = 100

# Argument -> what RLlib does, what to do. Arguments as None, False or the like, they ask for nothing.
_WITHOUT: dict[str, tuple[str, str]] = {
    "use_sde": (
        "actions are sampled from the distribution at every step",
        "leave use_sde out on both sides; discrete actions have no such noise anyway",
    ),
    "sde_sample_freq": ("there is no such noise", "see use_sde"),
    "rollout_buffer_class": (
        "episodes are kept as they are, connectors make the batch",
        "put into a learner connector what the buffer does: .learners(learner_connector=...)",
    ),
    "rollout_buffer_kwargs": (
        "there is no rollout buffer",
        "see rollout_buffer_class",
    ),
    "tensorboard_log": (
        "an Algorithm alone writes to ~/ray_results, Tune wherever it is told",
        "tune.RunConfig(storage_path=...), which writes TensorBoard events too",
    ),
    "verbose": (
        "nothing is printed during training",
        "print what Algorithm.train() returns; .debugging(log_level=...) is RLlib's own log",
    ),
    "normalize": (
        "observations and rewards arrive as the environment gives them",
        "observations: inside the network of both sides, by a mean and a spread measured once "
        "(self.register_buffer(...)); RLlib's MeanStdFilter takes no Dict observation, and so none with its mask. Rewards: "
        "gymnasium.wrappers.NormalizeReward in the environment of both sides",
    ),
    "frame_stack": (
        "the module sees one observation",
        "gymnasium.wrappers.FrameStackObservation in the environment of both sides, below what adds the mask; RLlib's "
        "FrameStacking connectors take no Dict observation, and so none with its mask",
    ),
    "env_wrapper": (
        "the environment is what it was registered as",
        "wrap it where it is made: ray.tune.register_env(name, lambda config: Wrapper(make()))",
    ),
    "vec_env_wrapper": (
        "there is no VecEnv to wrap",
        "do it in the environment itself, or in a connector",
    ),
    "monitor_kwargs": (
        "there is no Monitor, returns are counted from the episodes",
        "return further figures from .callbacks(on_episode_end=...)",
    ),
    "callback": (
        "SB3's callbacks do not run",
        ".callbacks(on_train_result=..., on_episode_end=...), or Tune's stoppers",
    ),
    "_init_setup_model": (
        "a configuration builds nothing",
        "call config.build_algo() when it is wanted",
    ),
}  # fmt: skip

# Entry of policy_kwargs -> what RLlib does, what to do.
_POLICY: dict[str, tuple[str, str]] = {
    "net_arch": (
        "RLlib's default module has two layers of 256",
        "write these layers into your module's setup(); for RLlib's own module, DefaultModelConfig(fcnet_hiddens=...)",
    ),
    "activation_fn": (
        "RLlib's default module has tanh",
        "the same activation in your module's setup(); for RLlib's own module, DefaultModelConfig(fcnet_activation=...)",
    ),
    "ortho_init": (
        "layers start as PyTorch makes them",
        "what SB3 does goes into your module's setup(): orthogonal with gain sqrt(2), logits 0.01, value 1, biases 0, and "
        "nothing of it with ortho_init=False",
    ),
    "features_extractor_class": (
        "a Dict observation needs a module of your own",
        "use the same nn.Module in your module's setup()",
    ),
    "features_extractor_kwargs": ("as features_extractor_class", "pass them on in your module's setup()"),
    "share_features_extractor": ("the module decides", "one trunk or two in your module's setup()"),
    "normalize_images": ("images arrive as uint8, unscaled", "divide by 255 in the network, unless this is False"),
    "log_std_init": (
        "the module gives the log of the standard deviation itself; discrete actions have none",
        "start it there in your module's setup()",
    ),
    "optimizer_class": ("PPOTorchLearner builds Adam", "override Learner.configure_optimizers_for_module"),
    "optimizer_kwargs": ("PPOTorchLearner builds Adam with PyTorch's defaults", "as optimizer_class"),
}  # fmt: skip


@dataclasses.dataclass
class Others:
    """``calls``: method of ``PPOConfig`` -> keyword arguments. ``notes``: what has no counterpart."""

    calls: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    notes: list[Note] = dataclasses.field(default_factory=list)

    def note(self, field: str, value: Any, instead: str, remedy: str) -> None:
        self.notes.append(Note(field, value, instead, remedy))


def translate_others(arguments: Arguments) -> Others:
    """Translates everything but hyperparameters.

    Raises:
        CannotStart: an argument has the wrong type.
    """
    _check_types(arguments)
    others, values = Others(), arguments.values
    _environment(arguments, others)
    _policy(arguments, others)
    _device(values.get("device", "auto"), others)
    seed = values.get("seed")
    if isinstance(seed, int):
        others.calls["debugging"] = {"seed": seed}
        same = "the same seed gives other random numbers in RLlib"
        others.note("seed", seed, same, "compare several seeds, never one with one")
    elif seed is not None:
        others.note("seed", seed, "no seed is set", "write .debugging(seed=...) with a number")
    window = values.get("stats_window_size", _WINDOW)
    if isinstance(window, int) and window > 0:
        others.calls["reporting"] = {"metrics_num_episodes_for_smoothing": window}
    else:
        remedy = ".reporting(metrics_num_episodes_for_smoothing=...) with a number"
        others.note("stats_window_size", window, f"the mean of {_WINDOW} episodes is reported", remedy)
    for name, (instead, remedy) in _WITHOUT.items():
        asked = values.get(name)
        wanted = asked != _NOTHING[name] if name in _NOTHING else isinstance(asked, Expression) or bool(asked)
        if wanted and asked is not None:
            others.note(name, asked, instead, remedy)
    if "n_timesteps" in values:
        steps = values["n_timesteps"]
        stop = f'tune.RunConfig(stop={{"num_env_steps_sampled_lifetime": {steps}}})'
        others.note("n_timesteps", steps, "a configuration has no end", f"{stop}, or a loop around Algorithm.train()")
    return others


def _check_types(arguments: Arguments) -> None:
    for name, kind in _TYPES.items():
        value = arguments.values.get(name)
        if value is None or isinstance(value, Expression):
            continue
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise CannotStart(f"{arguments.place(name)}: {name} is {value!r}, give {_WORDS[kind]}.")


def _environment(arguments: Arguments, others: Others) -> None:
    env, env_config = arguments.values.get("env"), arguments.values.get("env_kwargs")
    call: dict[str, Any] = {"env": env} if isinstance(env, str) else {}
    if arguments.algorithm == "MaskablePPO":
        # RLlib's check plays random actions, masks or not.
        call["disable_env_checking"] = True
        others.note(
            "action masks",
            "MaskablePPO",
            "PPO knows of none: it would sample illegal actions",
            'return the mask in the observation, as "action_mask", and apply it in every forward of the RLModule; '
            "parity init writes such a port",
        )
    if not isinstance(env, str):
        shown = Expression("none") if env is None else env
        remedy = "add .environment(...): a class, or a name from ray.tune.register_env"
        others.note("env", shown, "no environment is set", remedy)
    if isinstance(env_config, dict) and isinstance(env, str) and not has_expression(env_config):
        call["env_config"] = env_config
    elif env_config:
        remedy = "add .environment(..., env_config=...)"
        others.note("env_kwargs", env_config, "the environment gets none", remedy)
    others.calls["environment"] = call


def _policy(arguments: Arguments, others: Others) -> None:
    policy, policy_kwargs = arguments.values.get("policy"), arguments.values.get("policy_kwargs")
    if policy is not None:
        unknown = ("PPO builds a module of its own, where it has one for the spaces", _MODULE)
        instead, remedy = _POLICIES.get(policy, unknown) if isinstance(policy, str) else unknown
        others.note("policy", policy, instead, _MODULE if arguments.algorithm == "MaskablePPO" else remedy)
    if policy_kwargs is None:
        return
    if not isinstance(policy_kwargs, dict):
        others.note("policy_kwargs", policy_kwargs, "no network is set up", _MODULE)
        return
    for name, asked in policy_kwargs.items():
        if name == "optimizer_kwargs" and isinstance(asked, dict) and set(asked) == {"eps"}:
            continue  # a hyperparameter, adam_eps
        instead, remedy = _POLICY.get(name, ("nothing of this name is known to it", _MODULE))
        others.note(f"policy_kwargs, {name}", asked, instead, remedy)


def _device(device: Any, others: Others) -> None:
    kind, colon, number = device.partition(":") if isinstance(device, str) else ("", "", "")
    known = kind in ("cpu", "cuda")
    others.calls["learners"] = {"num_gpus_per_learner": int(known and device != "cpu")}
    if known and colon:
        remedy = f".learners(local_gpu_idx={number})"
        others.note("device", device, "the learner takes the first GPU", remedy)
    elif not known:
        remedy = ".learners(num_gpus_per_learner=1) puts it on a GPU"
        others.note("device", device, "the learner stays on the CPU", remedy)
