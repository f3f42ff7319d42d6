"""The methods of the Python SDKs that build templates: one build with every step, seen from within.

What a step installs is not here, where there is no network: programs of the same names note how
they were called, which is what a step is.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import e2b
import pytest

import sandboxkit
from tests.gateway.methods.proof import PROFILE, Proof

STUBS = "apt-get pip npm bun mcp-gateway devcontainer sudo"
PREPARE = f"""
mkdir bin && cd bin
printf '#!/bin/sh\\necho "$(basename $0) $*" >> /home/user/called\\n' > stub
chmod 755 stub && for name in {STUBS}; do ln -s stub $name; done
: > ../called && chmod 666 ../called
echo 'export PATH=/home/user/bin:$PATH' > ../.bash_profile
"""
PREPARE_ROOT = "cp /home/user/.bash_profile /root/; touch /devcontainer.up"
IMAGES = {
    **{f"from_{name}_image": () for name in ("alpine", "arch", "bun", "debian", "fedora", "node")},
    **{f"from_{name}_image": () for name in ("python", "ubuntu")},
    "from_image": ("example.org/image",),
    "from_aws_registry": ("image", "id", "key", "region"),
    "from_gcp_registry": ("image", {}),
}
"""What starts from an image, which this provider has none of; on others it works (`images`)."""


async def templates(it: Proof) -> None:
    for name, arguments in IMAGES.items():
        started = getattr(it.kinds["Template"].target(), name)(*arguments)
        build = it.kinds["Template"].build(started, "x", **it.served.params)
        await it.book.refused(f"Template.{name}", build)
    with tempfile.TemporaryDirectory() as place:
        context = Path(place)
        for name in ("one", "two"):
            (context / name).write_text(name)
        await every_step(it, context)
    await starts(it)
    await names(it)


async def described(it: Proof, context: Path | None, *steps: tuple[Any, ...]) -> Any:
    """A template, described step by step."""
    made = it.kinds["Template"].target(file_context_path=context or ".")
    for name, *arguments in steps:
        made = await getattr(it.traced("Template", made), name)(*arguments)
    return made


async def inside(it: Proof, name: str) -> sandboxkit.Sandbox:
    """A sandbox of a template, by our own interface."""
    mark = {**it.mark, "of": name}
    await it.kinds["Sandbox"].create(name, metadata=mark, timeout=300, **it.served.params)
    (info,) = sandboxkit.Sandbox.list(PROFILE, metadata=mark)
    return sandboxkit.Sandbox.connect(info.address)


async def every_step(it: Proof, context: Path) -> None:
    kind, params = it.kinds["Template"], it.served.params
    made = await described(
        it,
        context,
        ("from_base_image",),
        ("run_cmd", PREPARE),
        ("run_cmd", PREPARE_ROOT, "root"),
        ("set_envs", {"FROM_TEMPLATE": "yes"}),
        ("copy", "one", "/home/user/copied"),
        ("copy_items", [{"src": "two", "dest": "/home/user/items/"}]),
        ("make_dir", "/home/user/new/deep"),
        ("make_symlink", "copied", "/home/user/link"),
        ("rename", "/home/user/items/two", "/home/user/renamed"),
        ("run_cmd", "touch gone"),
        ("remove", "/home/user/gone"),
        ("run_cmd", "git init -q --bare bare"),
        ("git_clone", "/home/user/bare", "/home/user/cloned"),
        ("apt_install", "tree"),
        ("pip_install", "six"),
        ("npm_install", "left-pad"),
        ("bun_install", "right-pad"),
        ("set_user", "root"),
        ("run_cmd", "id -un > /who"),
        ("set_user", "user"),
        ("set_workdir", "/home/user/new"),
        ("skip_cache",),
        ("run_cmd", "date +%N > stamp"),
    )
    said: list[str] = []
    info = await kind.build(
        made, "steps", on_build_logs=lambda one: said.append(one.message), **params
    )
    with await inside(it, "steps") as box:
        it.works("Template.build", info.name == "steps" and any("RUN" in line for line in said))
        it.works("Template.from_base_image", box.run("echo $HOME").stdout == "/home/user\n")
        it.works("Template.run_cmd", box.files.exists("/home/user/bin/stub"))
        it.works("Template.set_envs", box.run("echo $FROM_TEMPLATE").stdout == "yes\n")
        it.works("Template.copy", box.files.read_text("/home/user/copied") == "one")
        renamed = box.files.read_text("/home/user/renamed") == "two"
        it.works("Template.copy_items", renamed)
        it.works("Template.rename", renamed and not box.files.exists("/home/user/items/two"))
        it.works("Template.make_dir", box.files.stat("/home/user/new/deep").is_dir)
        it.works("Template.make_symlink", box.files.stat("/home/user/link").target == "copied")
        it.works("Template.remove", not box.files.exists("/home/user/gone"))
        it.works("Template.git_clone", box.files.exists("/home/user/cloned/.git"))
        called = box.files.read_text("/home/user/called")
        it.works("Template.apt_install", "apt-get install -y" in called and "tree" in called)
        it.works("Template.pip_install", "pip install six" in called)
        it.works("Template.npm_install", "npm install" in called and "left-pad" in called)
        it.works("Template.bun_install", "bun install" in called and "right-pad" in called)
        it.works("Template.set_user", box.files.read_text("/who") == "root\n")
        it.works("Template.set_workdir", box.run("pwd").stdout == "/home/user/new\n")
        first = box.files.read_text("/home/user/new/stamp")
        box.kill()
    whole = json.loads(await kind.to_json(made))
    it.works("Template.to_json", [one["type"] for one in whole["steps"]].count("COPY") == 2)
    plain = await described(it, None, ("from_image", "debian"), ("run_cmd", "echo x"))
    it.works("Template.to_dockerfile", "RUN echo x" in await kind.to_dockerfile(plain))
    await kind.build(made, "steps", **params)
    with await inside(it, "steps") as box:
        it.works("Template.skip_cache", box.files.read_text("/home/user/new/stamp") != first)
        box.kill()


async def starts(it: Proof) -> None:
    """What a template starts in its sandboxes; and templates that start from others."""
    kind, params = it.kinds["Template"], it.served.params
    listens = e2b.wait_for_port(8000)
    made = await described(
        it,
        None,
        ("from_template", "steps"),
        ("set_start_cmd", "python3 -m http.server 8000", listens),
    )
    info = await kind.build_in_background(made, "started", **params)
    told = [await kind.get_build_status(info, **params)]

    async def ended() -> bool:
        told.append(await kind.get_build_status(info, **params))
        return told[-1].status.value in ("ready", "error")

    seen = await it.until(ended)
    with await inside(it, "started") as box:
        it.works("Template.build_in_background", told[-1].status.value == "ready")
        it.works("Template.get_build_status", seen and box.is_running())
        running = [one.command for one in box.processes() if one.running]
        it.works("Template.set_start_cmd", any("http.server" in one for one in running))
        assert box.run(": < /dev/tcp/127.0.0.1/8000").ok  # it was waited for
        it.works("Template.from_template", box.files.exists("/home/user/copied"))
        box.kill()
    for name in ("mcp-gateway", "devcontainer"):
        base = await described(it, None, ("from_template", "steps"))
        await kind.build(base, name, **params)
    dockerfile = "FROM e2bdev/base\nRUN echo dockerfile > /by"
    asked = ("set_ready_cmd", "touch /home/user/asked")
    made = await described(it, None, ("from_dockerfile", dockerfile), asked)
    await kind.build(made, "by-dockerfile", **params)
    made = await described(it, None, ("from_template", "mcp-gateway"), ("add_mcp_server", "exa"))
    await kind.build(made, "with-mcp", **params)
    made = await described(
        it,
        None,
        ("from_template", "devcontainer"),
        ("beta_dev_container_prebuild", "/w"),
        ("beta_set_dev_container_start", "/w"),
    )
    await kind.build(made, "with-dev", **params)
    with await inside(it, "by-dockerfile") as box:
        it.works("Template.from_dockerfile", box.files.read_text("/by") == "dockerfile\n")
        it.works("Template.set_ready_cmd", box.files.exists("/home/user/asked"))
        box.kill()
    with await inside(it, "with-mcp") as box:
        called = box.files.read_text("/home/user/called")
        it.works("Template.add_mcp_server", "mcp-gateway pull exa" in called)
        box.kill()
    create = it.kinds["Sandbox"].create
    with pytest.raises(e2b.SandboxException, match="501"):
        await create("base", mcp={"exa": {}}, **params)
    served = await create(mcp={"exa": {}}, **params)  # of the template mcp-gateway
    assert 'mcp-gateway --config {"exa": {}}' in await served.files.read("/home/user/called")
    await served.kill()
    with await inside(it, "with-dev") as box:
        called = box.files.read_text("/home/user/called")
        built = "devcontainer build --workspace-folder /w" in called
        it.works("Template.beta_dev_container_prebuild", built)
        it.works("Template.beta_set_dev_container_start", "sudo devcontainer up" in called)
        box.kill()


async def names(it: Proof) -> None:
    kind, params = it.kinds["Template"], it.served.params

    async def made(name: str) -> bool:
        try:
            box = await it.kinds["Sandbox"].create(name, **params)
        except e2b.SandboxException:
            return False
        return bool(await box.kill())

    for name in ("exists", "alias_exists"):
        there = [await getattr(kind, name)(one, **params) for one in ("steps", "no-such-name")]
        it.works(f"Template.{name}", there == [await made("steps"), await made("no-such-name")])
    await kind.assign_tags("steps", ["v1"], **params)
    it.works("Template.assign_tags", await made("steps:v1"))
    tags = {one.tag for one in await kind.get_tags("steps", **params)}
    it.works("Template.get_tags", tags == {"default", "v1"})
    await kind.remove_tags("steps", "v1", **params)
    it.works("Template.remove_tags", not await made("steps:v1"))
    for name in ("steps", "started", "mcp-gateway", "devcontainer", "by-dockerfile"):
        assert await it.kinds["Sandbox"].delete_snapshot(name, **params)
    for name in ("with-mcp", "with-dev"):
        assert await it.kinds["Sandbox"].delete_snapshot(name, **params)
