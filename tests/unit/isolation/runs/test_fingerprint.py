"""The state of a process in words: what a test may have left is in it, and two like processes read alike."""

import os
import signal
import socket
import sys
import tempfile
import types
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

from poolproof.isolation.runs import fingerprint
from poolproof.isolation.runs.fingerprint import state

pytestmark = pytest.mark.unit


class Proxy:
    """As proxies of web frameworks do: outside of its context, every look at it raises."""

    def __getattribute__(self, name: str) -> object:
        raise RuntimeError(f"working outside of context: {name}")


class Settings:
    level = 1

    def __init__(self) -> None:
        self.values: dict[str, int] = {}


@lru_cache
def answer(question: int) -> int:
    return question


@pytest.fixture(autouse=True)
def temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))


@pytest.fixture
def module(tmp_path: Path) -> Iterator[types.ModuleType]:
    found = types.ModuleType("a_first_party_module")
    found.__file__ = str(tmp_path / "a_first_party_module.py")
    sys.modules[found.__name__] = found
    yield found
    del sys.modules[found.__name__]


def changed(root: Path, before: dict[str, str]) -> set[str]:
    after = state(root)
    return {name for name in {*before, *after} if before.get(name) != after.get(name)}


def test_nothing_changes_by_being_looked_at(tmp_path: Path) -> None:
    assert changed(tmp_path, state(tmp_path)) == set()


def test_a_variable_a_handler_and_a_file_are_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state(tmp_path)
    monkeypatch.setenv("A_MODE", "slow")
    (tmp_path / "cache.txt").write_text("1")
    handler = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        found = changed(tmp_path, before)
    finally:
        signal.signal(signal.SIGUSR1, handler)

    assert found == {"environment A_MODE", "file cache.txt", "signal User defined signal 1"}


def test_a_listening_port_is_seen_and_its_socket_stays_open(tmp_path: Path) -> None:
    before = state(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = changed(tmp_path, before)
        server.getsockname()

    assert [name.startswith("port ('127.0.0.1'") for name in found] == [True]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"a": 1}),
        ({"a": 1}, {"a": 2}),
        ([1, 2], [2, 1]),
        ({"deep": {"er": [1]}}, {"deep": {"er": [1, 2]}}),
        (1, 2),
        (len, max),
        (None, Settings()),
    ],
    ids=["key", "value", "order", "depth", "number", "function", "object"],
)
def test_a_global_that_changed_is_seen(
    first: object, second: object, module: types.ModuleType, tmp_path: Path
) -> None:
    vars(module)["it"] = first
    before = state(tmp_path)
    vars(module)["it"] = second

    assert changed(tmp_path, before) == {"global a_first_party_module.it"}


def test_the_attributes_of_an_instance_and_of_a_class_are_seen(
    module: types.ModuleType, tmp_path: Path
) -> None:
    owner = type("Service", (), {"limit": 1, "__module__": module.__name__})
    vars(module).update(owner=owner, settings=Settings(), answer=answer)
    answer.cache_clear()
    before = state(tmp_path)
    vars(module)["settings"].values["a"] = 1
    owner.limit = 2  # type: ignore[attr-defined]
    answer(1)

    assert changed(tmp_path, before) == {
        "class-attribute a_first_party_module.Service.limit",
        "global a_first_party_module.settings",
        "global a_first_party_module.answer",
    }


def test_a_set_reads_alike_in_any_order(module: types.ModuleType, tmp_path: Path) -> None:
    vars(module)["names"] = {"a", "b", "c"}
    before = state(tmp_path)
    vars(module)["names"] = {"c", "b", "a"}

    assert changed(tmp_path, before) == set()


def test_an_object_that_may_not_be_looked_at_is_only_named(
    module: types.ModuleType, tmp_path: Path
) -> None:
    vars(module)["request"] = Proxy()

    assert state(tmp_path)["global a_first_party_module.request"].endswith("Proxy (0) ")


def test_an_object_that_contains_itself_has_an_end(
    module: types.ModuleType, tmp_path: Path
) -> None:
    ring: list[object] = []
    ring.append(ring)
    vars(module)["ring"] = ring

    assert state(tmp_path)["global a_first_party_module.ring"]


def test_a_long_value_is_cut_and_stays_as_different() -> None:
    one, other = fingerprint._short("x" * 1_000 + "1"), fingerprint._short("x" * 1_000 + "2")

    assert one != other
    assert len(one) < 200


def test_an_address_is_no_difference() -> None:
    assert fingerprint._short("<f at 0x7f01>") == fingerprint._short("<f at 0x7f02>")


def test_a_replaced_and_a_deleted_function_of_any_module_are_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = dict(fingerprint._code())
    monkeypatch.setattr(os, "getlogin", lambda: "me")
    monkeypatch.delattr(os, "getpgid")

    assert dict(fingerprint._replaced(before)) == {
        "function os.getlogin": f"replaced by {__name__}."
        "test_a_replaced_and_a_deleted_function_of_any_module_are_seen.<locals>.<lambda>",
        "function os.getpgid": "deleted",
    }
