"""Loops other than asyncio's own: web servers bring uvloop, with transports of other classes."""

from __future__ import annotations

import uvloop

from sandboxkit import AsyncSandbox


async def used() -> None:
    async with AsyncSandbox.create("local") as sandbox:
        assert (await sandbox.run("cat", stdin="through")).stdout == "through"
        await sandbox.files.write("large", b"x" * (3 << 20))
        assert len(await sandbox.files.read_bytes("large")) == 3 << 20
        assert (await sandbox.run_code("6 * 7")).text == "42"
        process = await sandbox.start("echo begun; exec sleep 60")
        assert (await anext(aiter(process))).data == b"begun\n"
        await process.kill()


def test_all_is_served_under_uvloop() -> None:
    uvloop.run(used())
