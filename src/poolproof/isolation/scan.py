"""Finds, in the text of a project, what tests will share whether they want to or not. Nothing is imported or run."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# What to do instead, for each kind of finding.
ADVICE: Final = {
    "singleton": "made once, shared by all tests: pass it in, or replace it by isolation.singleton(PATH, factory)",
    "mutable-global": "changed by functions, shared by all tests: isolation.track_table(it), or track_service(it)",
    "rebound-global": "rebound by a function, shared by all tests: isolation.singleton(PATH, factory)",
    "cache": "kept from one test to the next: isolation.track_cache(it)",
    "free-port": "the port is anybody's as soon as the socket is closed: isolation.port()",
    "fixed-place": "the same for two tests at once: isolation.port(), dir() or socket_path()",
    "repeated-name": "the same in several tests: isolation.name(), unique() or tenant()",
}
_CACHES: Final = frozenset({"lru_cache", "cache"})
# fmt: off
_MUTATORS: Final = frozenset({
    "add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "popleft", "remove",
    "setdefault", "update",
})
_CONTAINERS: Final = frozenset(
    {"dict", "list", "set", "defaultdict", "deque", "Counter", "OrderedDict"}
)
# Capitalised calls whose results nobody changes, or that are no state.
_HARMLESS: Final = frozenset({
    "Decimal", "Enum", "Field", "ForwardRef", "Fraction", "Literal", "NamedTuple", "NewType", "ParamSpec", "Path",
    "PurePath", "Template", "TypeAliasType", "TypeVar", "TypeVarTuple", "TypedDict", "UUID",
})
# fmt: on
_IDENTITIES: Final = re.compile(
    r"(?:^|_)(?:id|key|slug|tenant|name|queue|topic|table|bucket|email|user|username)$"
)
_TEMPORARY: Final = re.compile(r"^/(?:tmp|var/tmp|dev/shm)/.")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Finding:
    """One thing that tests will share: where, which kind, and what it is called."""

    file: str
    line: int
    kind: str
    what: str

    @property
    def advice(self) -> str:
        """What to do about it."""
        return ADVICE[self.kind]


def scan(sources: Iterable[tuple[str, str]]) -> list[Finding]:
    """Look at a project's files.

    Args:
        sources: (path, text) of each; what is in `test_*.py`, `*_test.py` and `conftest.py` is looked at as tests.

    Raises:
        SyntaxError: a text is no Python.
    """
    found: list[Finding] = []
    literals: defaultdict[tuple[str, str], set[tuple[str, str, int]]] = defaultdict(set)
    for file, text in sources:
        tree = ast.parse(text, filename=file)
        if _is_test(file):
            found.extend(_of_tests(file, tree))
            for keyword, value, test, line in _identities(tree):
                literals[keyword, value].add((file, test, line))
        else:
            found.extend(_of_module(file, tree))
    return sorted([*found, *_repeated(literals)])


def _is_test(file: str) -> bool:
    name = Path(file).name
    return name.startswith("test_") or name.endswith("_test.py") or name == "conftest.py"


def _of_module(file: str, tree: ast.Module) -> Iterator[Finding]:
    containers: set[str] = set()
    for node in tree.body:
        for name, value in _assigned(node):
            if _makes_a_container(value):
                containers.add(name)
            elif (
                (made := _maker(value)) and made.lstrip("_")[:1].isupper() and made not in _HARMLESS
            ):
                yield Finding(
                    file=file, line=node.lineno, kind="singleton", what=f"{name} = {made}(...)"
                )
    yield from _caches(file, tree)
    yield from _changes(file, tree, containers)


def _assigned(node: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node, ast.Assign):
        yield from ((t.id, node.value) for t in node.targets if isinstance(t, ast.Name))
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
        yield node.target.id, node.value


def _maker(value: ast.expr) -> str:
    """Return the last name of what is called; empty if nothing is."""
    if not isinstance(value, ast.Call):
        return ""
    function = value.func.value if isinstance(value.func, ast.Subscript) else value.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _makes_a_container(value: ast.expr) -> bool:
    literal = isinstance(
        value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp
    )
    return literal or _maker(value) in _CONTAINERS


def _caches(file: str, tree: ast.Module) -> Iterator[Finding]:
    for function in _functions(tree):
        for decorator in function.decorator_list:
            call = decorator.func if isinstance(decorator, ast.Call) else decorator
            name = call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "")
            if name in _CACHES:
                yield Finding(
                    file=file, line=function.lineno, kind="cache", what=f"{function.name} (@{name})"
                )


def _functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def _changes(file: str, tree: ast.Module, containers: set[str]) -> Iterator[Finding]:
    """Yield each module's own name that one of its functions changes, once, at its first change."""
    seen: set[str] = set()
    for function in _functions(tree):
        own = _locals(function)
        for node in ast.walk(function):
            for kind, name in _changed(node):
                known = kind == "rebound-global" or (name in containers and name not in own)
                if known and name not in seen:
                    seen.add(name)
                    what = f"{name}, in {function.name}"
                    yield Finding(file=file, line=getattr(node, "lineno", 1), kind=kind, what=what)


