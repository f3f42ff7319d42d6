"""A tour of Blaxel's sandboxes, by its SDK alone: https://docs.blaxel.ai/Sandboxes/Overview."""

import asyncio
from datetime import UTC, datetime, timedelta

import httpx
from blaxel.core import SandboxInstance, Snapshot, SyncSandboxInstance
from blaxel.core.sandbox import CodeInterpreter


async def main() -> None:
    sandbox = await SandboxInstance.create_if_not_exists(
        {
            "name": "my-sandbox",
            "image": "blaxel/base-image:latest",
            "memory": 4096,
            "ports": [{"target": 3000, "protocol": "HTTP"}],
            "envs": [{"name": "GREETING", "value": "hello"}],
            "region": "us-pdx-1",
            "labels": {"team": "docs"},
            "lifecycle": {
                "expiration_policies": [{"type": "ttl-max-age", "value": "1h", "action": "delete"}]
            },
        }
    )
    print("status", sandbox.status, sandbox.metadata.labels["team"])

    # Commands.
    done = await sandbox.process.exec(
        {
            "name": "greet",
            "command": "echo $GREETING; echo no >&2; exit 3",
            "wait_for_completion": True,
        }
    )
    print("exec", done.status, done.exit_code, repr(done.stdout), repr(done.stderr))
    heard: list[str] = []
    done = await sandbox.process.exec(
        {
            "command": "for i in 1 2 3; do echo $i; sleep 0.1; done",
            "wait_for_completion": True,
            "on_stdout": heard.append,
        }
    )
    print("streamed", "".join(heard).split(), done.status)
    await sandbox.process.exec({"name": "repl", "command": "cat", "stdin": True})
    lines: list[str] = []
    with sandbox.process.stream_logs("repl", {"on_stdout": lines.append}):
        await sandbox.process.write_stdin("repl", "typed\n")
        await sandbox.process.close_stdin("repl")
        ended = await sandbox.process.wait("repl", max_wait=20000, interval=100)
        await asyncio.sleep(0.3)
    print("stdin", ended.status, lines, repr(await sandbox.process.logs("repl", "stdout")))
    await sandbox.process.exec({"name": "long", "command": "sleep 100"})
    await sandbox.process.kill("long")
    print("killed", (await sandbox.process.wait("long", max_wait=20000, interval=100)).status)
    print(
        "listed",
        sorted(one.name for one in await sandbox.process.list() if one.name in ("greet", "long")),
    )

    # Files.
    await sandbox.fs.mkdir("/tmp/app/src")
    await sandbox.fs.write("/tmp/app/config.json", '{"debug": true}')
    await sandbox.fs.write_binary("/tmp/app/large.bin", bytes(range(256)) * 24_000)
    print(
        "binary", (await sandbox.fs.read_binary("/tmp/app/large.bin")) == bytes(range(256)) * 24_000
    )
    await sandbox.fs.write_tree(
        [{"path": "src/main.py", "content": "# TODO\nprint(1)"}], "/tmp/app"
    )
    listing = await sandbox.fs.ls("/tmp/app")
    print("ls", [one.name for one in listing.files], [one.name for one in listing.subdirectories])
    tree = await sandbox.fs.read_tree("/tmp/app", patterns=["*.py", "*.json"])
    print("tree", sorted(one.path for one in tree.files))
    print(
        "find", [one.path for one in (await sandbox.fs.find("/tmp/app", patterns=["*.py"])).matches]
    )
    print(
        "grep",
        [(one.path, one.line) for one in (await sandbox.fs.grep("todo", "/tmp/app")).matches],
    )
    await sandbox.fs.cp("/tmp/app/config.json", "/tmp/app/copy.json")
    print("read", await sandbox.fs.read("/tmp/app/copy.json"))
    events: list[str] = []

    async def heard_of(event: object) -> None:
        events.append(f"{event.op} {event.name}")  # type: ignore[attr-defined]

    with sandbox.fs.watch("/tmp/app/**", heard_of):
        await asyncio.sleep(0.5)
        await sandbox.fs.write("/tmp/app/src/new.txt", "new")
        for _ in range(50):
            if "CREATE new.txt" in events:
                break
            await asyncio.sleep(0.1)
    print("watch", "CREATE new.txt" in events)
    await sandbox.fs.rm("/tmp/app/src", recursive=True)
    try:
        await sandbox.fs.read("/tmp/app/src/new.txt")
    except Exception as error:
        print("missing", type(error).__name__, error.status)  # type: ignore[attr-defined]

    # Ports, previews, sessions.
    await sandbox.process.exec(
        {"name": "web", "command": "python3 -m http.server 3000", "working_dir": "/tmp/app"}
    )
    for _ in range(100):
        page = await sandbox.fetch(3000, "/config.json")
        if page.status_code == 200:
            break
        await asyncio.sleep(0.1)
    print("fetch", page.text)
    preview = await sandbox.previews.create_if_not_exists({"port": 3000, "name": "app"})
    token = await preview.tokens.create(datetime.now(UTC) + timedelta(hours=1))
    async with httpx.AsyncClient() as client:
        closed = await client.get(f"{preview.url}/config.json")
        headers = {"X-Blaxel-Preview-Token": token.value}
        opened = await client.get(f"{preview.url}/config.json", headers=headers)
    print("preview", closed.status_code, opened.status_code)
    session = await sandbox.sessions.create({"expires_at": datetime.now(UTC) + timedelta(hours=1)})
    guest = await SandboxInstance.from_session(session)
    print("session", await guest.fs.read("/tmp/app/config.json"))

    # Copies.
    snapshot = await sandbox.snapshots.create("before")
    await snapshot.fork("my-copy")
    copy = await SandboxInstance.get("my-copy")
    print("copy", await copy.fs.read("/tmp/app/config.json"))
    await copy.delete()
    await Snapshot.delete(snapshot.id)

    # Changing, finding, ending.
    sandbox = await SandboxInstance.update_ttl("my-sandbox", "2h")
    print("ttl", sandbox.spec.runtime.ttl)
    try:
        await SandboxInstance.create({"name": "my-sandbox"})
    except Exception as error:
        print("twice", error.code, error.status_code)  # type: ignore[attr-defined]
    print("sync", SyncSandboxInstance.get("my-sandbox").metadata.name)
    await sandbox.delete()
    print("gone", [one.metadata.name for one in await SandboxInstance.list()])

    interpreter = await CodeInterpreter.create({"name": "code", "region": "us-pdx-1"})
    context = await interpreter.create_code_context(language="python")
    await interpreter.run_code("x = 20", context=context)
    execution = await interpreter.run_code("x + 1", context=context)
    print("code", [one.text for one in execution.results])
    await interpreter.delete()


asyncio.run(main())
