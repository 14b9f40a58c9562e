"""Which options some code reads, by class: `self.config.views` of another class does not count as a read of ours."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import textwrap
import types
import typing
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import baseh3d_ns

Read = tuple[type, str]


@cache
def reads_in_package() -> frozenset[Read]:
    """(class, attribute) of every attribute read in the package whose object has a known type."""
    found: set[Read] = set()
    for info in pkgutil.walk_packages(baseh3d_ns.__path__, "baseh3d_ns."):
        module = importlib.import_module(info.name)
        found |= set(_reads(ast.parse(Path(module.__file__).read_text()), vars(module), {}))
    return frozenset(found)


def _reads(scope: ast.AST, names: dict[str, Any], known: dict[str, set[type]]) -> Iterator[Read]:
    """The reads of a module, class or function, with what is `known` about its variables from outside."""
    body = list(_own_nodes(scope))
    known = dict(known)
    if isinstance(scope, ast.FunctionDef | ast.Lambda):
        arguments = [*scope.args.posonlyargs, *scope.args.args, *scope.args.kwonlyargs]
        known |= {arg.arg: _classes(arg.annotation, names) for arg in arguments if arg.annotation}
    for node in body:
        known |= dict(_bindings(node, names, known))
    for node in body:
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            for owner in _types(node.value, names, known):
                yield owner, node.attr
        if isinstance(node, ast.FunctionDef | ast.Lambda):
            yield from _reads(node, names, known)
        if isinstance(node, ast.ClassDef):
            own = names.get(node.name)
            yield from _reads(node, names, known | ({"self": {own}, "cls": {own}} if isinstance(own, type) else {}))


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """All nodes below, without what lies in nested functions and classes."""
    for child in ast.iter_child_nodes(scope):
        yield child
        if not isinstance(child, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            yield from _own_nodes(child)


def _bindings(node: ast.AST, names: dict[str, Any], known: dict[str, set[type]]) -> Iterator[tuple[str, set[type]]]:
    """Variables that a statement binds, with the types of their values."""
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id, _classes(node.annotation, names)
    if isinstance(node, ast.NamedExpr):
        yield node.target.id, _types(node.value, names, known)
    if isinstance(node, ast.Assign):
        for target in node.targets:
            together = isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
            pairs = zip(target.elts, node.value.elts, strict=False) if together else [(target, node.value)]  # type: ignore[union-attr]
            for name, value in pairs:
                if isinstance(name, ast.Name):
                    yield name.id, _types(value, names, known)


def _types(node: ast.AST, names: dict[str, Any], known: dict[str, set[type]]) -> set[type]:
    """Classes that the value of an expression may have; empty when nothing says so."""
    if isinstance(node, ast.Name):
        return known.get(node.id, set())
    if isinstance(node, ast.Attribute):
        return {found for owner in _types(node.value, names, known) for found in _attribute(owner, node.attr)}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        called = names.get(node.func.id)
        return {called} if isinstance(called, type) else _returned(called)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        owners = _types(node.func.value, names, known)
        return {found for owner in owners for found in _returned(getattr(owner, node.func.attr, None))}
    if isinstance(node, ast.IfExp):
        return _types(node.body, names, known) | _types(node.orelse, names, known)
    if isinstance(node, ast.BoolOp):
        return {found for value in node.values for found in _types(value, names, known)}
    return set()


def _returned(called: Any) -> set[type]:
    if not isinstance(called, types.FunctionType):
        return set()
    return _classes(called.__annotations__.get("return"), called.__globals__)


@cache
def _attribute(owner: type, name: str) -> frozenset[type]:
    """Classes of `owner.name`, as annotated in its class, by its property, or as its constructor sets it."""
    for cls in owner.__mro__:
        member, names = vars(cls).get(name), vars(importlib.import_module(cls.__module__))
        if isinstance(member, property):
            return frozenset(_returned(member.fget))
        if name in vars(cls).get("__annotations__", {}):
            return frozenset(_classes(vars(cls)["__annotations__"][name], names))
        if isinstance(start := vars(cls).get("__init__"), types.FunctionType) and start.__module__ == cls.__module__:
            known = {arg: _classes(kind, names) for arg, kind in start.__annotations__.items()}
            for node in ast.walk(ast.parse(_source(start))):
                if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == f"self.{name}":
                    return frozenset(_types(node.value, names, known))
    return frozenset()


def _classes(annotation: Any, names: dict[str, Any]) -> set[type]:
    """The classes that an annotation names, through Optional, Union and Annotated."""
    if isinstance(annotation, ast.AST):
        annotation = ast.unparse(annotation)
    if isinstance(annotation, str):
        try:
            annotation = eval(annotation, _classes_of_package() | names)
        except (NameError, TypeError, AttributeError):
            return set()
    if isinstance(annotation, type):
        return {annotation}
    if typing.get_origin(annotation) is typing.Literal:
        return set()
    parts = typing.get_args(annotation) if typing.get_origin(annotation) is not None else ()
    if typing.get_origin(annotation) is typing.Annotated:
        parts = parts[:1]
    return {found for part in parts for found in _classes(part, names)}


@cache
def _classes_of_package() -> dict[str, Any]:
    """Every class by its name, for annotations whose import is for type checkers only."""
    modules = [importlib.import_module(info.name) for info in pkgutil.walk_packages(baseh3d_ns.__path__, "baseh3d_ns.")]
    return {name: value for module in modules for name, value in vars(module).items() if isinstance(value, type)}


def read_by_running(target: type) -> set[str]:
    """Names after `config.` in the methods that an object of this class can run: those that it or its bases define,
    not those that it overrides, nor the private ones that then nobody calls."""
    found: set[str] = set()
    seen: set[Any] = set()
    names = {name for cls in target.__mro__ for name in vars(cls) if not name.startswith("_") or name == "__init__"}
    waiting = [_method(target.__mro__, name) for name in names]
    while waiting:
        method, definer = waiting.pop() or (None, None)
        if method is None or method in seen or not method.__module__.startswith(("nerfstudio", "baseh3d_ns")):
            continue
        seen.add(method)
        source = _source(method)
        found |= set(re.findall(r"config\.(\w+)", source))
        above = target.__mro__[target.__mro__.index(definer) + 1 :]
        waiting += [_method(above, name) for name in re.findall(r"super\(\)\.(\w+)", source)]
        waiting += [_method(target.__mro__, name) for name in re.findall(r"self\.(_\w+)\(", source)]
    return found


def _method(classes: tuple[type, ...], name: str) -> tuple[Any, type] | None:
    for cls in classes:
        member = vars(cls).get(name)
        member = member.fget if isinstance(member, property) else getattr(member, "func", member)
        member = inspect.unwrap(member) if callable(member) else member
        if isinstance(member, types.FunctionType):
            return member, cls
    return None


def _source(function: Any) -> str:
    """Source of a function; nothing for one that `dataclass` or jaxtyping has generated."""
    try:
        return textwrap.dedent(inspect.getsource(function))
    except OSError:
        return ""
