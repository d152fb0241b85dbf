"""Arguments as a mapping: JSON, or the YAML of RL-Zoo, keyed by environment."""

from __future__ import annotations

import ast
import difflib
import json
import re
from typing import Any, Literal

import yaml

from parity.errors import CannotStart, one_line
from parity.port.translate.expressions import value
from parity.port.translate.given import PARAMETERS, ZOO_KEYS, Expression, Given, LinearSchedule

KNOWN = tuple(dict.fromkeys([*PARAMETERS["PPO"], *ZOO_KEYS]))
# Where RL-Zoo writes Python in a string.
_PYTHON = ("policy_kwargs", "normalize", "rollout_buffer_kwargs", "env_kwargs", "monitor_kwargs")
_WORDS = {list: "a list", str: "text", type(None): "nothing"}
_LINEAR = re.compile(r"lin_([0-9.eE+-]+)")


def read_mapping(text: str, name: str, form: Literal["json", "yaml"], env: str | None = None) -> Given:
    """``env``: which entry, where the file is keyed by environment.

    Raises:
        CannotStart: it cannot be read, no entry was chosen, or a key is unknown.
    """
    found = _json(text, name) if form == "json" else _yaml(text, name)
    origin = name
    if _is_keyed(found):
        entry = _choose(found, name, env)
        origin, found = f"{name}, {entry}", found[entry] | {"env": found[entry].get("env", entry)}
    elif env is not None:
        raise CannotStart(f"--env {env}: {name} is not keyed by environment; leave --env out.")
    for key in found:
        if key not in KNOWN:
            close = difflib.get_close_matches(str(key), KNOWN, n=1)
            raise CannotStart(
                f"{origin}, {key}: MaskablePPO, PPO and RL-Zoo have no such argument; "
                + (f"did you mean {close[0]}?" if close else "delete it.")
            )
    values = {key: _value(key, given, f"{origin}, {key}") for key, given in found.items() if given is not None}
    assumed = {} if "n_envs" in values else {"n_envs": "n_envs is left out"}
    # RL-Zoo trains PPO; JSON is a person's own, and masks are what parity is for.
    algorithm: Literal["MaskablePPO", "PPO"] = "PPO" if form == "yaml" or "use_sde" in values else "MaskablePPO"
    return Given(origin, algorithm, values, {key: f"{origin}, {key}" for key in values}, assumed)


def _json(text: str, name: str) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for key in {key for key, _ in pairs if sum(key == other for other, _ in pairs) > 1}:
            raise CannotStart(f"{name}, {key}: it is given twice; keep one.")
        return dict(pairs)

    try:
        found = json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise CannotStart(f"{name}, line {error.lineno}: {error.msg}; correct the JSON.") from error
    except (RecursionError, ValueError) as error:
        raise CannotStart(f"{name}: it cannot be read as JSON ({one_line(error)}).") from error
    return _mapping(found, name)


def _yaml(text: str, name: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text)
    except yaml.constructor.ConstructorError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise CannotStart(
            f"{name}, line {line}: {one_line(Exception(error.problem))}; plain YAML only, a tag that makes Python objects "
            "is not read."
        ) from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise CannotStart(f"{name}, line {line}: {error.problem}; correct the YAML.") from error
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
        raise CannotStart(f"{name}: it cannot be read as YAML ({one_line(error)}).") from error
    return _mapping(found, name)


def _mapping(found: Any, name: str) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise CannotStart(
            f"{name}: {_WORDS.get(type(found), 'one value')} is in it; give a mapping of arguments, n_steps: 256 and so on."
        )
    return found


def _is_keyed(found: dict[Any, Any]) -> bool:
    return bool(found) and all(isinstance(entry, dict) and key not in KNOWN for key, entry in found.items())


def _choose(found: dict[Any, Any], name: str, env: str | None) -> Any:
    if env is not None and env not in found:
        close = difflib.get_close_matches(env, map(str, found), n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {_some(found)}."
        raise CannotStart(f"--env {env}: {name} has no such environment; {hint}")
    if env is None and len(found) > 1:
        raise CannotStart(f"{name}: it has {len(found)} environments; choose one with --env: {_some(found)}.")
    return env if env is not None else next(iter(found))


def _some(found: dict[Any, Any]) -> str:
    names = [str(key) for key in found]
    return ", ".join(names[:6]) + (", …" if len(names) > 6 else "")


def _value(key: str, given: Any, place: str) -> Any:
    if isinstance(given, str) and (linear := _LINEAR.fullmatch(given.strip())):
        try:
            return LinearSchedule(float(linear[1]))
        except ValueError:
            raise CannotStart(f'{place}: "{given}" is no schedule; write lin_ and a number, as in lin_3e-4.') from None
    if isinstance(given, str) and key in _PYTHON:
        try:
            return value(ast.parse(given.strip(), mode="eval").body, {})
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise CannotStart(f"{place}: {one_line(error)}; give one Python expression, as in dict(a=1).") from error
    if key == "n_timesteps":
        if isinstance(given, bool) or not isinstance(given, int | float) or given < 1 or given != given // 1:
            raise CannotStart(f"{place}: {given!r} is no number of steps; give a whole number.")
        return int(given)
    if key in ("policy_kwargs", "rollout_buffer_kwargs") and not isinstance(given, dict):
        raise CannotStart(f"{place}: {given!r} is no mapping; give one, or a string such as dict(net_arch=[64, 64]).")
    if key == "policy_kwargs" and isinstance(given.get("activation_fn"), str):
        return given | {"activation_fn": Expression(given["activation_fn"])}
    return given
