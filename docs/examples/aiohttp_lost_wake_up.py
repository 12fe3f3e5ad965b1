"""Shows aiohttp's lost wake-up without poolproof: the stock loop, a real server, real sockets.

usage: python docs/examples/aiohttp_lost_wake_up.py    needs aiohttp; see docs/findings_races.md
"""

import asyncio

import aiohttp
from aiohttp import web

# ruff: noqa: INP001 - an example is no package
PATIENCE_S = 5.0


async def page(request: web.Request) -> web.StreamResponse:
    """Answer Alice with a beginning and no end, the others at once."""
    if request.path != "/alice":
        return web.Response(text="ok")
    answer = web.StreamResponse()
    await answer.prepare(request)
    await answer.write(b"one moment")
    await asyncio.Event().wait()
    return answer


async def share_one_connection(port: int) -> None:
    """Let Bob and Carol wait for Alice's connection; Bob gives up at the moment when it is his."""
    url = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        alice = await session.get(f"{url}/alice")
        bob = asyncio.create_task(session.get(f"{url}/bob"))
        carol = asyncio.create_task(session.get(f"{url}/carol"))
        for _ in range(10):  # until both wait: the limit is reached, so they do at once
            await asyncio.sleep(0)
        alice.close()  # wakes Bob, who has waited longest
        bob.cancel()  # before he has taken a step
        _, waiting = await asyncio.wait([bob, carol], timeout=PATIENCE_S)
        print(  # noqa: T201 - what it is for
            f"aiohttp {aiohttp.__version__}: Carol "
            + (f"still waits after {PATIENCE_S:g} s" if carol in waiting else "is answered")
        )
        for task in waiting:
            task.cancel()
        await asyncio.gather(bob, carol, return_exceptions=True)


async def main() -> None:
    """Serve, share, stop."""
    app = web.Application()
    app.router.add_get("/{name}", page)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await share_one_connection(runner.addresses[0][1])
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
