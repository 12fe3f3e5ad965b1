"""The controller: each seed once, each new failure cut once, and on again where it was ended."""

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from poolproof.campaign.coverage import Covered
from poolproof.campaign.drawing import draw
from poolproof.campaign.result import CampaignResult
from poolproof.campaign.running import BATCH, CampaignError, Options, run_campaign
from poolproof.campaign.tasks import (
    Batch,
    Broken,
    Cutting,
    Failed,
    Menu,
    Message,
    Sighting,
    Survey,
    Task,
    decode_task,
    encode,
    fingerprint,
)
from poolproof.errors import TargetError, UsageError
from poolproof.report.campaign import Lines
from tests.unit.campaign.data import LEFT, LOST, TARGET, case, least, menu

pytestmark = pytest.mark.unit

Breaks = Callable[[int], tuple[Broken, ...]]


class Fake:
    """An executor without a pool: which seeds break what is said by a function."""

    def __init__(self, breaks: Breaks = lambda _: (), menu: Menu | None = None) -> None:
        self.breaks = breaks
        self.menu = menu
        self.tasks: list[Task] = []
        self.at_once = self.most_at_once = 0

    async def perform(self, task: bytes) -> AsyncGenerator[bytes]:
        told = decode_task(task)
        self.tasks.append(told)
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            for message in self.says(told):
                yield encode(message)
                await asyncio.sleep(0)
        finally:
            self.at_once -= 1

    def says(self, task: Task) -> list[Message]:
        if isinstance(task, Survey):
            return [self.menu or menu()]
        if isinstance(task, Cutting):
            return [least(task.fingerprint, "kill-busy")]
        said: list[Message] = []
        for seed in task.seeds:
            plan = draw(seed, task.menu, Covered(task.coverage))
            broken = self.breaks(seed)
            for one in broken:
                name = fingerprint(one, "kill-busy")
                if name not in task.known:
                    said.append(Sighting(seed=seed, fingerprint=name, plan=plan, history="{}\n"))
            said.append(case(seed, "kill-busy", *broken))
        return said

    def close(self) -> None:
        pass

    @property
    def seeds(self) -> list[int]:
        return [seed for task in self.tasks if isinstance(task, Batch) for seed in task.seeds]

    @property
    def cuttings(self) -> list[str]:
        return [task.fingerprint for task in self.tasks if isinstance(task, Cutting)]


def options(directory: Path, **fields: Any) -> Options:
    common = Options(
        target=TARGET,
        faults=("kill-busy",),
        effects=("kill",),
        first=0,
        seeds=100,
        jobs=3,
        directory=directory,
    )
    return dataclasses.replace(common, **fields)


def campaign(directory: Path, fake: Fake, **fields: Any) -> CampaignResult:
    return asyncio.run(run_campaign(options(directory, **fields), fake, Lines()))


def every_tenth(seed: int) -> tuple[Broken, ...]:
    return (LOST,) if seed % 10 == 0 else ()


def test_each_seed_is_played_once_by_as_many_at_once_as_asked_for(tmp_path: Path) -> None:
    fake = Fake()
    result = campaign(tmp_path, fake)

    assert sorted(fake.seeds) == list(range(100))
    assert fake.most_at_once == 3
    assert (result.played, result.verdict, result.verdicts) == (100, "valid", {"valid": 100})


def test_a_failure_is_cut_once_however_many_seeds_show_it(tmp_path: Path) -> None:
    fake = Fake(every_tenth)
    result = campaign(tmp_path, fake)

    assert fake.cuttings == [fingerprint(LOST, "kill-busy")]
    (failure,) = result.failures
    assert (failure.hits, failure.again, failure.verdict) == (10, 5, "invalid")
    assert Path(failure.plan).exists()
    assert result.verdict == "invalid"


def test_what_was_found_is_cut_before_new_seeds_are_begun(tmp_path: Path) -> None:
    fake = Fake(every_tenth)
    campaign(tmp_path, fake, jobs=1)
    kinds = [type(task).__name__ for task in fake.tasks]

    assert kinds[:3] == ["Survey", "Batch", "Cutting"]


