"""From a configuration of RLlib's old API stack, a dict or calls of ``PPOConfig``, to the new stack's; nothing of it is run.

Names as of ray 2.60 and of the versions since 2.0 that renamed them.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from parity.errors import CannotStart
from parity.frameworks import hyperparameters
from parity.port.translate.arguments import Arguments, Expression, Note, has_expression, is_bounded
from parity.port.translate.code import literal
from parity.port.translate.expressions import Names, value
from parity.port.translate.python_call import assigned
from parity.port.translate.read import text_of
from parity.port.translate.translate import Imported, Translation
from parity.task import PPOParams
from parity.task.hyperparameter_names import RLLIB_NAMES

# Old name -> method and name on the new stack.
FIELDS: dict[str, tuple[str, str]] = {
    **{name: ("training", name) for name in (
        "lr", "gamma", "lambda_", "clip_param", "vf_clip_param", "vf_loss_coeff", "entropy_coeff", "use_kl_loss", "kl_coeff",
        "kl_target", "grad_clip", "grad_clip_by", "minibatch_size", "num_epochs", "use_critic", "use_gae",
        "train_batch_size_per_learner", "shuffle_batch_per_epoch",
    )},
    "lambda": ("training", "lambda_"),
    "lr_schedule": ("training", "lr"),
    "entropy_coeff_schedule": ("training", "entropy_coeff"),
    "train_batch_size": ("training", "train_batch_size_per_learner"),
    "sgd_minibatch_size": ("training", "minibatch_size"),
    "num_sgd_iter": ("training", "num_epochs"),
    **{name: ("env_runners", name) for name in (
        "num_env_runners", "num_envs_per_env_runner", "rollout_fragment_length", "batch_mode", "explore",
        "num_cpus_per_env_runner", "num_gpus_per_env_runner",
    )},
    "num_workers": ("env_runners", "num_env_runners"),
    "num_rollout_workers": ("env_runners", "num_env_runners"),
    "num_envs_per_worker": ("env_runners", "num_envs_per_env_runner"),
    "num_cpus_per_worker": ("env_runners", "num_cpus_per_env_runner"),
    "num_gpus_per_worker": ("env_runners", "num_gpus_per_env_runner"),
    **{name: ("environment", name) for name in (
        "env", "env_config", "disable_env_checking", "clip_actions", "normalize_actions",
    )},
    "num_gpus": ("learners", "num_gpus_per_learner"),
    **{name: ("multi_agent", name) for name in ("policies", "policies_to_train", "count_steps_by")},
    **{name: ("evaluation", name) for name in ("evaluation_interval", "evaluation_duration", "evaluation_duration_unit")},
    "evaluation_num_workers": ("evaluation", "evaluation_num_env_runners"),
    "seed": ("debugging", "seed"),
    "log_level": ("debugging", "log_level"),
}  # fmt: skip
# Of RLlib's own networks, which DefaultModelConfig has under the same names.
DEFAULT_MODEL = (
    "fcnet_hiddens", "fcnet_activation", "conv_filters", "conv_activation", "vf_share_layers", "free_log_std", "use_lstm",
    "max_seq_len", "lstm_cell_size",
)  # fmt: skip
_MODULE = (
    "write the model as a class on TorchRLModule and ValueFunctionAPI: forward becomes _forward, value_function becomes "
    "compute_values(batch, embeddings=None), and for MultiDiscrete actions setup() sets self.action_dist_cls = "
    "TorchMultiCategorical.get_partial_dist_cls(input_lens=[...]); "
    "config.rl_module(rl_module_spec=RLModuleSpec(module_class=MyModule))"
)
# What PPOConfig has of these on either stack where nothing is said (ray 2.60).
DEFAULTS: dict[str, Any] = {
    "num_env_runners": 2, "num_envs_per_env_runner": 1, "train_batch_size_per_learner": 4000, "minibatch_size": 128,
    "num_epochs": 30, "lr": 5e-5, "gamma": 0.99, "lambda_": 1.0, "clip_param": 0.3, "entropy_coeff": 0.0,
    "vf_loss_coeff": 1.0, "grad_clip": None,
}  # fmt: skip
# Without a counterpart: what the new stack does, and what to do.
NOTHING: dict[str, tuple[str, str]] = {
    "custom_model": (
        "ModelV2 classes are never built; a default module would be trained, which knows no mask",
        _MODULE,
    ),
    "custom_model_config": ("it is never read", "give it to the module: RLModuleSpec(model_config={...})"),
    "custom_action_dist": ("it is never read", "set self.action_dist_cls in the module's setup()"),
    "custom_preprocessor": (
        "there are no preprocessors: a Discrete entry is a number, not a one-hot vector",
        "do it in the module",
    ),
    "exploration_config": (
        "it is never read; actions are sampled from the module's distribution",
        "override _forward_exploration, or schedule what it needs in the module",
    ),
    "observation_filter": (
        "it is never read: observations arrive as the environment gives them",
        "constants inside the network, or the connector MeanStdFilter with its running statistics",
    ),
    "clip_rewards": ("it is never read", "clip them in the environment"),
    "preprocessor_pref": ("there are no preprocessors", "do it in the environment, or in the module"),
    "observation_fn": ("it is never called", "do it in the environment"),
    "_disable_preprocessor_api": ("there are no preprocessors", "delete it"),
    "simple_optimizer": ("there is one loop for all", "delete it"),
    "policy_mapping_fn": (
        "it is called with an agent's id and a MultiAgentEpisode, without a worker",
        "config.multi_agent(policy_mapping_fn=lambda agent_id, episode, **kwargs: ...), with ids of modules",
    ),
    "callbacks": (
        "callbacks get episodes of other classes (SingleAgentEpisode, MultiAgentEpisode) and no worker",
        "config.callbacks(...) with methods on RLlibCallback",
    ),
    "framework": ("the new stack has PyTorch alone", "write the model for PyTorch"),
}
# Columns of sample batches that code of the user's names -> where they are now.
COLUMNS = {
    "CUR_OBS": "Columns.OBS", "OBS": "Columns.OBS", "NEXT_OBS": "Columns.NEXT_OBS", "ACTIONS": "Columns.ACTIONS",
    "REWARDS": "Columns.REWARDS", "TERMINATEDS": "Columns.TERMINATEDS", "TRUNCATEDS": "Columns.TRUNCATEDS",
    "DONES": "Columns.TERMINATEDS", "ACTION_LOGP": "Columns.ACTION_LOGP", "ACTION_DIST_INPUTS": "Columns.ACTION_DIST_INPUTS",
    "VF_PREDS": "nothing: the learner asks compute_values", "SEQ_LENS": "Columns.SEQ_LENS",
    "PREV_ACTIONS": "nothing: the connector PrevActionsPrevRewards", "PREV_REWARDS": "nothing: the same connector",
    "ADVANTAGES": "Columns.ADVANTAGES, which GAE writes in the learner", "VALUE_TARGETS": "Columns.VALUE_TARGETS",
}  # fmt: skip
_NAMED = re.compile(r"\b(?:SampleBatch|Postprocessing)\.([A-Z_]+)")


def translate_old_stack(file: str) -> Translation:
    """The new stack's configuration of an old one in Python, JSON or YAML; ``-`` is standard input.

    Raises:
        CannotStart: it cannot be read, or there is no such configuration in it.
    """
    text, name = text_of(file)
    fields, origin = _read(text, name, Path(file).suffix.lower())
    return _translated(fields, origin, text)


def _translated(fields: dict[str, Any], origin: str, text: str) -> Translation:
    calls: dict[str, dict[str, Any]] = {
        "api_stack": {"enable_rl_module_and_learner": True, "enable_env_runner_and_connector_v2": True},
        "framework": {"framework": "torch"},
    }
    notes: list[Note] = []
    imports = {"ray.rllib.algorithms.ppo": ["PPOConfig"]}
    model = fields.pop("model", None) or {}
    for field, given in fields.items():
        if field == "framework" and given in ("torch", None):
            continue
        if field in NOTHING:
            if not _does_nothing(field, given):
                notes.append(Note(field, given, *NOTHING[field]))
        elif field not in FIELDS:
            notes.append(
                Note(
                    field,
                    given,
                    "parity knows no counterpart",
                    "look whether PPOConfig of your ray has it, and what reads it",
                )
            )
        elif has_expression(given) and field != "policies":
            notes.append(
                Note(field, given, "not written here: its value is known only when it runs", "write it yourself")
            )
        else:
            method, new = FIELDS[field]
            _write(calls.setdefault(method, {}), field, new, given, notes)
    if calls.get("training", {}).get("grad_clip") is not None:
        # The old stack always bounds the norm of all gradients together.
        calls["training"]["grad_clip_by"] = "global_norm"
    _model(model, calls, imports, notes)
    _whole_episodes(calls.get("env_runners", {}), notes)
    named = sorted(set(_NAMED.findall(text)))
    if named:
        now = "; ".join(f"{each}: {COLUMNS.get(each, 'look in Columns')}" for each in named)
        notes.append(
            Note("SampleBatch", Expression(", ".join(named)), f"batches have other names: {now}", "rename them")
        )
    return Translation(
        Arguments(origin, "PPO", {}), _for_sb3(calls), {m: a for m, a in calls.items() if a}, imports, notes, {}
    )


def _whole_episodes(runners: dict[str, Any], notes: list[Note]) -> None:
    if runners.get("batch_mode") == "complete_episodes" and runners.get("num_envs_per_env_runner", 1) != 1:
        instead = "with several environments it throws away the episodes that are not over when a rollout is"
        remedy = "truncate_episodes, which stands here, or complete_episodes with num_envs_per_env_runner=1"
        notes.append(Note("batch_mode", runners.pop("batch_mode"), instead, remedy))


def _for_sb3(calls: dict[str, dict[str, Any]]) -> PPOParams | None:
    """The same in SB3's names; None where SB3 has no such values."""
    native = DEFAULTS | calls.get("training", {}) | calls.get("env_runners", {})
    read = {ours: native[theirs] for ours, theirs in RLLIB_NAMES.items()} | {"adam_eps": hyperparameters.TORCH_ADAM_EPS}
    try:
        read["n_envs"] *= max(1, native["num_env_runners"])
        read["n_steps"] /= read["n_envs"]
        return hyperparameters.as_params(read)
    except (ValidationError, ArithmeticError, TypeError, LookupError):
        return None  # a value that PPOConfig refuses too, or that no minibatch of SB3's has


