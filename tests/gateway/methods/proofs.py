"""Each method of the Python SDKs, called, and its effect seen by another way, mostly our own.

Written once for both SDKs: whatever is called is awaited (`Traced`), and where the two differ in
their nature, `it.asynchronous` decides.
"""

from __future__ import annotations

import secrets
import urllib.request
from datetime import UTC, datetime
from typing import Any

import e2b

import sandboxkit
from tests.gateway.conftest import Served
from tests.gateway.methods.book import Book, Traced
from tests.gateway.methods.building import templates
from tests.gateway.methods.cloud import secret_values, volumes
from tests.gateway.methods.proof import PROFILE, Proof


async def files(it: Proof) -> None:
    sdk, ours = it.sandbox.files, it.ours.files
    await sdk.write("a/one", "text")
    it.works("Sandbox.files.write", ours.read_text("a/one") == "text")
    await sdk.write_files([{"path": "a/two", "data": b"\xff"}, {"path": "a/three", "data": "3"}])
    both = (ours.read_bytes("a/two"), ours.read_text("a/three"))
    it.works("Sandbox.files.write_files", both == (b"\xff", "3"))
    ours.write("a/four", "4444")
    it.works("Sandbox.files.read", await sdk.read("a/four") == "4444")
    there = [await sdk.exists("a/four"), await sdk.exists("a/none")]
    it.works("Sandbox.files.exists", there == [True, False])
    info = await sdk.get_info("a/four")
    it.works("Sandbox.files.get_info", info.size == ours.stat("a/four").size == 4)
    listed = {entry.path for entry in await sdk.list("a")}
    it.works("Sandbox.files.list", listed == {entry.path for entry in ours.list("a")})
    await sdk.make_dir("a/new/deep")
    it.works("Sandbox.files.make_dir", ours.stat("a/new/deep").is_dir)
    await sdk.rename("a/one", "a/moved")
    it.works("Sandbox.files.rename", ours.exists("a/moved") and not ours.exists("a/one"))
    await sdk.remove("a/moved")
    it.works("Sandbox.files.remove", not ours.exists("a/moved"))


async def watches(it: Proof) -> None:
    ours = it.ours.files
    ours.mkdir("w")
    seen: list[str] = []
    if it.asynchronous:
        ends: list[Any] = []
        handle = await it.sandbox.files.watch_dir(
            "w", on_event=lambda event: seen.append(event.name), on_exit=ends.append
        )
    else:
        handle = await it.sandbox.files.watch_dir("w")

    async def told(name: str) -> bool:
        if not it.asynchronous:
            seen.extend(event.name for event in await handle.get_new_events())
        return name in seen

    ours.write("w/first", "1")
    it.works("Sandbox.files.watch_dir", await it.until(lambda: told("first")))
    if not it.asynchronous:
        it.works("WatchHandle.get_new_events", "first" in seen)
    await handle.stop()
    ours.write("w/second", "2")
    if it.asynchronous:
        it.works("WatchHandle.stop", await it.until(lambda: bool(ends)) and "second" not in seen)
    else:
        try:
            await handle.get_new_events()
        except e2b.SandboxException as error:
            it.works("WatchHandle.stop", "stopped" in str(error) or "not found" in str(error))


async def commands(it: Proof) -> None:
    sdk = it.sandbox.commands
    got = await sdk.run("echo told; echo seen > ran")
    it.works("Sandbox.commands.run", got.stdout == "told\n" and it.text("ran") == "seen\n")
    handle = await sdk.run("cat > typed", background=True, stdin=True)
    listed = {one.pid for one in await sdk.list()}
    it.works(
        "Sandbox.commands.list", listed == {one.pid for one in it.ours.processes() if one.running}
    )
    await sdk.send_stdin(handle.pid, "one ")
    it.works("Sandbox.commands.send_stdin", await it.until(lambda: it.text("typed") == "one "))
    await handle.send_stdin("two ")
    it.works("CommandHandle.send_stdin", await it.until(lambda: it.text("typed") == "one two "))
    if it.asynchronous:
        stream = await sdk.stream_input(handle.pid)
        await stream.send("three ")
        shown = await it.until(lambda: it.text("typed") == "one two three ")
        it.works("CommandInputHandle.send", shown)
        await stream.close()
        it.works("CommandInputHandle.close", it.runs(handle.pid))
    else:
        await sdk.stream_input(handle.pid, ["thr", "ee "])
        shown = await it.until(lambda: it.text("typed") == "one two three ")
    it.works("Sandbox.commands.stream_input", shown)
    await sdk.close_stdin(handle.pid)
    it.works("Sandbox.commands.close_stdin", await it.until(lambda: not it.runs(handle.pid)))
    await handles(it)


