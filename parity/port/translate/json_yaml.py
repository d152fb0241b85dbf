"""Arguments in JSON, or in RL-Zoo's YAML, keyed by environment."""

from __future__ import annotations

import ast
import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

import yaml

from parity.errors import CannotStart, did_you_mean, one_line
from parity.port.translate.arguments import (
    MOST_DEPTH,
    MOST_VALUES,
    PARAMETERS,
    ZOO_KEYS,
    Arguments,
    Expression,
    LinearSchedule,
)
from parity.port.translate.expressions import Names, value

KNOWN = tuple(dict.fromkeys([*PARAMETERS["PPO"], *ZOO_KEYS]))
# Where RL-Zoo writes Python in a string.
_PYTHON = ("policy_kwargs", "normalize", "rollout_buffer_kwargs", "env_kwargs", "monitor_kwargs")
_WORDS = {list: "a list", str: "text", type(None): "nothing"}
_LINEAR = re.compile(r"lin_([0-9.eE+-]+)")
# A number for YAML 1.2 and for its reader, text for PyYAML, which wants a point in it.
_WITHOUT_POINT = re.compile(r"[+-]?[0-9]+[eE][+-]?[0-9]{1,3}")


def read_mapping(text: str, name: str, form: Literal["json", "yaml"], env: str | None = None) -> Arguments:
    """Reads the arguments in ``text``; ``env``: under which key, where the file is keyed by environment.

    Raises:
        CannotStart: it cannot be read, no entry was chosen, or a key is unknown.
    """
    mapping = _json(text, name) if form == "json" else _yaml(text, name)
    origin = name
    if _is_keyed(mapping):
        entry = _choose(mapping, name, env)
        origin, mapping = f"{name}, {entry}", mapping[entry] | {"env": mapping[entry].get("env", entry)}
    elif env is not None:
        raise CannotStart(f"--env {env}: {name} is not keyed by environment; leave --env out.")
    for key in mapping:
        if key not in KNOWN:
            hint = did_you_mean(key, KNOWN, "delete it.")
            raise CannotStart(f"{origin}, {key}: MaskablePPO, PPO and RL-Zoo have no such argument; {hint}")
    values = {key: _value(key, given, f"{origin}, {key}") for key, given in mapping.items() if given is not None}
    assumed = {} if "n_envs" in values else {"n_envs": "n_envs is left out"}
    # RL-Zoo trains PPO; JSON is a person's own, and masks are what parity is for.
    algorithm: Literal["MaskablePPO", "PPO"] = "PPO" if form == "yaml" or "use_sde" in values else "MaskablePPO"
    return Arguments(origin, algorithm, values, {key: f"{origin}, {key}" for key in values}, assumed)


def _json(text: str, name: str) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for key, times in Counter(key for key, _ in pairs).items():
            if times > 1:
                raise CannotStart(f"{name}, {key}: it is given twice; keep one.")
        return dict(pairs)

    try:
        mapping = json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise CannotStart(f"{name}, line {error.lineno}: {error.msg}; correct the JSON.") from error
    except (RecursionError, ValueError) as error:
        raise CannotStart(f"{name}: it cannot be read as JSON ({one_line(error)}).") from error
    return _mapping(mapping, name)


def _yaml(text: str, name: str) -> dict[str, Any]:
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is not None and _size(node, {}) > MOST_VALUES:
            raise CannotStart(f"{name}: its aliases stand for more than {MOST_VALUES} values; write out what you need.")
        for key in _given_twice(node):
            raise CannotStart(f"{name}, line {key.start_mark.line + 1}: {key.value} is given twice; keep one.")
        mapping = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        remedy = "correct the YAML"
        if isinstance(error, yaml.constructor.ConstructorError):
            remedy = "plain YAML only, a tag that makes Python objects is not read"
        raise CannotStart(f"{name}, line {line}: {one_line(Exception(error.problem))}; {remedy}.") from error
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
        raise CannotStart(f"{name}: it cannot be read as YAML ({one_line(error)}).") from error
    return _mapping(mapping, name)


class _Loader(yaml.SafeLoader):
    """Stops where mappings and lists stand too deep within each other; Python's own limit is reached seconds later."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise yaml.YAMLError("it is nested too deeply")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _size(node: yaml.Node, known: dict[int, float]) -> float:
    """How many values a YAML node stands for with its aliases written out; infinite where it holds itself."""
    if id(node) not in known:
        known[id(node)] = math.inf
        parts = node.value if isinstance(node, yaml.CollectionNode) else ()
        inner = (each for part in parts for each in (part if isinstance(part, tuple) else (part,)))
        known[id(node)] = 1 + sum(_size(each, known) for each in inner)
    return known[id(node)]


def _given_twice(node: yaml.Node | None) -> Iterator[yaml.ScalarNode]:
    """Keys of the mapping, and of mappings right below it, that stand there for the second time."""
    inner = node.value if isinstance(node, yaml.MappingNode) else ()
    for mapping in (node, *(below for _, below in inner)):
        seen: set[str] = set()
        for key, _ in mapping.value if isinstance(mapping, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    yield key
                seen.add(key.value)


def _mapping(mapping: Any, name: str) -> dict[str, Any]:
    if not isinstance(mapping, dict):
        raise CannotStart(
            f"{name}: {_WORDS.get(type(mapping), 'one value')} is in it; give a mapping of arguments, n_steps: 256 and so on."
        )
    return mapping


def _is_keyed(mapping: dict[Any, Any]) -> bool:
    return bool(mapping) and all(isinstance(entry, dict) and key not in KNOWN for key, entry in mapping.items())


def _choose(mapping: dict[Any, Any], name: str, env: str | None) -> Any:
    if env is not None and env not in mapping:
        hint = did_you_mean(env, map(str, mapping), f"there are {_some(mapping)}.")
        raise CannotStart(f"--env {env}: {name} has no such environment; {hint}")
    if env is None and len(mapping) > 1:
        raise CannotStart(f"{name}: it has {len(mapping)} environments; choose one with --env: {_some(mapping)}.")
    return env if env is not None else next(iter(mapping))


def _some(mapping: dict[Any, Any]) -> str:
    names = [str(key) for key in mapping]
    return ", ".join(names[:6]) + (", …" if len(names) > 6 else "")


def _value(key: str, given: Any, place: str) -> Any:
    if isinstance(given, str) and _WITHOUT_POINT.fullmatch(given):
        given = float(given)
    if isinstance(given, str) and (linear := _LINEAR.fullmatch(given.strip())):
        try:
            return LinearSchedule(float(linear[1]))
        except ValueError:
            raise CannotStart(f'{place}: "{given}" is no schedule; write lin_ and a number, as in lin_3e-4.') from None
    if isinstance(given, str) and key in _PYTHON:
        try:
            return value(ast.parse(given.strip(), mode="eval").body, Names())
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
