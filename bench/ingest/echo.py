"""The yardstick: as little as an aiohttp server can do with a body, on ingest's own loop."""

import asyncio
import sys

import uvloop
from aiohttp import web


async def echo(request: web.Request) -> web.Response:
    return web.Response(body=await request.read())


def application() -> web.Application:
    app = web.Application()
    app.router.add_post("/v1/track", echo)
    return app


async def serve(port: int) -> None:
    runner = web.AppRunner(application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