async def handles(it: Proof) -> None:
    sdk = it.sandbox.commands
    cat = await sdk.run("cat > again; echo end; exit 0", background=True, stdin=True)
    await cat.close_stdin()
    result = await cat.wait()
    it.works("CommandHandle.close_stdin", it.ours.files.exists("again"))
    it.works("CommandHandle.wait", result.stdout == "end\n" and not it.runs(cat.pid))
    sleeper = await sdk.run("sleep 1000", background=True)
    await sleeper.disconnect()
    it.works("CommandHandle.disconnect", it.runs(sleeper.pid))
    again = await sdk.connect(sleeper.pid)
    it.works("Sandbox.commands.connect", again.pid == sleeper.pid and it.runs(again.pid))
    await sdk.kill(sleeper.pid)
    it.works("Sandbox.commands.kill", not it.runs(sleeper.pid))
    other = await sdk.run("sleep 1000", background=True)
    await other.kill()
    it.works("CommandHandle.kill", not it.runs(other.pid))


async def terminals(it: Proof) -> None:
    sdk = it.sandbox.pty
    options: dict[str, Any] = {"on_data": lambda data: None} if it.asynchronous else {}
    handle = await sdk.create(e2b.PtySize(rows=24, cols=80), **options)
    (shown,) = [one for one in it.ours.processes() if one.pid == handle.pid]
    it.works("Sandbox.pty.create", shown.terminal)
    await sdk.send_stdin(handle.pid, b"echo typed > pty\n")
    it.works("Sandbox.pty.send_stdin", await it.until(lambda: it.text("pty") == "typed\n"))
    await sdk.resize(handle.pid, e2b.PtySize(rows=33, cols=101))
    if it.asynchronous:
        stream = await sdk.stream_input(handle.pid)
        await stream.send(b"stty size > size\n")
        await stream.close()
    else:
        await sdk.stream_input(handle.pid, [b"stty size", b" > size\n"])
    sized = await it.until(lambda: it.text("size") == "33 101\n")
    it.works("Sandbox.pty.stream_input", sized)
    it.works("Sandbox.pty.resize", sized)
    again = await sdk.connect(handle.pid, **options)
    it.works("Sandbox.pty.connect", again.pid == handle.pid and it.runs(again.pid))
    await sdk.kill(handle.pid)
    it.works("Sandbox.pty.kill", not it.runs(handle.pid))