def test_a_campaign_goes_on_where_it_was_ended(tmp_path: Path) -> None:
    campaign(tmp_path, Fake(every_tenth), seeds=30)
    later = Fake(every_tenth)
    result = campaign(tmp_path, later, seeds=50)

    assert sorted(later.seeds) == list(range(30, 50))
    assert later.cuttings == [], "it is cut already"
    assert not any(isinstance(task, Survey) for task in later.tasks)
    assert (result.played, result.failures[0].hits) == (50, 5)


def test_what_was_found_and_not_cut_is_cut_by_the_next_run(tmp_path: Path) -> None:
    class Tired(Fake):
        def says(self, task: Task) -> list[Message]:
            if isinstance(task, Cutting):
                return [Failed(message="killed", exit_code=4)]
            return super().says(task)

    with pytest.raises(ExceptionGroup, match="unhandled"):
        campaign(tmp_path, Tired(every_tenth))
    later = Fake(every_tenth)
    campaign(tmp_path, later)

    assert later.cuttings == [fingerprint(LOST, "kill-busy")]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"faults": ("kill-idle",)}, r"\('kill-idle',\) instead of \('kill-busy',\)"),
        ({"effects": ()}, r"\(\) instead of \('kill',\)"),
        ({"target": msgspec.structs.replace(TARGET, workers=5)}, "workers 5 instead of 2"),
        ({"target": msgspec.structs.replace(TARGET, promises={"retries": 1})}, "promises"),
        ({"null": True}, "True instead of False"),
    ],
)
def test_another_campaign_is_refused_in_its_directory(
    fields: dict[str, Any], said: str, tmp_path: Path
) -> None:
    campaign(tmp_path, Fake(), seeds=1)

    with pytest.raises(UsageError, match=said):
        campaign(tmp_path, Fake(), **fields)


def test_a_pool_that_breaks_a_promise_unharmed_is_told_and_not_broken_further(
    tmp_path: Path,
) -> None:
    fake = Fake(menu=menu(broken=(LOST,)))
    result = campaign(tmp_path, fake)

    assert fake.seeds == []
    assert [(one.invariant, one.fault) for one in result.failures] == [("unresolved-job", "none")]
    assert (result.verdict, bool(result.stopped)) == ("invalid", True)


def test_a_pool_that_leaks_unharmed_is_told_and_broken_all_the_same(tmp_path: Path) -> None:
    fake = Fake(menu=menu(broken=(LEFT,)))
    result = campaign(tmp_path, fake)

    assert fake.seeds
    assert [(one.invariant, one.fault) for one in result.failures][-1] == ("leak", "none")
    assert (result.verdict, result.stopped) == ("invalid", "")


def test_a_target_that_cannot_be_started_is_said(tmp_path: Path) -> None:
    class Unable(Fake):
        def says(self, task: Task) -> list[Message]:  # noqa: ARG002
            return [Failed(message="expected a pool, got none", exit_code=2)]

    with pytest.raises(TargetError, match="expected a pool, got none"):
        campaign(tmp_path, Unable())
    assert Fake().seeds == []


def test_our_own_failure_is_no_verdict(tmp_path: Path) -> None:
    class Failing(Fake):
        def says(self, task: Task) -> list[Message]:
            broken = Failed(message="Traceback: oh", exit_code=4)
            return [broken] if isinstance(task, Batch) else super().says(task)

    with pytest.raises(ExceptionGroup) as raised:
        campaign(tmp_path, Failing())
    assert raised.group_contains(CampaignError, match="oh")


def test_when_time_is_over_no_seed_is_begun(tmp_path: Path) -> None:
    fake = Fake()
    result = campaign(tmp_path, fake, seconds=1.0)

    assert (fake.seeds, result.played, result.verdict) == ([], 0, "unknown")


def test_a_host_gets_no_more_seeds_than_its_share(tmp_path: Path) -> None:
    fake = Fake()
    campaign(tmp_path, fake, seeds=1000)

    assert max(len(task.seeds) for task in fake.tasks if isinstance(task, Batch)) == BATCH


def test_later_batches_know_what_earlier_ones_have_covered(tmp_path: Path) -> None:
    fake = Fake(every_tenth)
    campaign(tmp_path, fake, jobs=1)
    last = [task for task in fake.tasks if isinstance(task, Batch)][-1]

    assert last.coverage.pairs["kill-busy x all work"] == 80
    assert last.known == {fingerprint(LOST, "kill-busy")}
