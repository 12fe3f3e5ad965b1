"""Whatever a peer does to its frames has one answer, which concerns this peer alone."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from poolproof import simulation
from poolproof.errors import InitTimeoutError
from poolproof.transport import protocol, targets
from poolproof.transport.bridge import (
    BridgeLink,
    BridgeTransport,
    Trick,
    corrupt,
    delay,
    drop,
    duplicate,
    lie,
    replace,
    swap,
    truncate,
)
from poolproof.transport.conformance import Case, conformance_cases
from poolproof.transport.mock import MockTransport
from poolproof.transport.protocol import HEADER
from poolproof.transport.stage import EPOCH, Player, Stage

pytestmark = pytest.mark.unit


def on_stage(play: Callable[[Stage], Awaitable[None]]) -> None:
    async def main() -> None:
        transport = BridgeTransport()
        stage = Stage(transport)
        async with asyncio.timeout(10):
            bystander = await stage.worker()
            await play(stage)
            assert await bystander.ask(["echo", "unharmed"]) == "unharmed"
            await transport.close()
        stage.must_be_sound()

    asyncio.run(main())


def spoil(player: Player, *tricks: Trick, on: Any = "replies") -> BridgeLink:
    assert isinstance(player.link, BridgeLink)
    player.link.misbehave(*tricks, on=on)
    return player.link


def header_with(field: int, value: Any) -> Trick:
    def changed(frames: list[bytes]) -> list[tuple[float, bytes]]:
        fields = list(HEADER.unpack_from(frames[0]))
        fields[field] = value
        return [(0, HEADER.pack(*fields) + frames[0][HEADER.size :])]

    return changed


def reply_with(change: Callable[[list[Any]], Any]) -> Trick:
    return lie(change)


VIOLATIONS: dict[str, tuple[Trick, str]] = {
    "foreign bytes": (replace(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "begins with b'pf'"),
    "another magic": (corrupt(0), "begins with b'pf'"),
    "another version": (header_with(1, 2), "version 1 of the protocol, got 2"),
    "an unknown kind": (header_with(2, 99), "may come this way, got 99"),
    "a kind of ours": (header_with(2, protocol.REQUESTS), "may come this way, got 3"),
    "an oversized frame": (header_with(4, 1 << 31), "at most 17039360 bytes"),
    "a body that is nothing": (
        lambda frames: [(0, frames[0][:8] + b"\0\0\0\x01\xc1")],
        "a REPLIES message",
    ),
    "a body of another shape": (reply_with(lambda _: ["odd"]), "a REPLIES message"),
    "ready again": (lie(lambda _: [1, True], protocol.READY), "no READY at this point"),
    "failed too late": (
        lie(lambda _: ["raised", "T", "m", "python", "", True], protocol.FAILED),
        "no FAILED at this point",
    ),
    "bye unasked": (lie(lambda _: [None], protocol.BYE), "no BYE at this point"),
    "an error that is none": (
        reply_with(lambda m: [m[0], 0, [[m[2][0][0], False, "oops"]]]),
        "an error of six fields",
    ),
    "a frame too few": (header_with(3, 9), "some are missing"),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_violation_ends_this_worker_only(name: str) -> None:
    async def play(stage: Stage) -> None:
        player = await stage.worker()
        trick, problem = VIOLATIONS[name]
        spoil(player, trick)
        ids = player.send(["count"], ["count"])
        end = await player.heard.ending()

        assert end.kind == "violation"
        assert problem in end.detail
        assert (end.begun, end.untouched) == (tuple(ids), ())

    on_stage(play)


@pytest.mark.parametrize("trick", [drop, swap])
def test_lost_and_reordered_replies_are_a_violation(trick: Trick) -> None:
    async def play(stage: Stage) -> None:
        player = await stage.worker()
        spoil(player, trick)
        player.send(["count"])
        await until_begun(player, 1)
        await asyncio.sleep(0)
        player.send(["count"])
        end = await player.heard.ending()

        assert end.kind == "violation"
        assert "some are missing" in end.detail
        assert 1 in end.begun

    on_stage(play)


def test_a_truncated_frame_spoils_what_follows() -> None:
    async def play(stage: Stage) -> None:
        player = await stage.worker()
        spoil(player, truncate(HEADER.size + 3))
        player.send(["count"])
        await until_begun(player, 1)
        player.send(["echo", b"x" * 1000])

        assert (await player.heard.ending()).kind == "violation"

    on_stage(play)


def test_an_end_within_a_frame_is_told() -> None:
    async def play(stage: Stage) -> None:
        player = await stage.worker()
        link = spoil(player, truncate(5))
        [sent] = player.send(["count"])
        await until_begun(player, sent)
        link._peer.wire.finish()
        end = await player.heard.ending()

        assert end.kind == "lost"
        assert "within a frame" in end.detail
        assert end.begun == (sent,)

    on_stage(play)


def test_a_duplicate_is_dropped_and_noted() -> None:
    async def play(stage: Stage) -> None:
        player = await stage.worker()
        link = spoil(player, duplicate, duplicate)

        assert [await player.ask(["count"]) for _ in range(3)] == [1, 2, 3]
        assert link.dropped == 2

    on_stage(play)


def test_a_delayed_reply_arrives() -> None:
    async def play(stage: Stage) -> None:
        player = await stage.worker()
        spoil(player, delay(0.01))

        assert await player.ask(["count"]) == 1

    on_stage(play)


STALE: dict[str, Callable[[list[Any]], Any]] = {
    "another epoch": lambda message: [EPOCH - 1, *message[1:]],
    "an unknown id": lambda message: [*message[:2], [[99, True, 1]]],
    "the same id twice": lambda message: [*message[:2], [*message[2], *message[2]]],
}


@pytest.mark.parametrize("name", STALE)
def test_a_stale_reply_is_dropped_and_noted(name: str) -> None:
    async def play(stage: Stage) -> None:
        player = await stage.worker()
        link = spoil(player, reply_with(STALE[name]))
        player.send(["count"])
        while not link.dropped:  # noqa: ASYNC110 - a count sets no event
            await asyncio.sleep(0)

        assert await player.ask(["count"]) == 2
        assert link.dropped == 1
        assert player.heard.order in ([2], [1, 2])

    on_stage(play)


def test_a_well_formed_lie_is_believed() -> None:
    async def play(stage: Stage) -> None:
        player = await stage.worker()
        spoil(player, reply_with(lambda m: [*m[:2], [[m[2][0][0], True, "lied"]]]))

        assert await player.ask(["count"]) == "lied"

    on_stage(play)


def test_a_request_that_comes_twice_is_done_once() -> None:
    async def play(stage: Stage) -> None:
        player = await stage.worker()
        spoil(player, duplicate, duplicate, on="requests")

        assert [await player.ask(["count"]) for _ in range(3)] == [1, 2, 3]

    on_stage(play)


@pytest.mark.parametrize(
    "trick", [drop, corrupt(0), replace(b"\0" * 20), header_with(4, 1 << 31), lie(lambda _: [1])]
)
def test_a_spoiled_request_ends_the_worker_before_it_is_done(trick: Trick) -> None:
    async def play(stage: Stage) -> None:
        player = await stage.worker()
        spoil(player, trick, on="requests")
        player.send(["count"])
        player.send(["count"])
        end = await player.heard.ending()

        assert end.kind == "violation"
        assert (end.begun, end.untouched) == ((), (1, 2))

    on_stage(play)


def test_a_peer_that_says_nothing_is_not_ready_in_time() -> None:
    async def play(stage: Stage) -> None:
        await stage.no_worker(InitTimeoutError, targets.Slow, init_seconds=0.01)

    on_stage(play)


@pytest.mark.parametrize("case", conformance_cases(), ids=lambda case: case.name)
def test_a_case_plays_on_the_mock_in_virtual_time(case: Case) -> None:
    simulation.run(case.play_on(MockTransport), start_ns=1_000_000_000)


async def until_begun(player: Player, request_id: int) -> None:
    while player.link.started() < request_id:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0)