async def repositories(it: Proof) -> None:
    git = it.sandbox.git

    def tells(command: str, path: str = "repo") -> str:
        return it.ours.run(f"git -C {path} {command}").stdout.strip()

    await git.configure_user("Ann", "ann@example.org")
    it.works("Sandbox.git.configure_user", tells("config --global user.name", ".") == "Ann")
    await git.set_config("color.ui", "never", scope="global")
    it.works("Sandbox.git.set_config", tells("config --global color.ui", ".") == "never")
    it.works("Sandbox.git.get_config", await git.get_config("color.ui", scope="global") == "never")
    await git.init("repo", initial_branch="main")
    it.works("Sandbox.git.init", tells("rev-parse --git-dir") == ".git")
    it.ours.files.write("repo/file", "1\n")
    status = await git.status("repo")
    it.works("Sandbox.git.status", [one.name for one in status.file_status] == ["file"])
    await git.add("repo")
    it.works("Sandbox.git.add", tells("diff --cached --name-only") == "file")
    await git.commit("repo", "first")
    it.works("Sandbox.git.commit", tells("log --format=%s") == "first")
    await git.create_branch("repo", "side")
    it.works("Sandbox.git.create_branch", "side" in tells("branch --list side"))
    await git.checkout_branch("repo", "main")
    it.works("Sandbox.git.checkout_branch", tells("branch --show-current") == "main")
    it.works("Sandbox.git.branches", set((await git.branches("repo")).branches) == {"main", "side"})
    await git.delete_branch("repo", "side")
    it.works("Sandbox.git.delete_branch", not tells("branch --list side"))
    await git.init("bare", bare=True, initial_branch="main")
    await git.remote_add("repo", "origin", "/home/user/bare")
    it.works("Sandbox.git.remote_add", tells("remote get-url origin") == "/home/user/bare")
    it.works("Sandbox.git.remote_get", await git.remote_get("repo", "origin") == "/home/user/bare")
    await git.push("repo", "origin", "main")
    it.works("Sandbox.git.push", tells("log --format=%s main", "bare") == "first")
    await git.clone("/home/user/bare", "copy")
    it.works("Sandbox.git.clone", tells("log --format=%s", "copy") == "first")
    it.ours.run("cd copy && echo 2 > file && git commit -qam second && git push -q", check=True)
    await git.pull("repo", "origin", "main")
    it.works("Sandbox.git.pull", tells("log -1 --format=%s") == "second")
    it.ours.files.write("repo/file", "spoilt")
    await git.restore("repo", ["file"])
    it.works("Sandbox.git.restore", it.text("repo/file") == "2\n")
    await git.reset("repo", mode="hard", target="HEAD~1")
    it.works("Sandbox.git.reset", tells("log -1 --format=%s") == "first")
    await git.dangerously_authenticate("ann", "token", host="git.example.org")
    stored = it.ours.run("cat ~/.git-credentials", env={"HOME": "/home/user"}).stdout
    it.works("Sandbox.git.dangerously_authenticate", "ann:token@git.example.org" in stored)


async def code(it: Proof) -> None:
    sdk = it.sandbox

    def known() -> list[str]:
        return [one.id for one in it.ours.contexts.list()]

    got = await sdk.run_code("open('by_code', 'w').write('x'); 6 * 7")
    it.works("Sandbox.run_code", got.text == "42" and it.text("by_code") == "x")
    made = await sdk.create_code_context(cwd="/tmp")
    it.works("Sandbox.create_code_context", made.id in known())
    listed = [one.id for one in await sdk.list_code_contexts()]
    it.works("Sandbox.list_code_contexts", sorted(listed) == sorted(known()))
    it.ours.run_code("kept = 1", context=made.id, check=True)
    await sdk.restart_code_context(made)
    gone = it.ours.run_code("kept", context=made.id)
    it.works("Sandbox.restart_code_context", gone.error is not None)
    await sdk.remove_code_context(made)
    it.works("Sandbox.remove_code_context", made.id not in known())


async def addresses(it: Proof) -> None:
    sdk = it.sandbox
    it.ours.files.write("served", "from inside")

    def fetched(url: str, data: bytes | None = None) -> bytes:
        kind = {"Content-Type": "application/octet-stream"}
        request = urllib.request.Request(url, data=data, headers=kind)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.read()

    url = await sdk.download_url("served")
    it.works("Sandbox.download_url", fetched(url) == b"from inside")
    fetched(await sdk.upload_url("uploaded"), b"from outside")
    it.works("Sandbox.upload_url", it.text("uploaded") == "from outside")
    for port in (8000, 50005):
        it.ours.start(f"python3 -m http.server {port}")
        it.ours.run(f"until (: < /dev/tcp/127.0.0.1/{port}); do sleep .05; done 2>&-", timeout=30)
    it.works("Sandbox.get_host", it.ask(await sdk.get_host(8000)) == b"from inside")
    host = (await sdk.get_mcp_url()).removeprefix("https://").removesuffix("/mcp")
    it.works("Sandbox.get_mcp_url", it.ask(host) == b"from inside")
    # E2B's own template has this file.
    it.ours.files.write("/etc/mcp-gateway/.token", "secret", user="root")
    it.works("Sandbox.get_mcp_token", await sdk.get_mcp_token() == "secret")


