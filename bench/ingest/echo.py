"""The yardstick: a bare aiohttp echo on ingest's own loop, as one writes it and as little as it can
be: `application`, one route that answers with the body, and `low-level`, the same without routing.
"""

import asyncio
import sys

import uvloop
from aiohttp import web
from aiohttp.web_request import BaseRequest


async def echo(request: BaseRequest) -> web.Response:
    return web.Response(body=await request.read())


def application() -> web.AppRunner:
    app = web.Application()
    app.router.add_post("/v1/track", echo)
    return web.AppRunner(app, access_log=None)


def low_level() -> web.ServerRunner:
    return web.ServerRunner(web.Server(echo, access_log=None))


async def serve(kind: str, port: int) -> None:
    runner = application() if kind == "application" else low_level()
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2])))
