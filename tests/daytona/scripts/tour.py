"""A program for Daytona alone, written after its documentation; it knows of no other server."""

import asyncio
import time
import urllib.request

from daytona import (
    AsyncDaytona,
    CodeRunParams,
    CreateSandboxFromSnapshotParams,
    Daytona,
    DaytonaNotFoundError,
    FileUpload,
    ListSandboxesQuery,
    SessionExecuteRequest,
)
from daytona.common.pty import PtySize

daytona = Daytona()

# -- a sandbox, and code in it ---------------------------------------------------------------------

sandbox = daytona.create(
    CreateSandboxFromSnapshotParams(
        name="tour", language="python", labels={"purpose": "tour"}, env_vars={"GREETING": "hello"}
    )
)
print("state", sandbox.state.value, sandbox.auto_stop_interval)

answer = sandbox.process.code_run('print("Hello World from code!")')
print("code", answer.exit_code, answer.result.strip())
answer = sandbox.process.code_run(
    "import sys; print(sys.argv[1])", CodeRunParams(argv=["argument"])
)
print("argv", answer.result.strip())
answer = sandbox.process.exec("echo $GREETING; echo trouble >&2; exit 3", timeout=10)
print("exec", answer.exit_code, sorted(answer.result.split()))

# -- a session, whose streams are told apart -------------------------------------------------------

sandbox.process.create_session("build")
sandbox.process.execute_session_command(
    "build", SessionExecuteRequest(command="cd /tmp && export STEP=one")
)
done = sandbox.process.execute_session_command(
    "build", SessionExecuteRequest(command="pwd; echo $STEP; echo warning >&2")
)
print("session", done.exit_code, done.stdout.split(), done.stderr.split())
begun = sandbox.process.execute_session_command(
    "build", SessionExecuteRequest(command="read name; echo hi $name", run_async=True)
)
sandbox.process.send_session_command_input("build", begun.cmd_id, "daytona\n")
heard: list[str] = []
asyncio.run(
    sandbox.process.get_session_command_logs_async(
        "build", begun.cmd_id, heard.append, lambda text: None
    )
)
print("logs", "".join(heard).strip())
print("exit", sandbox.process.get_session_command("build", begun.cmd_id).exit_code)
sandbox.process.delete_session("build")
print("sessions", sandbox.process.list_sessions())

# -- a terminal ------------------------------------------------------------------------------------

terminal = sandbox.process.create_pty_session("terminal", pty_size=PtySize(rows=30, cols=100))
terminal.send_input("stty size; exit 7\n")
shown = b"".join(terminal)
print("terminal", terminal.exit_code, b"30 100" in shown)

# -- files -----------------------------------------------------------------------------------------

sandbox.fs.create_folder("data", "755")
sandbox.fs.upload_file(bytes(range(256)), "data/all.bin")
sandbox.fs.upload_files(
    [FileUpload(b"one TODO\n", "data/1.txt"), FileUpload(b"two\n", "data/2.txt")]
)
print("bytes", sandbox.fs.download_file("data/all.bin") == bytes(range(256)))
print("files", sorted(one.name for one in sandbox.fs.list_files("data")))
print("found", [(one.line, one.content.strip()) for one in sandbox.fs.find_files("data", "TODO")])
print("named", len(sandbox.fs.search_files("data", "*.txt").files))
sandbox.fs.replace_in_files(["data/1.txt"], "TODO", "DONE")
sandbox.fs.move_files("data/1.txt", "data/moved.txt")
sandbox.fs.set_file_permissions("data/moved.txt", mode="600")
info = sandbox.fs.get_file_info("data/moved.txt")
print("moved", sandbox.fs.download_file("data/moved.txt"), info.permissions, info.size)
sandbox.fs.delete_file("data/2.txt")
try:
    sandbox.fs.download_file("data/2.txt")
except DaytonaNotFoundError as error:
    print("missing", error.code)
with urllib.request.urlopen(sandbox.download_url("data/moved.txt", 60)) as answered:
    print("url", answered.read())

# -- the interpreter keeps its state ---------------------------------------------------------------

sandbox.code_interpreter.run_code("x = 20")
print("state", sandbox.code_interpreter.run_code("print(x + 22)").stdout.strip())
failed = sandbox.code_interpreter.run_code("1 / 0")
print("error", failed.error.name)
context = sandbox.code_interpreter.create_context()
apart = sandbox.code_interpreter.run_code("print(x)", context=context)
print("context", apart.error.name)

# -- stop, start, snapshot -------------------------------------------------------------------------

sandbox.set_labels({"purpose": "tour", "stage": "two"})
sandbox.set_autostop_interval(60)
sandbox.stop()
print("stopped", daytona.get("tour").state.value in ("stopped", "paused"))
sandbox.start()
print("kept", sandbox.fs.download_file("data/moved.txt"))
sandbox.create_snapshot("tour-snapshot")
copy = daytona.create(CreateSandboxFromSnapshotParams(snapshot="tour-snapshot"))
print("copy", copy.fs.download_file("data/moved.txt"))
listed = list(daytona.list(ListSandboxesQuery(labels={"stage": "two"})))
print("listed", [one.name for one in listed], len(list(daytona.list(ListSandboxesQuery(limit=1)))))
daytona.delete(copy, wait=True)
daytona.snapshot.delete("tour-snapshot")
print("preview", sandbox.get_preview_link(3000).token != "")

# -- and without blocking --------------------------------------------------------------------------


async def later() -> None:
    async with AsyncDaytona() as client:
        same = await client.get("tour")
        print("async", (await same.process.exec("echo async")).result.strip())


asyncio.run(later())
daytona.delete(sandbox, wait=True)
began = time.monotonic()
try:
    daytona.get("tour")
except DaytonaNotFoundError:
    print("gone")