def _does_nothing(field: str, given: Any) -> bool:
    """Whether a field is set to what both stacks do."""
    sampling = isinstance(given, dict) and given.get("type", "StochasticSampling") == "StochasticSampling"
    return given in (None, False, {}, "NoFilter") or (field == "exploration_config" and sampling)


def _write(call: dict[str, Any], field: str, new: str, given: Any, notes: list[Note]) -> None:
    if field == "policies" and isinstance(given, dict):
        for policy, spec in given.items():
            if spec not in (None, []):
                remedy = "config.rl_module(MultiRLModuleSpec(...)), and algorithm_config_overrides_per_module for its settings"
                notes.append(Note(f"policies[{policy!r}]", spec, "a PolicySpec is never read but for its name", remedy))
        given = list(given)
    if isinstance(given, Expression):
        notes.append(Note(field, given, "not written here: its value is known only when it runs", "write it yourself"))
        return
    if field in ("lr_schedule", "entropy_coeff_schedule"):
        if not given:
            return
        given = [list(point) for point in given]
        if given[0][0] != 0:
            given = [[0, given[0][1]], *given]
    elif new in call and field not in ("train_batch_size_per_learner", "minibatch_size", "num_epochs"):
        return  # a schedule has the last word
    call[new] = given


def _model(model: Any, calls: dict[str, Any], imports: dict[str, list[str]], notes: list[Note]) -> None:
    if isinstance(model, Expression):
        notes.append(Note("model", model, "it is never read", _MODULE))
        return
    own = model.get("custom_model") is not None
    written = {}
    for key, given in model.items():
        if key in NOTHING and given not in (None, {}):
            notes.append(Note(f"model.{key}", given, *NOTHING[key]))
        elif key in DEFAULT_MODEL and not own and not has_expression(given):
            written[key] = given
        elif key not in NOTHING:
            instead = "the module's own layers decide" if own else "it is never read"
            notes.append(Note(f"model.{key}", given, instead, "do the same in the module's setup()"))
    if written:
        # PPO's own default on both stacks; DefaultModelConfig has another.
        written = {"vf_share_layers": False, **written}
        arguments = ", ".join(f"{key}={literal(given)}" for key, given in written.items())
        imports["ray.rllib.core.rl_module.default_model_config"] = ["DefaultModelConfig"]
        calls["rl_module"] = {"model_config": Imported(f"DefaultModelConfig({arguments})")}
        instead = "layers start as PyTorch makes them; on the old stack columns have norm 1, 0.01 before the logits"
        notes.append(Note("model", model, instead, "a module of your own, if it matters how training begins"))


