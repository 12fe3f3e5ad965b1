"""`[tool.poolproof]`: the plan's numbers unless something else is said, and no key that nobody knows."""

from pathlib import Path
from typing import Any

import pytest

from poolproof.config import Config, load, parse
from poolproof.errors import UsageError
from poolproof.pool.settings import PoolSettings

pytestmark = pytest.mark.unit


def test_without_a_table_the_plans_numbers_hold(tmp_path: Path) -> None:
    config = load(tmp_path)
    sizes = {
        layer: (one.pool.size, one.pool.overflow, one.pool.timeout)
        for layer, one in config.layers.items()
    }

    assert sizes == {"mock": (1, 0, 1.0), "bridge_mock": (2, 1, 5.0), "full": (3, 2, 10.0)}
    assert config.layers["full"].pool.init_timeout == 15.0
    assert (config.thresholds.p99_ms, config.thresholds.error_rate) == (500, 0.01)
    assert config == Config()


def test_the_nearest_table_is_read(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.poolproof.full]\nsize = 7\n")
    below = tmp_path / "tests" / "unit"
    below.mkdir(parents=True)

    assert load(below).layers["full"].pool.size == 7
    assert load(below).layers["full"].pool.overflow == 2


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"ful": {}}, "got 'ful'; did you mean 'full'"),
        ({"full": {"sizes": 3}}, "full: expected a known key, got 'sizes'; did you mean 'size'"),
        ({"full": {"size": 0}}, "expected size to be a whole number from 1 on, got 0"),
        ({"full": {"order": "random"}}, "expected order to be lifo or fifo, got 'random'"),
        ({"full": 3}, "full: expected a table, got 3"),
        ({"mock": {"setup_ms": 0}}, "setup_ms: expected a whole number from 1 on, got 0"),
        ({"mock": {"isolation": "none"}}, "mock: expected a known key, got 'isolation'"),
        ({"log_level": "loud"}, "log_level: expected one of debug"),
        ({"thresholds": {"p99": 1}}, "did you mean 'p99_ms'"),
        ({"thresholds": {"p99_ms": -1}}, "p99_ms: expected a number >= 0, got -1"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(table: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse(table)


def test_settings_name_every_problem_at_once() -> None:
    with pytest.raises(UsageError, match=r"size .* lazy .* timeout"):
        PoolSettings(size=-1, lazy="yes", timeout="soon")  # type: ignore[arg-type]
