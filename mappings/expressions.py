"""Small safe expressions: a strict whitelist of Python's own syntax tree, made into bounded plain Python.

Whatever is not listed here does not evaluate: no attribute, no method, no call outside the named functions, no lambda,
comprehension, f-string, assignment or import. Arithmetic is exact on Decimal (38 digits; only a division rounds, half
even); a number literal with a point is a Decimal. Texts and numbers are bounded, so no expression takes long or much
memory.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from crm_core.errors import did_you_mean
from mappings.operations import FUNCTIONS, OPERATIONS

MAX_TEXT = 1000
MAX_NODES = 250
_MAX_DEPTH = 40
_MAX_DIGITS = 38

_BINARY: Mapping[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
    ast.FloorDiv: "floor_divide",
    ast.Mod: "modulo",
    ast.Pow: "power",
}
_COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn, ast.Is, ast.IsNot)
_ENTRY_POINTS = "counterfoil.functions"


class ExpressionFault(ValueError):
    """An expression that is not in the language; the text says what and what is known instead."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression.

    code: plain Python over the caller's variables, `OPERATIONS` and `call_<function>`. names: what it reads.
    """

    text: str
    code: str
    names: tuple[str, ...]
    functions: tuple[str, ...]


def compile_expression(
    text: str,
    *,
    variables: Mapping[str, str],
    names: Collection[str] | None,
    holder: str = "record",
    functions: Mapping[str, Callable[..., Any]] | None = None,
) -> Expression:
    """The expression as Python code.

    variables: words of the language -> Python variable (`record`, in parts also `item`, `position`). names: the
    top-level names that may be used, None = any; they are read from the variable `holder`. functions: named functions
    beside the built-in ones. Raises ExpressionFault.
    """
    if len(text) > MAX_TEXT:
        raise ExpressionFault(f"longer than {MAX_TEXT} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ExpressionFault(f"not an expression: {getattr(error, 'msg', None) or error}") from error
    writer = _Writer(text.strip(), variables, names, holder, {**(functions or {}), **FUNCTIONS})
    try:
        code = ast.unparse(writer.expression(tree.body, 0))
    except (RecursionError, ValueError) as error:
        if isinstance(error, ExpressionFault):
            raise
        raise ExpressionFault("nested too deeply") from error
    return Expression(text, code, tuple(dict.fromkeys(writer.read)), tuple(dict.fromkeys(writer.called)))


def evaluation_scope(functions: Mapping[str, Callable[..., Any]] | None = None) -> dict[str, Any]:
    """The globals in which the code of expressions runs: the operations and `call_<function>`, no builtins."""
    named = {**(functions or {}), **FUNCTIONS}
    return {"__builtins__": {}, **OPERATIONS, **{f"call_{name}": function for name, function in named.items()}}


def entry_point_functions(wanted: Collection[str]) -> dict[str, Callable[..., Any]]:
    """The functions of these names that installed distributions offer under `counterfoil.functions`.

    A built-in name cannot be replaced. Raises ExpressionFault when one is there but cannot be loaded.
    """
    missing = {name for name in wanted if name not in FUNCTIONS}
    if not missing:
        return {}
    from importlib.metadata import entry_points  # reads every installed distribution: only when a document asks for one

    found: dict[str, Callable[..., Any]] = {}
    for point in entry_points(group=_ENTRY_POINTS):
        if point.name in missing:
            try:
                found[point.name] = point.load()
            except (ImportError, AttributeError) as error:
                raise ExpressionFault(
                    f"function {point.name!r} cannot be loaded from {point.value}: {error}"
                ) from error
    return found


def called_names(text: str) -> set[str]:
    """The names that an expression calls; empty when it is not even Python."""
    try:
        tree = ast.parse(text[:MAX_TEXT].strip(), mode="eval")
        nodes = list(ast.walk(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    return {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}


class _Writer:
    """Writes the syntax tree anew from what is allowed; nothing of the given tree is passed on unseen."""

    def __init__(
        self,
        text: str,
        variables: Mapping[str, str],
        names: Collection[str] | None,
        holder: str,
        functions: Mapping[str, Callable[..., Any]],
    ) -> None:
        self.text, self.variables, self.names, self.holder = text, variables, names, holder
        self.functions = functions
        self.read: list[str] = []
        self.called: list[str] = []
        self.nodes = 0

    def expression(self, node: ast.expr, depth: int) -> ast.expr:
        self.nodes += 1
        if self.nodes > MAX_NODES or depth > _MAX_DEPTH:
            raise ExpressionFault("too long or nested too deeply")
        deeper = depth + 1
        match node:
            case ast.Constant():
                return self.constant(node)
            case ast.Name(name):
                return self.name(name)
            case ast.BoolOp(operator, values):
                return ast.BoolOp(operator, [self.expression(value, deeper) for value in values])
            case ast.UnaryOp(ast.Not(), operand):
                return ast.UnaryOp(ast.Not(), self.expression(operand, deeper))
            case ast.UnaryOp(ast.USub() | ast.UAdd() as sign, operand):
                name = "negate" if isinstance(sign, ast.USub) else "plus"
                return _call(name, self.expression(operand, deeper))
            case ast.BinOp(left, operator, right) if type(operator) in _BINARY:
                return _call(_BINARY[type(operator)], self.expression(left, deeper), self.expression(right, deeper))
            case ast.Compare(left, operators, others) if all(
                isinstance(operator, _COMPARISONS) for operator in operators
            ):
                return self.comparison(left, operators, others, deeper)
            case ast.IfExp(test, body, orelse):
                return ast.IfExp(*(self.expression(part, deeper) for part in (test, body, orelse)))
            case ast.Tuple(items) | ast.List(items):
                return ast.Tuple([self.expression(item, deeper) for item in items], ast.Load())
            case ast.Subscript(value, ast.Slice(lower, upper, None)):
                bounds = [self.expression(bound, deeper) if bound else ast.Constant(None) for bound in (lower, upper)]
                return _call("part_of", self.expression(value, deeper), *bounds)
            case ast.Subscript(value, index) if not isinstance(index, ast.Slice):
                return _call("pick", self.expression(value, deeper), self.expression(index, deeper))
            case ast.Call():
                return self.call(node, deeper)
        raise ExpressionFault(f"{_shown(self.text, node)} is not part of the expression language")

    def constant(self, node: ast.Constant) -> ast.expr:
        value = node.value
        if value is None or isinstance(value, (bool, str)):
            return ast.Constant(value)
        if isinstance(value, int):
            if len(str(abs(value))) > _MAX_DIGITS:
                raise ExpressionFault(f"a number has at most {_MAX_DIGITS} digits")
            return ast.Constant(value)
        if isinstance(value, float):
            literal = (ast.get_source_segment(self.text, node) or "").replace("_", "")
            if not re.fullmatch(r"[0-9]*\.?[0-9]*(e[+-]?[0-9]{1,2})?", literal, re.IGNORECASE) or len(literal) > 45:
                raise ExpressionFault(f"{literal!r} is not a number of at most {_MAX_DIGITS} digits")
            return _call("decimal", ast.Constant(literal))
        raise ExpressionFault(f"{_shown(self.text, node)} is not part of the expression language")

    def name(self, name: str) -> ast.expr:
        if name in self.variables:
            return ast.Name(self.variables[name], ast.Load())
        if self.names is not None and name not in self.names:
            known = [*self.names, *self.variables]
            raise ExpressionFault(f"the record has no {name!r}{did_you_mean(name, known)}")
        self.read.append(name)
        return _call("pick", ast.Name(self.holder, ast.Load()), ast.Constant(name))

    def comparison(self, left: ast.expr, operators: list[ast.cmpop], others: list[ast.expr], depth: int) -> ast.expr:
        for operator, other in zip(operators, others, strict=True):
            is_single = isinstance(other, ast.Constant) and (other.value is None or isinstance(other.value, bool))
            if isinstance(operator, (ast.Is, ast.IsNot)) and not is_single:
                raise ExpressionFault("`is` compares with None, True or False only; use ==")
        return ast.Compare(self.expression(left, depth), operators, [self.expression(other, depth) for other in others])

    def call(self, node: ast.Call, depth: int) -> ast.expr:
        if not isinstance(node.func, ast.Name):
            raise ExpressionFault(f"{_shown(self.text, node.func)}: only named functions can be called")
        name = node.func.id
        if name not in self.functions:
            raise ExpressionFault(f"there is no function {name!r}{did_you_mean(name, self.functions)}")
        if node.keywords or any(isinstance(argument, ast.Starred) for argument in node.args):
            raise ExpressionFault(f"{name}: arguments are given by position")
        self.called.append(name)
        return _call(f"call_{name}", *(self.expression(argument, depth) for argument in node.args))


def _call(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])


def _shown(text: str, node: ast.expr) -> str:
    segment = ast.get_source_segment(text, node) or type(node).__name__
    return repr(segment if len(segment) <= 40 else segment[:39] + "…")
