"""A scenario, played: steady, then the load and the steps beside it, the heal, steady again, shutdown, judgement."""

import asyncio
import random
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from poolproof.checkers import Verdict, combine
from poolproof.errors import UsageError
from poolproof.load.recovery import Curve
from poolproof.load.schedule import arrivals
from poolproof.scenarios import judging
from poolproof.scenarios.curving import curve_of, goodput
from poolproof.scenarios.data import Deed, Load, Scenario, Step, check
from poolproof.scenarios.facts import Facts, JobFacts, Role
from poolproof.scenarios.judging import Judgement
from poolproof.scenarios.stage import Stage

ANYWHERE: Final[frozenset[Deed]] = frozenset({"wait", "submit", "heal"})
"""The deeds that need nothing of the stage."""
PATIENCE: Final = 3
"""How many deadlines a caller is waited for before its job counts as unresolved."""
RECOVERY_ROUNDS: Final = 200
"""How often steadiness is looked for at most; a round in which nothing is answered ends the search earlier."""
QUIET_ROUNDS: Final = 10
FRESH_DEADLINE: Final = 10.0
NS: Final = 1e9


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one play.

    Attributes:
        scenario: its name.
        where: the layer, or the target.
        seed: what decided whatever was drawn.
        verdict: the worst of the judgements.
        judgements: one for each criterion.
        receipts: the evidence for each deed.
        jobs: how many were asked for.
        seconds: how long it took, on the stage's clock.
        rate: how many jobs a second were asked for besides, as the scenario has it.
        pace: how many seconds of the stage's clock one of the scenario's was.
        curve: what the harm did to the load, and for how long; None where nothing was done, or nothing asked for.
        goodput: right answers to the load's jobs in each of the curve's slices.
        fingerprint: where it was played; of a simulated play, that its time is virtual: it is the same everywhere.
        trace: the hash of a simulated play; empty otherwise.
    """

    scenario: str
    where: str
    seed: int
    verdict: Verdict
    judgements: tuple[Judgement, ...]
    receipts: dict[str, tuple[str, ...]] = {}
    jobs: int = 0
    seconds: float = 0.0
    rate: float = 0.0
    pace: float = 1.0
    curve: Curve | None = None
    goodput: tuple[int, ...] = ()
    fingerprint: dict[str, Any] = {}
    trace: str = ""

    @property
    def broken(self) -> list[str]:
        """The criteria that did not hold, in words."""
        return [
            f"{one.invariant}: expected {one.wanted}, got {one.got}"
            for one in self.judgements
            if one.verdict not in ("valid", "not applicable")
        ]


async def play(
    scenario: Scenario, stage: Stage, *, seed: int, where: str, null: bool = False
) -> Report:
    """Play a scenario on a stage, which is opened and closed.

    Args:
        scenario: what is done.
        stage: to what.
        seed: decides whatever is drawn.
        where: the stage, for people.
        null: whether no deed is done; such a play is never better than unknown.

    Raises:
        UsageError: the scenario cannot be judged.
    """
    check(scenario)
    if scenario.ours and not stage.ours:
        return inapplicable(
            scenario, where, seed, "a pool of our own: it asks for what others do not promise"
        )
    facts = await _Play(scenario, stage, random.Random(seed), null=null).run()  # noqa: S311
    if isinstance(facts, str):
        return inapplicable(scenario, where, seed, facts)
    judgements = judging.judge(scenario, facts)
    curve = curve_of(scenario, facts, stage.pace)
    return Report(
        scenario=scenario.name,
        where=where,
        seed=seed,
        verdict=judging.verdict(judgements),
        judgements=judgements,
        receipts={deed: tuple(told) for deed, told in facts.receipts.items()},
        jobs=len(facts.jobs),
        seconds=round(facts.seconds, 3),
        rate=scenario.load.rate,
        pace=stage.pace,
        curve=curve,
        goodput=() if curve is None else goodput(facts, stage.pace, curve),
    )


def inapplicable(scenario: Scenario, where: str, seed: int, wanted: str) -> Report:
    """Return the report of a scenario that means nothing there."""
    judgement = Judgement(invariant="any", verdict="not applicable", wanted=wanted, got=where)
    return Report(
        scenario=scenario.name,
        where=where,
        seed=seed,
        verdict="not applicable",
        judgements=(judgement,),
    )


class _Play:
    """One play while it goes on."""

    def __init__(self, scenario: Scenario, stage: Stage, rng: random.Random, *, null: bool) -> None:
        self.scenario, self.stage, self.rng, self.null = scenario, stage, rng, null
        self.facts = Facts(wanted=scenario.workers)
        self._harmed = False
        self._submitted: dict[str, list[JobFacts]] = {}

    async def run(self) -> Facts | str:
        """Return what has come to be known, or what the stage would have to offer."""
        stage, facts = self.stage, self.facts
        await stage.open()
        began = stage.clock()
        facts.ours = stage.ours
        try:
            if missing := {step.do for step in self.scenario.steps} - stage.offers - ANYWHERE:
                return f"a pool to which this can be done: {', '.join(sorted(missing))}"
            await self._until_steady("steady")
            facts.steady = facts.recovery_seconds is not None
            facts.recovery_seconds = None
            await self._harm()
            await self._heal()
            facts.live, facts.deaths = stage.live(), stage.deaths()
            facts.living, facts.born = tuple(stage.living()), tuple(stage.born())
            facts.most_rss_bytes = stage.most_rss_bytes()
        finally:
            facts.closed = await stage.close()
        facts.starts, facts.duplicated = stage.starts(), tuple(stage.duplicated())
        facts.seconds = stage.clock() - began
        return facts

    async def _harm(self) -> None:
        """Have the load go on while the steps are done one after the other, however long they take to show."""
        load, facts, stage = self.scenario.load, self.facts, self.stage
        facts.began = stage.clock()
        facts.over = facts.began + load.seconds * stage.pace
        clients = [asyncio.create_task(self._client(load)) for _ in range(load.clients)]
        clients += [asyncio.create_task(self._open(load))] if load.rate else []
        try:
            if not self.null:
                for step in self.scenario.steps:
                    await self._step(step)
            facts.over = max(facts.over, stage.clock())
            self._harmed = True
            await asyncio.gather(*clients)
        except BaseException:
            # The stage closes next, and nobody may ask it for anything then.
            for client in clients:
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)
            raise

    async def _client(self, load: Load) -> None:
        stage = self.stage
        await stage.sleep(self.rng.uniform(0, load.think))
        while stage.clock() < self.facts.over or not self._harmed:
            job = self._ask("load", load=load)
            await stage.settled([job], PATIENCE * load.deadline)
            await stage.sleep(load.think)

    async def _open(self, load: Load) -> None:
        """Ask for each job when it is due, whatever is answered."""
        stage, began = self.stage, self.stage.clock()
        light = msgspec.structs.replace(load, work=0.0)
        jobs: list[JobFacts] = []
        for due in arrivals("steady", load.rate, load.seconds, spacing="even"):
            await stage.sleep(max(0.0, due / NS - (stage.clock() - began) / stage.pace))
            jobs.append(self._ask("load", load=light))
        await stage.settled(jobs, PATIENCE * load.deadline)

    def _ask(self, role: Role, *, load: Load, key: str = "") -> JobFacts:
        job = self.stage.submit(
            role,
            body=load.body,
            work=load.work,
            deadline=load.deadline,
            checked=load.checked,
            key=key,
        )
        self.facts.jobs[job.number] = job
        return job

    async def _step(self, step: Step) -> None:
        for time in range(step.times):
            if time:
                await self.stage.sleep(step.every)
            await self._once(step)
        if step.do != "delay":
            await self.stage.sleep(step.seconds)

    async def _once(self, step: Step) -> None:
        if step.do == "wait":
            return
        if step.do == "heal":
            await self.stage.heal()
            self.facts.heals.append(self.stage.clock())
            return
        self.facts.deeds.append((self.stage.clock(), step.do))
        if step.do == "submit":
            await self._submit(step)
        else:
            told = self.facts.receipts.setdefault(step.do, [])
            await self.stage.do(step, self.rng)
            if (evidence := self.stage.receipt(step.do)) is not None and evidence not in told:
                told.append(evidence)

    async def _submit(self, step: Step) -> None:
        """Submit all of a step's jobs in one turn; those that must fail are waited for."""
        role: Role = "expected" if step.expect else "step"
        deadline = step.deadline or self.scenario.load.deadline
        checked = self.scenario.load.checked
        load = Load(body=step.body, work=step.work, deadline=deadline, checked=checked)
        jobs = [self._ask(role, load=load, key=step.key) for _ in range(step.count)]
        self._submitted.setdefault(step.deed, []).extend(jobs)
        if step.expect:
            await self.stage.settled(jobs, PATIENCE * deadline)

    async def _heal(self) -> None:
        stage, facts = self.stage, self.facts
        for deed, told in facts.receipts.items():
            if (later := stage.receipt(deed)) is not None and later not in told:
                told.append(later)
        for what, jobs in self._submitted.items():
            evidence = stage.receipt(what) or self._begun(jobs)
            facts.receipts[what] = [evidence] if evidence else []
        await stage.heal()
        facts.heals.append(stage.clock())
        await self._until_steady("fresh")
        facts.healed = await stage.healed()
        late = [job for job in facts.jobs.values() if job.ended is None]
        await stage.settled(late, PATIENCE * self.scenario.load.deadline)

    def _begun(self, jobs: list[JobFacts]) -> str | None:
        """Return what the workers, or for those that never got there the pool, say of jobs that a step submitted."""
        starts = self.stage.starts()
        begun = sum(bool(starts.get(job.number)) for job in jobs)
        refused = sum(bool(job.error) and not starts.get(job.number) for job in jobs)
        told = f"of {len(jobs)} jobs {begun} were begun, say the workers, and {refused} refused"
        return told if begun + refused else None

    async def _until_steady(self, role: Role) -> None:
        """Ask for jobs until so many in a row are answered rightly, with all workers up.

        The budget begins anew with whatever is answered: a pool that comes back slowly is not given up. One that
        only refuses is after ten rounds, and one that says nothing at once.
        """
        stage, facts, began, quiet = self.stage, self.facts, self.stage.clock(), 0
        for _ in range(RECOVERY_ROUNDS):
            load = Load(deadline=FRESH_DEADLINE)
            jobs = [stage.submit(role, deadline=load.deadline) for _ in range(self.scenario.steady)]
            in_time = await stage.settled(jobs, PATIENCE * load.deadline)
            if all(job.ok and job.right for job in jobs) and stage.live() >= facts.wanted:
                facts.jobs |= {job.number: job for job in jobs}
                facts.recovery_seconds = stage.clock() - began
                return
            answered = any(job.ok for job in jobs)
            facts.jobs |= {job.number: _tried(job) for job in jobs}
            quiet = 0 if answered else quiet + 1
            if quiet >= QUIET_ROUNDS or not (in_time or answered):
                return
            await stage.sleep(0.1)


def _tried(job: JobFacts) -> JobFacts:
    """A job of a round that was not steady yet tells nothing of what comes after; its integrity counts."""
    job.role = "steady"
    return job


def ended(reports: Iterable[Report]) -> int:
    """Return the exit code of the worst verdict, as `poolproof check` has them."""
    codes: dict[Verdict, int] = {"valid": 0, "by contract": 0, "invalid": 1}
    return codes.get(combine(report.verdict for report in reports), 3)


def known(scenarios: dict[str, Scenario], name: str) -> Scenario:
    """Return the scenario of that name.

    Raises:
        UsageError: there is none.
    """
    if name in scenarios:
        return scenarios[name]
    names = ", ".join(scenarios)
    raise UsageError(
        f"expected a scenario, or a TOML file that has one, got {name!r}; known are: {names}"
    )
