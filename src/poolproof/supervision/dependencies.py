"""The start order that declared dependencies ask for, and the cycle where there is none."""

from collections.abc import Hashable, Iterator, Mapping, Sequence

from poolproof.supervision.spec import AutoShutdown, ChildSpec, Problem, SpecError, child_problems


def start_order(children: Sequence[ChildSpec]) -> tuple[ChildSpec, ...]:
    """Return the children so that each comes after all that it requires, else as they were given.

    Raises:
        SpecError: a required id does not exist, or the requirements form a cycle, which is named.
    """
    if not any(child.requires for child in children):
        return tuple(children)
    by_id = {child.id: child for child in children}
    if problems := list(dependency_problems(by_id, "children")):
        raise SpecError(problems)
    ordered: dict[Hashable, ChildSpec] = {}
    for child in children:
        _append(child, by_id, ordered)
    return tuple(ordered.values())


def _append(
    child: ChildSpec, by_id: Mapping[Hashable, ChildSpec], ordered: dict[Hashable, ChildSpec]
) -> None:
    waiting = [child]
    while waiting:
        last = waiting[-1]
        missing = next((name for name in last.requires if name not in ordered), None)
        if missing is None:
            ordered[waiting.pop().id] = last
        else:
            waiting.append(by_id[missing])


def dependency_problems(by_id: Mapping[Hashable, ChildSpec], where: str) -> Iterator[Problem]:
    """Yield every requirement of an unknown sibling, and one cycle if there is any."""
    unknown = False
    for child in by_id.values():
        for name in child.requires:
            if name not in by_id:
                unknown = True
                known = ", ".join(repr(other) for other in by_id if other != child.id) or "none"
                yield Problem(
                    where=f"{where}[{child.id!r}].requires",
                    expected=f"siblings ({known})",
                    got=repr(name),
                )
    cycle = None if unknown else _cycle(by_id)
    if cycle:
        got = " -> ".join(repr(name) for name in cycle)
        yield Problem(where=f"{where}.requires", expected="no cycle", got=got)


def _cycle(by_id: Mapping[Hashable, ChildSpec]) -> list[Hashable] | None:
    done: set[Hashable] = set()
    for root in by_id:
        path: list[Hashable] = []
        trail = [iter((root,))]
        while trail:
            name = next(trail[-1], None)
            if name is None:
                trail.pop()
                done.update(path[-1:])
                del path[-1:]
            elif name in path:
                return [*path[path.index(name) :], name]
            elif name not in done:
                path.append(name)
                trail.append(iter(by_id[name].requires))
    return None


def check_children(
    children: Sequence[object], auto_shutdown: AutoShutdown, where: str
) -> Iterator[Problem]:
    """Yield everything that is wrong with children, each by itself and with each other."""
    by_id: dict[Hashable, ChildSpec] = {}
    for number, child in enumerate(children):
        if not isinstance(child, ChildSpec):
            yield Problem(where=f"{where}[{number}]", expected="a ChildSpec", got=repr(child))
            continue
        yield from child_problems(child, auto_shutdown, f"{where}[{child.id!r}]")
        try:
            known = child.id in by_id
        except TypeError:
            yield Problem(
                where=f"{where}[{number}].id", expected="something hashable", got=repr(child.id)
            )
            continue
        if known:
            yield Problem(
                where=f"{where}[{number}].id", expected="an id used once", got=f"{child.id!r} again"
            )
        by_id[child.id] = child
    if any(child.requires for child in by_id.values()):
        yield from dependency_problems(by_id, where)
