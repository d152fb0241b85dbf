"""The arguments of a call ``MaskablePPO(...)`` or ``PPO(...)`` in Python source, which is parsed and never run."""

from __future__ import annotations

import ast
from bisect import bisect_left
from collections import Counter
from typing import Any

from parity.errors import CannotStart, did_you_mean
from parity.port.translate.arguments import PARAMETERS, Algorithm, Arguments, Expression
from parity.port.translate.expressions import Names, value

# Wrappers of a vectorised environment -> the key of RL-Zoo that says the same.
_WRAPPERS = {"VecNormalize": "normalize", "VecFrameStack": "frame_stack"}
_TRANSPARENT = ("VecMonitor", "VecTransposeImage", "VecCheckNan")


def read_call(text: str, name: str, line: int | None = None) -> Arguments:
    """Reads the arguments of the call in ``text``; ``line``: where it begins, if there are several.

    Raises:
        CannotStart: a syntax error, no call or several, or arguments that the constructor does not have.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise CannotStart(f"{name}, line {error.lineno or 1}: {error.msg}; give Python that runs.") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise CannotStart(f"{name}: it cannot be parsed as Python ({error}); give the call alone.") from error
    call, algorithm = _the_call(tree, name, line)
    names = assigned(tree)
    origin = f"{name}, line {call.lineno}"
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    env: ast.expr | None = None
    for argument, node in _arguments(call, algorithm, names, origin):
        if argument in values or (argument == "env" and env is not None):
            raise CannotStart(f"{name}, line {node.lineno}: {argument} is given twice; keep one.")
        places[argument] = f"{name}, line {node.lineno}"
        if argument == "env":
            env = node
        else:
            values[argument] = value(node, names)
    assumed = _environment(env, tree, names, values)
    return Arguments(origin, algorithm, values, places, assumed)


def _the_call(tree: ast.Module, name: str, line: int | None) -> tuple[ast.Call, Algorithm]:
    classes = _imported_classes(tree)
    calls = [
        (node, algorithm)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and (algorithm := _callee(node.func, classes)) is not None
    ]
    if not calls and line is None:
        raise CannotStart(f"{name}: no call of MaskablePPO or PPO is in it; give the file or snippet that has one.")
    lines = ", ".join(str(node.lineno) for node, _ in calls)
    chosen = [call for call in calls if line in (None, call[0].lineno)]
    if not chosen:
        raise CannotStart(
            f"{name}, line {line}: no call of MaskablePPO or PPO begins there; "
            + (f"one begins in line {lines}." if calls else "there is none in the whole file.")
        )
    if len(chosen) > 1:
        raise CannotStart(f"{name}: MaskablePPO or PPO is called in lines {lines}; choose one with --line.")
    return chosen[0]


def _imported_classes(tree: ast.Module) -> dict[str, Algorithm | None]:
    """Name in the file -> the class that it was imported as; None for a class of another library."""
    classes: dict[str, Algorithm | None] = {"MaskablePPO": "MaskablePPO", "PPO": "PPO"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            ours = node.module.partition(".")[0] in ("stable_baselines3", "sb3_contrib")
            for alias in node.names:
                if alias.name == "MaskablePPO" or alias.name == "PPO":
                    classes[alias.asname or alias.name] = alias.name if ours else None  # type: ignore[assignment]
    return classes


def _callee(node: ast.expr, classes: dict[str, Algorithm | None]) -> Algorithm | None:
    match node:
        case ast.Name(id=name):
            return classes.get(name)
        case ast.Attribute(attr="MaskablePPO"):
            return "MaskablePPO"
        case ast.Attribute(value=module, attr="PPO") if "ray" not in ast.unparse(module).split("."):
            return "PPO"
    return None


def assigned(tree: ast.Module) -> Names:
    """Names that are bound once in the whole file, by an assignment."""
    bound: Counter[str] = Counter()
    assigned: dict[str, ast.expr] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                bound[name] += 1
            case ast.arg(arg=name) | ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                bound[name] += 1
            case ast.alias(name=imported, asname=renamed):
                bound[renamed or imported.partition(".")[0]] += 1
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                bound.update(names)
            case ast.AugAssign(target=ast.Name(id=name)):
                bound[name] += 1
            # Changed after it was assigned: at the call it holds something else than the assignment says.
            case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()):
                bound[name] += 1
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="update" | "append" | "extend" | "pop")):
                bound[name] += 1
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=expression):
                assigned[name] = expression
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as expression):
                assigned[name] = expression
    return Names({name: expression for name, expression in assigned.items() if bound[name] == 1})


def _arguments(call: ast.Call, algorithm: Algorithm, names: Names, origin: str) -> list[tuple[str, ast.expr]]:
    parameters = PARAMETERS[algorithm]
    if any(isinstance(each, ast.Starred) for each in call.args):
        raise CannotStart(f"{origin}: a starred argument hides which arguments there are; write them out.")
    if len(call.args) > len(parameters):
        raise CannotStart(f"{origin}: {len(call.args)} positional arguments, {algorithm} takes {len(parameters)}.")
    arguments = list(zip(parameters, call.args, strict=False))
    for each in call.keywords:
        if each.arg is not None:
            arguments.append((each.arg, each.value))
            continue
        inner = names.get(each.value.id) if isinstance(each.value, ast.Name) else each.value
        match inner:
            case ast.Dict(keys=keys, values=parts) if all(
                isinstance(k, ast.Constant) and isinstance(k.value, str) for k in keys
            ):
                arguments += [(k.value, part) for k, part in zip(keys, parts, strict=True)]  # type: ignore[union-attr, misc]
            case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords) if all(k.arg for k in keywords):
                arguments += [(k.arg, k.value) for k in keywords]  # type: ignore[misc]
            case _:
                raise CannotStart(
                    f"{origin}: **{ast.unparse(each.value)} hides which arguments there are; write them out, or assign "
                    "one dict literal to that name."
                )
    for name, node in arguments:
        if name not in parameters:
            hint = did_you_mean(name, parameters, "delete it.")
            raise CannotStart(
                f"{origin.rpartition(', line')[0]}, line {node.lineno}: {algorithm} has no argument {name}; {hint}"
            )
    return arguments


def _environment(node: ast.expr | None, tree: ast.Module, names: Names, values: dict[str, Any]) -> dict[str, str]:
    """Fills in ``env``, ``n_envs`` and what wraps the environment. Returns what had to be assumed."""
    assignments = _assignments(tree)
    before = node.lineno if node is not None else 0
    while node is not None:
        if isinstance(node, ast.Name) and (assignment := _last(assignments.get(node.id, []), before)):
            node, before = assignment.value, assignment.lineno
        elif isinstance(node, ast.Call) and (kind := _called(node)) in (*_WRAPPERS, *_TRANSPARENT) and node.args:
            if kind in _WRAPPERS:
                rest = [ast.unparse(each) for each in (*node.args[1:], *node.keywords)]
                values[_WRAPPERS[kind]] = Expression(f"{kind}({', '.join(['env', *rest])})")
            node = node.args[0]
        else:
            break
    if node is None:
        return {"n_envs": "no environment is given"}
    env, count = _made(node, names)
    if env is not None:
        values["env"] = env
    if isinstance(count, int) and count > 0:
        values["n_envs"] = count
        return {}
    return {"n_envs": "the environment's source does not say how many there are"}


def _assignments(tree: ast.Module) -> dict[str, list[ast.Assign]]:
    """All of the form ``name = ...``, by name, from the first line to the last."""
    by_name: dict[str, list[ast.Assign]] = {}
    for node in sorted((each for each in ast.walk(tree) if isinstance(each, ast.Assign)), key=lambda each: each.lineno):
        for target in node.targets:
            if isinstance(target, ast.Name):
                by_name.setdefault(target.id, []).append(node)
    return by_name


def _last(assignments: list[ast.Assign], before: int) -> ast.Assign | None:
    """The last above a line: environments are often wrapped under one name."""
    place = bisect_left(assignments, before, key=lambda each: each.lineno)
    return assignments[place - 1] if place else None


def _called(node: ast.Call) -> str:
    """The last part of what is called."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _made(node: ast.expr, names: Names) -> tuple[Any, Any]:
    """The environment's id or the expression that makes it, and their number; None for what the source does not say."""
    if not isinstance(node, ast.Call):
        env = value(node, names)
        return env, 1 if isinstance(env, str) else None
    keywords = {each.arg: each.value for each in node.keywords}
    first = node.args[0] if node.args else keywords.get("env_id") or keywords.get("id") or keywords.get("env_fns")
    match _called(node):
        case "make_vec_env" if first is not None:
            given = node.args[1] if len(node.args) > 1 else keywords.get("n_envs")
            return value(first, names), 1 if given is None else value(given, names)
        case "make" if first is not None:
            return value(first, names), 1
        case "DummyVecEnv" | "SubprocVecEnv" if first is not None:
            return value(node, names), _length(first, names)
    return value(node, names), None


def _length(node: ast.expr, names: Names) -> int | None:
    """How many environments are in the list that a VecEnv is made of; None where the source does not say."""
    if isinstance(node, ast.Name) and node.id in names:
        node = names[node.id]
    match node:
        case ast.List(elts=parts) if not any(isinstance(part, ast.Starred) for part in parts):
            return len(parts)
        case ast.BinOp(left=ast.List(elts=parts), op=ast.Mult(), right=times):
            factor = value(times, names)
            return len(parts) * factor if isinstance(factor, int) else None
        case ast.ListComp(generators=[ast.comprehension(iter=ast.Call(func=ast.Name(id="range"), args=[n]), ifs=[])]):
            count = value(n, names)
            return count if isinstance(count, int) else None
    return None
