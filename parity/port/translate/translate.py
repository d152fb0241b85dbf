"""From arguments of MaskablePPO or PPO to calls of ``PPOConfig``, and notes on what has no counterpart there."""

from __future__ import annotations

import dataclasses
from typing import Any

from pydantic import ValidationError

from parity.errors import CannotStart, first_refusal
from parity.frameworks import hyperparameters
from parity.frameworks.base import Untranslated
from parity.port.translate.arguments import Arguments, Expression, LinearSchedule, Note
from parity.port.translate.other_arguments import translate_others
from parity.task import PPOParams

_HYPERPARAMETERS = tuple(field.name for field in dataclasses.fields(PPOParams))
_EXACT = "parity.frameworks.rllib.exact"
_WRITE_YOURS = "write the number into this code"


@dataclasses.dataclass(frozen=True)
class Imported:
    """A name that the code imports; never one that was read."""

    name: str


@dataclasses.dataclass
class Translation:
    """Calls of ``PPOConfig``'s methods, in order."""

    arguments: Arguments  # what was translated
    # the hyperparameters, defaults filled in; a schedule by its first value; None where SB3 has none like these
    ppo: PPOParams | None
    calls: dict[str, dict[str, Any]]  # method -> its keyword arguments, literals or `Imported`
    imports: dict[str, list[str]]  # module -> names that those need
    notes: list[Note]  # what has no counterpart
    remarks: dict[str, str]  # keyword argument -> what a reader has to know at that line


def translate(arguments: Arguments, exact: bool = False) -> Translation:
    """Translates arguments; ``exact``: for parity's learner and env runner, which can do what ``PPOConfig`` alone cannot.

    Raises:
        CannotStart: a value has the wrong type or is out of range.
    """
    constants, notes, unknown = _constants(arguments)
    ppo = _params(arguments, constants)
    training, env_runners, differences = hyperparameters.to_rllib(ppo)
    calls: dict[str, dict[str, Any]] = {"environment": {}, "env_runners": env_runners, "training": training}
    calls["learners"] = {}
    imports: dict[str, list[str]] = {"ray.rllib.algorithms.ppo": ["PPOConfig"]}
    if exact:
        training, env_runners, options = hyperparameters.to_rllib_exact(ppo)
        calls["env_runners"] = {"env_runner_cls": Imported("ExactEnvRunner"), **env_runners}
        calls["learners"] = {"learner_class": Imported("ExactPPOLearner"), "learner_config_dict": options}
        imports = {_EXACT: ["ExactEnvRunner", "ExactPPOLearner"], **imports}
    else:
        notes += [_difference(each) for each in differences if each.field not in unknown]
    remarks = {name: text for field, text in unknown.items() for name in _written_as(field, ppo, calls)}
    _schedule(arguments, ppo, calls, notes, remarks)
    for field, reason in arguments.assumed.items():
        if field not in constants:
            notes.append(
                Note(field, getattr(ppo, field), f"{getattr(ppo, field)} stands here: {reason}", "say it with --n-envs")
            )
    others = translate_others(arguments)
    for method, keywords in others.calls.items():
        calls[method] = calls.get(method, {}) | keywords
    notes += others.notes
    return Translation(arguments, ppo, {m: a for m, a in calls.items() if a}, imports, notes, remarks)


def _constants(arguments: Arguments) -> tuple[dict[str, Any], list[Note], dict[str, str]]:
    """Hyperparameters that are numbers; notes and remarks for those whose value the source does not tell."""
    constants: dict[str, Any] = {}
    notes: list[Note] = []
    unknown: dict[str, str] = {}
    values = _adam_eps(arguments) | arguments.values
    for name in _HYPERPARAMETERS:
        if name not in values:
            continue
        given_value = values[name]
        if isinstance(given_value, LinearSchedule):
            if name not in ("learning_rate", "clip_range", "clip_range_vf"):
                raise CannotStart(f"{arguments.place(name)}: {name} cannot be a schedule in SB3; give a number.")
            constants[name] = given_value.start
        elif isinstance(given_value, Expression):
            default = getattr(hyperparameters.of_sb3_arguments({}), name)
            instead = (
                f"{default!r}, SB3's default, stands here: what {given_value.text} gives is known only when it runs"
            )
            remedy = _WRITE_YOURS
            if name == "learning_rate":
                remedy += ", or lr=[[0, first], [steps, last]]: RLlib interpolates over environment steps"
            elif name == "clip_range":
                remedy += "; RLlib has no schedule for it"
            elif name == "n_envs":
                remedy = "say it with --n-envs"
            notes.append(Note(name, given_value, instead, remedy))
            unknown[name] = f"not translated: {given_value.text}"
        else:
            constants[name] = given_value
    return constants, notes, unknown


