"""The methods of the Python SDKs that are for parts of E2B's cloud."""

from __future__ import annotations

import e2b
import pytest

import sandboxkit
from tests.gateway.methods.proof import PROFILE, Proof


async def volumes(it: Proof) -> None:
    kind, params = it.kinds["Volume"], it.served.params
    at = {"api_url": it.served.url}
    volume = await kind.create("shared", **params)
    mark = {**it.mark, "of": "volume"}
    mounts = {"/mnt/shared": "shared"}
    await it.kinds["Sandbox"].create(metadata=mark, volume_mounts=mounts, timeout=300, **params)
    (info,) = sandboxkit.Sandbox.list(PROFILE, metadata=mark)
    with sandboxkit.Sandbox.connect(info.address) as box:
        files = box.files
        it.works("Volume.create", files.stat("/mnt/shared").is_dir)
        await volume.write_file("/a/one", "text", **at)
        it.works("Volume.write_file", files.read_text("/mnt/shared/a/one") == "text")
        files.write("/mnt/shared/a/two", "22")
        it.works("Volume.read_file", await volume.read_file("/a/two", **at) == "22")
        there = [await volume.exists(path, **at) for path in ("/a/two", "/a/none")]
        it.works("Volume.exists", there == [True, False])
        it.works("Volume.get_info", (await volume.get_info("/a/two", **at)).size == 2)
        listed = sorted(one.name for one in await volume.list("/a", **at))
        it.works("Volume.list", listed == sorted(one.name for one in files.list("/mnt/shared/a")))
        await volume.make_dir("/new", **at)
        it.works("Volume.make_dir", files.stat("/mnt/shared/new").is_dir)
        await volume.update_metadata("/a/two", mode=0o600, **at)
        it.works("Volume.update_metadata", files.stat("/mnt/shared/a/two").mode == 0o600)
        await volume.remove("/a", **at)
        it.works("Volume.remove", not files.exists("/mnt/shared/a"))
        again = await kind.connect(volume.volume_id, **params)
        files.write("/mnt/shared/kept", "kept")
        it.works("Volume.connect", await again.read_file("/kept", **at) == "kept")
        box.kill()
    await kind.destroy(volume.volume_id, **params)
    with pytest.raises(e2b.VolumeNotFoundException):
        await kind.get_info(volume.volume_id, **params)
    it.works("Volume.destroy", not await kind.list(**params))


async def secret_values(it: Proof) -> None:
    kind, params, book = it.kinds["Secret"], it.served.params, it.book
    await book.refused("Secret.create", kind.create("s", "value", **params))
    await book.refused("Secret.update", kind.update("s", "value", **params))
    for name in ("destroy", "exists", "get_info"):
        await book.refused(f"Secret.{name}", getattr(kind, name)("s", **params))
    pages = await kind.list(**params)
    await book.refused("Secret.list", pages.next_items())
    await book.refused("SecretPaginator.next_items", pages.next_items())
    # Both only describe what a creation is to have, which then is refused.
    create = it.kinds["Sandbox"].create
    header = {"transform": {"headers": {"authorization": await kind.fill("s")}}}
    await book.refused("Secret.fill", create(network={"rules": {"x.org": [header]}}, **params))
    token = await kind.iam_token(audience="x", token_type="JWT-SVID")
    await book.refused("Secret.iam_token", create(iam={"tokens": {"x": token}}, **params))
