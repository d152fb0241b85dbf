"""The value of an expression in source code, as far as it is known without running anything."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from parity.port.translate.arguments import Expression

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}
_INFINITIES = ("math.inf", "np.inf", "numpy.inf")
# No hyperparameter is larger; without a bound, 9**9**9 would be computed to the end.
_LARGEST_EXPONENT, _LARGEST_BASE, _LONGEST, _LARGEST = 64, 10**9, 64, 10**300


class Names(dict[str, ast.expr]):
    """What is assigned in a file. Each is computed once: sixty doublings one after the other would be 2**60 steps."""

    def __init__(self, assigned: Mapping[str, ast.expr] | None = None) -> None:
        super().__init__(assigned or {})
        self._known: dict[str, Any] = {}

    def value(self, name: str) -> Any:
        if name not in self._known:
            self._known[name] = Expression(name)  # what is assigned in a circle has no value
            self._known[name] = value(self[name], self)
        result = self._known[name]
        return Expression(name) if isinstance(result, Expression) else result


def value(node: ast.expr, names: Names) -> Any:
    """A number, string, None, list (of a tuple or a set too) or dict, or an `Expression`; in containers, entry by entry.

    ``names``: what is assigned in the same file, to look a name up in.
    """
    match node:
        case ast.Constant(value=result) if not isinstance(result, bytes | complex) and result is not ...:
            return result
        case ast.Name(id=name) if name in names:
            return names.value(name)
        case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
            starred = any(isinstance(part, ast.Starred) for part in parts)
            return _unknown(node) if starred else [value(part, names) for part in parts]
        case ast.Dict(keys=keys, values=parts) if all(isinstance(key, ast.Constant) for key in keys):
            return {key.value: value(part, names) for key, part in zip(keys, parts, strict=True)}  # type: ignore[union-attr]
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords) if all(each.arg for each in keywords):
            return {each.arg: value(each.value, names) for each in keywords}
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            result = value(operand, names)
            return _UNARY[type(op)](result) if _is_number(result) else _unknown(node)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _computed(type(op), value(left, names), value(right, names), node)
        case ast.Call(func=ast.Name(id="int" | "float" as kind), args=[only], keywords=[]):
            return _converted(kind, value(only, names), node)
        case ast.Attribute() if ast.unparse(node) in _INFINITIES:
            return math.inf
    return _unknown(node)


def _unknown(node: ast.expr) -> Expression:
    return Expression(" ".join(ast.unparse(node).split()))


def _is_number(result: Any) -> bool:
    return isinstance(result, int | float) and not isinstance(result, bool)


def _computed(op: type[ast.operator], left: Any, right: Any, node: ast.expr) -> Any:
    if op is ast.Mult and isinstance(left, list) and isinstance(right, int) and 0 <= right * len(left) <= _LONGEST:
        return left * right
    if not (_is_number(left) and _is_number(right)):
        return _unknown(node)
    if op is ast.Pow and (abs(right) > _LARGEST_EXPONENT or abs(left) > _LARGEST_BASE):
        return _unknown(node)
    try:
        result = _BINARY[op](left, right)
    except (ArithmeticError, ValueError):
        return _unknown(node)
    too_large = isinstance(result, int) and abs(result) > _LARGEST
    return result if _is_number(result) and not too_large else _unknown(node)


def _converted(kind: str, result: Any, node: ast.expr) -> Any:
    try:
        if isinstance(result, int | float | str):
            return int(result) if kind == "int" else float(result)
    except (ArithmeticError, ValueError):
        pass
    return _unknown(node)
