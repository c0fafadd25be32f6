"""Conditions between hyperparameters, such as ``d_proj % injection_heads == 0``.

An expression of a study file is parsed, never executed: names of settings, numbers, words,
arithmetic, comparisons, ``and``, ``or``, ``not``, ``in`` and ``min``, ``max``, ``abs``.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda one, other: one in other,
    ast.NotIn: lambda one, other: one not in other,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {"min": min, "max": max, "abs": abs}
_WORDS = {"true": True, "false": False, "none": None}
"""As YAML writes them."""
LONGEST = 500
"""Characters of an expression: longer ones are no condition that a person reads."""


class Constraint:
    """One condition.

    Args:
        text: The expression.

    Raises:
        ValueError: It is not an expression of the kinds above.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > LONGEST:
            raise ValueError(f"longer than {LONGEST} characters")
        try:
            self._tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            reason = error.msg if isinstance(error, SyntaxError) else str(error)
            raise ValueError(
                f"{text!r} is not an expression ({reason}); expected one such as "
                "d_emb <= 2 * d_proj"
            ) from None
        self.names: frozenset[str] = frozenset(self._checked(self._tree))

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether the values fulfil it.

        Raises:
            ValueError: They cannot be put into it, as a word into an arithmetic.
        """
        try:
            return bool(_value(self._tree, values))
        except (TypeError, ZeroDivisionError, OverflowError) as error:
            named = ", ".join(f"{name} = {values[name]!r}" for name in sorted(self.names))
            raise ValueError(f"{self.text!r} has no answer for {named} ({error})") from None

    def _checked(self, node: ast.expr) -> set[str]:
        """The names in an expression; ValueError where it has a part that is not allowed."""
        match node:
            case ast.Constant(value=bool() | int() | float() | str() | None):
                return set()
            case ast.Name(id=name):
                return set() if name in _WORDS else {name}
            case ast.BoolOp(values=parts) | ast.List(elts=parts) | ast.Tuple(elts=parts):
                return set().union(*map(self._checked, parts))
            case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.UAdd(), operand=part):
                return self._checked(part)
            case ast.BinOp(left=left, op=kind, right=right) if type(kind) in _BINARY:
                return self._checked(left) | self._checked(right)
            case ast.Compare(left=left, ops=ops, comparators=others) if all(
                type(op) in _COMPARISONS for op in ops
            ):
                return self._checked(left).union(*map(self._checked, others))
            case ast.Call(func=ast.Name(id=name), args=parts, keywords=[]) if name in _FUNCTIONS:
                return set().union(*map(self._checked, parts))
        raise ValueError(
            f"{ast.unparse(node)!r} in {self.text!r} is not allowed; a constraint has names, "
            "numbers, + - * / // %, comparisons, and, or, not, in, min, max and abs"
        )


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return _WORDS[name] if name in _WORDS else values[name]
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return [_value(part, values) for part in parts]
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(_value(part, values) for part in parts)
        case ast.BoolOp(values=parts):
            return any(_value(part, values) for part in parts)
        case ast.UnaryOp(op=ast.Not(), operand=part):
            return not _value(part, values)
        case ast.UnaryOp(op=kind, operand=part):
            value = _value(part, values)
            return -value if isinstance(kind, ast.USub) else +value
        case ast.BinOp(left=left, op=kind, right=right):
            return _BINARY[type(kind)](_value(left, values), _value(right, values))
        case ast.Compare(left=left, ops=ops, comparators=others):
            one = _value(left, values)
            for op, part in zip(ops, others, strict=True):
                other = _value(part, values)
                if not _COMPARISONS[type(op)](one, other):
                    return False
                one = other
            return True
        case ast.Call(func=ast.Name(id=name), args=parts):
            return _FUNCTIONS[name](*(_value(part, values) for part in parts))
    raise AssertionError("it was checked")
