"""From what was given to calls of ``PPOConfig``, and what has no counterpart there."""

from __future__ import annotations

import dataclasses
from typing import Any

from pydantic import ValidationError

from parity.errors import CannotStart
from parity.frameworks import hyperparameters
from parity.frameworks.base import Untranslated
from parity.port.translate.given import Expression, Given, LinearSchedule
from parity.port.translate.surroundings import surroundings
from parity.task import PPOParams

_HYPERPARAMETERS = tuple(field.name for field in dataclasses.fields(PPOParams))
_EXACT = "parity.frameworks.rllib.exact"
_WRITE_YOURS = "write the number into this code"


@dataclasses.dataclass(frozen=True)
class Note:
    """An argument without a counterpart in ``PPOConfig``.

    Attributes:
        field: its name, SB3's or RL-Zoo's.
        value: what was given, or SB3's default.
        instead: what RLlib does.
        remedy: what to do about it.
    """

    field: str
    value: Any
    instead: str
    remedy: str


@dataclasses.dataclass(frozen=True)
class Imported:
    """A name that the code imports; nothing that was read is ever one."""

    name: str


@dataclasses.dataclass
class Translation:
    """Calls of ``PPOConfig``'s methods, in order.

    Attributes:
        given: what was translated.
        ppo: the hyperparameters, SB3's defaults filled in; a schedule by its first value.
        calls: method -> its keyword arguments, literals or `Imported`.
        imports: module -> names that those need.
        notes: what has no counterpart.
        remarks: keyword argument -> what a reader has to know at that line.
    """

    given: Given
    ppo: PPOParams
    calls: dict[str, dict[str, Any]]
    imports: dict[str, list[str]]
    notes: list[Note]
    remarks: dict[str, str]


def translate(given: Given, exact: bool = False) -> Translation:
    """``exact``: with parity's learner and env runner, which have what ``PPOConfig`` alone cannot express.

    Raises:
        CannotStart: a value has the wrong type or is out of range.
    """
    constants, notes, unknown = _constants(given)
    ppo = _params(given, constants)
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
    _schedule(given, ppo, calls, notes, remarks)
    for field, reason in given.assumed.items():
        if field not in constants:
            notes.append(
                Note(field, getattr(ppo, field), f"{getattr(ppo, field)} stands here: {reason}", "say it with --n-envs")
            )
    beside = surroundings(given)
    for method, arguments in beside.calls.items():
        calls[method] = calls.get(method, {}) | arguments
    notes += [Note(*each) for each in beside.notes]
    return Translation(given, ppo, {m: a for m, a in calls.items() if a}, imports, notes, remarks)


def _constants(given: Given) -> tuple[dict[str, Any], list[Note], dict[str, str]]:
    """Hyperparameters that are numbers; notes and remarks for those whose value nobody can tell from the source."""
    constants: dict[str, Any] = {}
    notes: list[Note] = []
    unknown: dict[str, str] = {}
    values = _adam_eps(given) | given.values
    for name in _HYPERPARAMETERS:
        if name not in values:
            continue
        found = values[name]
        if isinstance(found, LinearSchedule):
            if name not in ("learning_rate", "clip_range", "clip_range_vf"):
                raise CannotStart(f"{given.place(name)}: {name} cannot be a schedule in SB3; give a number.")
            constants[name] = found.start
        elif isinstance(found, Expression):
            default = getattr(hyperparameters.of_sb3_arguments({}), name)
            instead = f"{default!r}, SB3's default, stands here: what {found.text} gives is known only when it runs"
            remedy = _WRITE_YOURS
            if name == "learning_rate":
                remedy += ", or lr=[[0, first], [steps, last]]: RLlib interpolates over environment steps"
            elif name == "clip_range":
                remedy += "; RLlib has no schedule for it"
            elif name == "n_envs":
                remedy = "say it with --n-envs"
            notes.append(Note(name, found, instead, remedy))
            unknown[name] = f"not translated: {found.text}"
        else:
            constants[name] = found
    return constants, notes, unknown


def _adam_eps(given: Given) -> dict[str, Any]:
    """From ``policy_kwargs=dict(optimizer_kwargs=dict(eps=...))``; given without, PyTorch's default holds, not SB3's."""
    policy = given.values.get("policy_kwargs")
    options = policy.get("optimizer_kwargs") if isinstance(policy, dict) else None
    return {"adam_eps": options.get("eps", hyperparameters.TORCH_ADAM_EPS)} if isinstance(options, dict) else {}


def _params(given: Given, constants: dict[str, Any]) -> PPOParams:
    try:
        return hyperparameters.of_sb3_arguments(constants)
    except ValidationError as error:
        first: Any = error.errors()[0]
        message = first["msg"].removeprefix("Value error, ")
        message = message[0].lower() + message[1:]
        if not first["loc"]:
            raise CannotStart(f"{given.origin}: {message}.") from error
        field = str(first["loc"][0])
        hint = "correct it"
        if isinstance(first["input"], str) and _is_number(first["input"]):
            hint = "write it without quotes; YAML takes 3e-4 for text and 3.0e-4 for a number"
        raise CannotStart(f"{given.place(field)}: {field} is {first['input']!r}, {message}; {hint}.") from error


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
    """Keyword arguments that move with a hyperparameter: found by moving it, so that no second table of names is needed."""
    value = getattr(ppo, field)
    other = value * 2 if isinstance(value, int) else (value or 1.0) / 2
    moved = PPOParams(**dataclasses.asdict(ppo) | {"normalize_advantage": False, field: other})
    before = {**calls["training"], **calls["env_runners"]}
    training, env_runners, _ = hyperparameters.to_rllib(moved)
    return [name for name, found in {**training, **env_runners}.items() if name in before and before[name] != found]


def _schedule(
    given: Given, ppo: PPOParams, calls: dict[str, dict[str, Any]], notes: list[Note], remarks: dict[str, str]
) -> None:
    rate, total = given.values.get("learning_rate"), given.values.get("n_timesteps")
    if isinstance(rate, LinearSchedule) and not isinstance(total, int):
        instead = f"lr stays {rate.start:g}: how long the training is, nothing here says"
        notes.append(Note("learning_rate", rate, instead, "add n_timesteps, or write lr=[[0, first], [steps, 0.0]]"))
        remarks["lr"] = f"not translated: {rate!r}, without n_timesteps"
    elif isinstance(rate, LinearSchedule) and isinstance(total, int):
        calls["training"]["lr"] = hyperparameters.linear_decay(rate.start, total, ppo.rollout_steps)
        remarks["lr"] = f"{rate!r}, a rollout ahead: RLlib sets the rate after an update, SB3 before it"
    clip = given.values.get("clip_range")
    if isinstance(clip, LinearSchedule):
        instead = f"clip_param stays {clip.start:g}: RLlib has no schedule for it"
        remedy = (
            "keep clip_range constant on both sides; or override Learner.compute_loss_for_module and pass on a copy of its "
            "config with another clip_param"
        )
        notes.append(Note("clip_range", clip, instead, remedy))
        remarks["clip_param"] = f"not translated: {clip!r}"
    change = given.values.get("clip_range_vf")
    if isinstance(change, LinearSchedule):
        instead = "there is no such schedule, with ExactPPOLearner neither"
        notes.append(Note("clip_range_vf", change, instead, "keep it constant on both sides"))
