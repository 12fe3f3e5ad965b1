"""The scan finds what tests will share, names what to do, and accuses nothing that is nobody's state."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from poolproof.cli import main
from poolproof.isolation.scan import ADVICE, Finding, scan

pytestmark = pytest.mark.unit


def found(text: str, file: str = "app.py") -> list[tuple[int, str, str]]:
    return [(one.line, one.kind, one.what) for one in scan([(file, dedent(text))])]


class TestModules:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("CLIENT = redis.Redis()", [(1, "singleton", "CLIENT = Redis(...)")]),
            ("pool: Pool[int] = Pool[int](4)", [(1, "singleton", "pool = Pool(...)")]),
            ("_app = _App()", [(1, "singleton", "_app = _App(...)")]),
            ("@functools.lru_cache(maxsize=2)\ndef f(): ...", [(2, "cache", "f (@lru_cache)")]),
            (
                "class A:\n    @cache\n    def f(self): ...",
                [(3, "cache", "f (@cache)")],
            ),
            ("D = {}\ndef f(): D['a'] = 1", [(2, "mutable-global", "D, in f")]),
            ("D = {}\ndef f():\n    del D['a']", [(3, "mutable-global", "D, in f")]),
            (
                "L: list[int] = []\nasync def f():\n    L.append(1)\n    L.append(2)",
                [(3, "mutable-global", "L, in f")],
            ),
            (
                "N = 0\ndef f():\n    global N\n    N += 1",
                [(3, "rebound-global", "N, in f")],
            ),
        ],
    )
    def test_what_is_shared_is_found(self, text: str, expected: list[tuple[int, str, str]]) -> None:
        assert found(text) == expected

    @pytest.mark.parametrize(
        "text",
        [
            "T = TypeVar('T')\nHOME = Path('x')\nP = pathlib.Path('x')",
            "D = {}\ndef f(): return D['a'], D.get('b')",
            "D = {}\ndef f(D):\n    D['a'] = 1",
            "D = {}\ndef f():\n    D = {}\n    D['a'] = 1",
            "X = 3\nY = open('f')\nlog = logging.getLogger()",
            "def f():\n    own = []\n    own.append(Client())",
        ],
    )
    def test_what_is_nobodys_state_is_not(self, text: str) -> None:
        assert found(text) == []


FREE_PORT = """
    def free_port():
        with socket.socket() as s:
            s.bind(("", 0))
            return s.getsockname()[1]
"""
HANDED_OVER = """
    def bound():
        s = socket.socket()
        s.bind(("", 0))
        return s, s.getsockname()[1]
"""


class TestTests:
    def test_a_port_that_is_asked_for_and_given_away_is_found(self) -> None:
        assert found(FREE_PORT, "conftest.py") == [(2, "free-port", "free_port")]

    def test_one_whose_socket_is_handed_over_is_not(self) -> None:
        assert found(HANDED_OVER, "conftest.py") == []

    def test_places_that_are_the_same_for_all_are_found(self) -> None:
        text = """
            def test_it():
                start(port=8080)
                server.bind(("", 6379))
                open("/tmp/data.json")
                start(port=0)
                open("/tmpx", "x")
        """

        assert found(text, "test_a.py") == [
            (3, "fixed-place", "port=8080"),
            (4, "fixed-place", "bind to 6379"),
            (5, "fixed-place", "'/tmp/data.json'"),
        ]

    def test_an_identity_that_two_tests_use_is_found_across_files(self) -> None:
        one = "def test_a():\n    make(slug='acme', text='same')\n    make(slug='acme')"
        other = "class TestIt:\n    async def test_b(self): make(slug='acme', text='same')"
        findings = scan([("test_b.py", other), ("test_a.py", one)])

        assert findings == [
            Finding(file="test_a.py", line=2, kind="repeated-name", what="slug='acme' in 2 tests")
        ]

    def test_one_that_a_single_test_uses_is_not(self) -> None:
        text = "def test_a():\n    make(slug='a'); make(slug='a')\ndef helper(): make(slug='a')"

        assert found(text, "test_a.py") == []


@pytest.fixture
def handlers() -> Iterator[None]:
    """The command is meant to be a process of its own, and takes SIGTERM for it."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("handlers")
class TestCommand:
    def test_it_prints_each_finding_and_the_advice_for_its_kind(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "app.py").write_text("CLIENT = Redis()\n")
        (tmp_path / ".hidden").mkdir()
        (tmp_path / ".hidden" / "app.py").write_text("not python")
        code = main(["scan", str(tmp_path), "--json", str(tmp_path / "out.json")])

        assert code == 0
        assert capsys.readouterr().out.splitlines() == [
            f"{tmp_path / 'app.py'}:1: singleton: CLIENT = Redis(...)",
            f"    1 singleton: {ADVICE['singleton']}",
        ]
        (row,) = json.loads((tmp_path / "out.json").read_bytes())
        assert (row["kind"], row["advice"]) == ("singleton", ADVICE["singleton"])

    def test_nothing_is_said_to_be_nothing(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "app.py").touch()

        assert main(["scan", str(tmp_path / "app.py")]) == 0
        assert "nothing was found" in capsys.readouterr().out

    @pytest.mark.parametrize("text", [b"def", b"\xff"])
    def test_what_is_no_python_is_refused(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: bytes
    ) -> None:
        (tmp_path / "app.py").write_bytes(text)

        assert main(["scan", str(tmp_path)]) == 2
        assert "expected Python files, got" in capsys.readouterr().err

    def test_a_path_that_is_not_there_is_refused(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["scan", str(tmp_path / "none")]) == 2
        assert "which is not there" in capsys.readouterr().err


def test_every_kind_has_its_advice_and_no_other() -> None:
    kinds = {"singleton", "mutable-global", "rebound-global", "cache", "free-port"}

    assert set(ADVICE) == kinds | {"fixed-place", "repeated-name"}