def _locals(function: Function) -> set[str]:
    """Return what a function calls its own: its parameters, and what it assigns without `global`."""
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    named = {argument.arg for argument in every}
    stored = {
        n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    shared = {name for n in ast.walk(function) if isinstance(n, ast.Global) for name in n.names}
    return (named | stored) - shared


def _changed(node: ast.AST) -> Iterator[tuple[str, str]]:
    match node:
        case ast.Global(names):
            yield from (("rebound-global", name) for name in names)
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)) if (
            method in _MUTATORS
        ):
            yield "mutable-global", name
        case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()):
            yield "mutable-global", name
        case _:
            pass


def _of_tests(file: str, tree: ast.Module) -> Iterator[Finding]:
    for function in _functions(tree):
        if _gives_away_a_port(function):
            yield Finding(file=file, line=function.lineno, kind="free-port", what=function.name)
        for node in ast.walk(function):
            for place in _fixed_places(node):
                yield Finding(
                    file=file, line=getattr(node, "lineno", 1), kind="fixed-place", what=place
                )


def _gives_away_a_port(function: Function) -> bool:
    """Tell whether it asks the system for a port, and returns its number without the socket."""
    calls = [
        n
        for n in ast.walk(function)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)
    ]
    asks = any(_method(c) == "bind" and ast.unparse(c).endswith(", 0))") for c in calls)
    tells = any(_method(c) == "getsockname" for c in calls)
    closes = any(_method(c) == "close" for c in calls) or any(
        isinstance(n, ast.With) for n in ast.walk(function)
    )
    returns = any(isinstance(n, ast.Return) and n.value for n in ast.walk(function))
    return asks and tells and closes and returns


def _method(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _fixed_places(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.keyword(arg="port", value=ast.Constant(value=int(port))) if port:
            yield f"port={port}"
        case ast.Call(
            func=ast.Attribute(attr="bind"),
            args=[ast.Tuple(elts=[_, ast.Constant(value=int(port))])],
        ) if port:
            yield f"bind to {port}"
        case ast.Constant(value=str(text)) if _TEMPORARY.match(text):
            yield repr(text)
        case _:
            pass


def _identities(tree: ast.Module) -> Iterator[tuple[str, str, str, int]]:
    """Yield (keyword, value, test, line) of each literal that a test gives to something as its identity."""
    for test in _functions(tree):
        if test.name.startswith("test"):
            for call in (n for n in ast.walk(test) if isinstance(n, ast.Call)):
                for keyword in call.keywords:
                    value = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
                    if isinstance(value, str) and value and _IDENTITIES.search(keyword.arg or ""):
                        yield keyword.arg or "", value, test.name, call.lineno


def _repeated(literals: "dict[tuple[str, str], set[tuple[str, str, int]]]") -> Iterator[Finding]:
    for (keyword, value), places in literals.items():
        tests = {(file, test) for file, test, _ in places}
        if len(tests) > 1:
            file, _, line = min(places, key=lambda place: (place[0], place[2]))
            what = f"{keyword}={value!r} in {len(tests)} tests"
            yield Finding(file=file, line=line, kind="repeated-name", what=what)