async def life(it: Proof) -> None:
    sdk, kinds = it.sandbox, it.kinds
    (mine,) = sandboxkit.Sandbox.list(PROFILE, metadata=it.mark)
    it.works("Sandbox.create", mine.address == it.ours.address)
    it.works("Sandbox.is_running", await sdk.is_running() and it.ours.is_running())
    await sdk.set_timeout(500)
    left = (it.ours.info().expires_at - datetime.now(UTC)).total_seconds()
    it.works("Sandbox.set_timeout", 400 < left <= 500)
    told = (await sdk.get_info()).end_at
    it.works("Sandbox.get_info", abs((told - it.ours.info().expires_at).total_seconds()) < 1)
    (used,) = await sdk.get_metrics()
    it.works("Sandbox.get_metrics", used.mem_used > 0 and it.ours.metrics().memory_used)
    for name in ("pause", "beta_pause"):
        await getattr(sdk, name)()
        it.works(f"Sandbox.{name}", it.ours.info().state == "paused")
        again = await kinds["Sandbox"].connect(sdk.sandbox_id, **it.served.params)
        it.works("Sandbox.connect", it.ours.info().state == "running")
    page = await kinds["Sandbox"].list(query=e2b.SandboxQuery(metadata=it.mark), **it.served.params)
    (found,) = await page.next_items()
    it.works("Sandbox.list", found.sandbox_id == again.sandbox_id)
    it.works("SandboxPaginator.next_items", found.metadata == mine.metadata)


async def copies(it: Proof) -> None:
    sdk, kinds = it.sandbox, it.kinds

    def kept() -> int:
        return len(sandboxkit.Sandbox.snapshots(PROFILE))

    before = kept()
    taken = await sdk.create_snapshot(name="methods")
    it.works("Sandbox.create_snapshot", kept() == before + 1)
    pages = await sdk.list_snapshots()
    listed = [one.snapshot_id for one in await pages.next_items()]
    it.works("Sandbox.list_snapshots", listed == [taken.snapshot_id])
    it.works("SnapshotPaginator.next_items", listed == [taken.snapshot_id])
    await kinds["Sandbox"].delete_snapshot(taken.snapshot_id, **it.served.params)
    it.works("Sandbox.delete_snapshot", kept() == before)
    it.ours.files.write("forked", "same")
    (fork,) = await sdk.fork(count=1)
    it.works("Sandbox.fork", await fork.files.read("forked") == "same")
    await fork.kill()
    await sdk.kill()
    it.works("Sandbox.kill", not sandboxkit.Sandbox.list(PROFILE, metadata=it.mark))


async def refusals(it: Proof) -> None:
    await it.book.refused("Sandbox.update_network", it.sandbox.update_network({"allow_out": []}))


PROOFS = (
    *(files, watches, commands, terminals, repositories, code, addresses, refusals),
    *(templates, volumes, secret_values, life, copies),
)


async def prove(served: Served, kinds: dict[str, Any], *, asynchronous: bool) -> dict[str, str]:
    """Run all proofs with one SDK; its rows."""
    book = Book()
    traced = {name: Traced(book, name, kind) for name, kind in kinds.items()}
    mark = {"methods": secrets.token_hex(8)}
    sandbox = await traced["Sandbox"].create(metadata=mark, **served.params)
    (info,) = sandboxkit.Sandbox.list(PROFILE, metadata=mark)
    try:
        with sandboxkit.Sandbox.connect(info.address) as ours:
            it = Proof(book, asynchronous, sandbox, ours, traced, served, mark)
            for proof in PROOFS:
                await proof(it)
    finally:
        await sandbox.kill()
    return book.rows
