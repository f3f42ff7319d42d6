"""The methods that start a template from an image, in front of a provider that has images."""

from __future__ import annotations

import asyncio
import inspect
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.gateway.conftest import Served, serving
from tests.gateway.methods.book import WORKS, Book, Traced

PLACES = {
    "alpine": "alpine",
    "arch": "archlinux",
    "bun": "oven/bun",
    "debian": "debian",
    "fedora": "fedora",
    "node": "node",
    "python": "python",
    "ubuntu": "ubuntu",
}
"""Where the images are that each of the SDKs' methods names."""
ENDED = ("ready", "error")
WITH_DOCKER = f"{WORKS} in front of Docker; 501 of a provider that has no images"


@contextmanager
def pictured() -> Iterator[tuple[Served, str]]:
    """A gateway in front of Docker, and a tag; each image of that tag says which one it is."""
    tag = f"sandboxkit-{secrets.token_hex(4)}"
    names = [f"{place}:{tag}" for place in PLACES.values()]
    try:
        for kind, name in zip(PLACES, names, strict=True):
            recipe = f"FROM sandboxkit-test:base\nENV PICTURED={kind}\n"
            build = ["docker", "build", "--quiet", "--network", "none", "--tag", name, "-"]
            subprocess.run(build, input=recipe, text=True, check=True, capture_output=True)
        with serving("--profile", "docker") as served:
            yield served, tag
    finally:
        subprocess.run(["docker", "rmi", "--force", *names], capture_output=True)


async def prove_images(served: Served, tag: str, kinds: Mapping[str, Any]) -> dict[str, str]:
    """Build a template from each image with one SDK, and see in what a step said which it was."""
    book, params = Book(), served.params
    kind = Traced(book, "Template", kinds["Template"])
    wanted = {f"from_{name}_image": ((tag,), name) for name in PLACES}
    wanted["from_image"] = ((f"debian:{tag}",), "debian")
    builds = {}
    for name, (arguments, _) in wanted.items():
        made = await getattr(Traced(book, "Template", kinds["Template"]()), name)(*arguments)
        made = made.run_cmd("echo pictured $PICTURED")
        builds[name] = await kind.build_in_background(made, name.replace("_", "-"), **params)
    for name, build in builds.items():
        while (told := await kind.get_build_status(build, **params)).status.value not in ENDED:
            await asyncio.sleep(0.1)
        assert told.status.value == "ready", told.reason
        said = [one.message for one in told.log_entries]
        book.works(f"Template.{name}", f"pictured {wanted[name][1]}\n" in said)
        gone = kinds["Sandbox"].delete_snapshot(build.name, **params)
        assert (await gone) if inspect.isawaitable(gone) else gone
    return dict.fromkeys(book.rows, WITH_DOCKER)