def _adam_eps(arguments: Arguments) -> dict[str, Any]:
    """From ``policy_kwargs=dict(optimizer_kwargs=dict(eps=...))``; without eps, PyTorch's default holds, not SB3's."""
    policy = arguments.values.get("policy_kwargs")
    options = policy.get("optimizer_kwargs") if isinstance(policy, dict) else None
    return {"adam_eps": options.get("eps", hyperparameters.TORCH_ADAM_EPS)} if isinstance(options, dict) else {}


def _params(arguments: Arguments, constants: dict[str, Any]) -> PPOParams:
    try:
        return hyperparameters.of_sb3_arguments(constants)
    except ValidationError as error:
        first, message = first_refusal(error)
        if not first["loc"]:
            raise CannotStart(f"{arguments.origin}: {message}.") from error
        field = str(first["loc"][0])
        hint = "correct it"
        if isinstance(first["input"], str) and _is_number(first["input"]):
            hint = "write it without quotes"
        raise CannotStart(f"{arguments.place(field)}: {field} is {first['input']!r}, {message}; {hint}.") from error


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _difference(each: Untranslated) -> Note:
    remedy = f"with --exact, {hyperparameters.REMEDIES[each.field]}"
    return Note(each.field, each.value, each.reason, remedy)


def _written_as(field: str, ppo: PPOParams, calls: dict[str, dict[str, Any]]) -> list[str]:
    """Keyword arguments that a hyperparameter determines: those that change with it, so that no table of names is needed."""
    value = getattr(ppo, field)
    other = not value if isinstance(value, bool) else value * 2 if isinstance(value, int) else (value or 1.0) / 2
    moved = PPOParams(**dataclasses.asdict(ppo) | {"normalize_advantage": False, field: other})
    before = {**calls["training"], **calls["env_runners"]}
    training, env_runners, _ = hyperparameters.to_rllib(moved)
    after = {**training, **env_runners}
    return [name for name in after if name in before and before[name] != after[name]]


def _schedule(
    arguments: Arguments, ppo: PPOParams, calls: dict[str, dict[str, Any]], notes: list[Note], remarks: dict[str, str]
) -> None:
    rate, total = arguments.values.get("learning_rate"), arguments.values.get("n_timesteps")
    if isinstance(rate, LinearSchedule) and not isinstance(total, int):
        instead = f"lr stays {rate.start:g}: how long the training is, nothing here says"
        notes.append(Note("learning_rate", rate, instead, "add n_timesteps, or write lr=[[0, first], [steps, 0.0]]"))
        remarks["lr"] = f"not translated: {rate!r}, without n_timesteps"
    elif isinstance(rate, LinearSchedule) and isinstance(total, int):
        calls["training"]["lr"] = hyperparameters.linear_decay(rate.start, total, ppo.rollout_steps)
        remarks["lr"] = f"{rate!r}, a rollout ahead: RLlib sets the rate after an update, SB3 before it"
    clip = arguments.values.get("clip_range")
    if isinstance(clip, LinearSchedule):
        instead = f"clip_param stays {clip.start:g}: RLlib has no schedule for it"
        remedy = (
            "keep clip_range constant on both sides; or override Learner.compute_loss_for_module and pass on a copy of its "
            "config with another clip_param"
        )
        notes.append(Note("clip_range", clip, instead, remedy))
        remarks["clip_param"] = f"not translated: {clip!r}"
    change = arguments.values.get("clip_range_vf")
    if isinstance(change, LinearSchedule):
        instead = "there is no such schedule, with ExactPPOLearner neither"
        notes.append(Note("clip_range_vf", change, instead, "keep it constant on both sides"))