def _read(text: str, name: str, suffix: str) -> tuple[dict[str, Any], str]:
    if suffix in (".json", ".yml", ".yaml"):
        import yaml

        try:
            read = json.loads(text) if suffix == ".json" else yaml.safe_load(text)
        except (ValueError, yaml.YAMLError, RecursionError) as error:
            raise CannotStart(f"{name}: it cannot be read as {suffix[1:]}; give a dict of PPO's old fields.") from error
        fields = _as_fields(read)
        if fields is not None and is_bounded(fields):
            return fields, name
        raise CannotStart(f"{name}: no dict of PPO's old fields is in it.")
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise CannotStart(f"{name}: it cannot be parsed as Python; give the configuration alone.") from error
    names = assigned(tree)
    of_calls = _of_calls(tree, names)
    if of_calls:
        return of_calls, name
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict | ast.Call):
            fields = _as_fields(value(node, names))
            if fields is not None and is_bounded(fields):
                return fields, f"{name}, line {node.lineno}"
    raise CannotStart(
        f"{name}: neither calls of PPOConfig nor a dict of PPO's old fields is in it; give the file or snippet that has them."
    )


def _as_fields(read: Any) -> dict[str, Any] | None:
    """A configuration with what ``multiagent`` holds beside it; None for any other value."""
    if isinstance(read, dict) and isinstance(read.get("config"), dict):
        read = read["config"] | {key: given for key, given in read.items() if key == "env"}
    if not isinstance(read, dict) or len(set(read) & (set(FIELDS) | set(NOTHING) | {"model", "multiagent"})) < 2:
        return None
    fields = {str(key): given for key, given in read.items()}
    inner = fields.pop("multiagent", None)
    return fields | (inner if isinstance(inner, dict) else {})


def _of_calls(tree: ast.Module, names: Names) -> dict[str, Any]:
    """The keyword arguments of every method that is called on a ``PPOConfig()``, in their order."""
    configs = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and _root(node.value, set()) is not None
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    fields: dict[str, Any] = {}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    for call in sorted(calls, key=lambda each: (each.end_lineno or 0, each.end_col_offset or 0)):
        assert isinstance(call.func, ast.Attribute)
        if _root(call.func.value, configs) is None or call.func.attr == "api_stack":
            continue
        if call.func.attr in ("framework", "environment", "callbacks") and call.args:
            first = {"framework": "framework", "environment": "env", "callbacks": "callbacks"}[call.func.attr]
            fields[first] = value(call.args[0], names)
        fields |= {each.arg: value(each.value, names) for each in call.keywords if each.arg is not None}
    return fields


def _root(node: ast.expr, configs: set[str]) -> ast.expr | None:
    """``PPOConfig()`` or a name of one, where a chain of calls begins with it."""
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        node = node.func.value
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "PPOConfig":
        return node
    return node if isinstance(node, ast.Name) and node.id in configs else None
