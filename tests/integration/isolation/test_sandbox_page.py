"""The page about the sandbox: every example on it is a suite that passes and leaves nothing."""

import re
from pathlib import Path
from typing import Final

import pytest

pytestmark = pytest.mark.integration

PAGE: Final = Path(__file__).parents[3] / "docs" / "sandbox.md"
EXAMPLES: Final = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 5


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_passes_and_leaves_nothing(
    pytester: pytest.Pytester,
    example: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "poolproof.pytest_plugin,pytest_asyncio.plugin")
    pytester.makepyfile(example)
    scope = "asyncio_default_fixture_loop_scope=function"
    result = pytester.runpytest_inprocess("--poolproof=fail", "--strict-markers", "-o", scope)

    result.assert_outcomes(passed=len(re.findall(r"def test_", example)))
