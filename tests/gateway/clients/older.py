"""What an older Python SDK does with a sandbox; prints what it found, as JSON."""

import json
import sys
import time

import e2b
from e2b_code_interpreter import Sandbox

found = {}
with Sandbox.create(timeout=60, metadata={"from": "older"}) as sandbox:
    found["output"] = sandbox.commands.run("echo hi").stdout
    if "no-code" not in sys.argv:
        found["code"] = sandbox.run_code("1 + 1").text
    sandbox.files.write("a", "x")
    found["files"] = [sandbox.files.read("a"), [entry.name for entry in sandbox.files.list(".")]]
    again = e2b.Sandbox.connect(sandbox.sandbox_id)
    found["again"] = again.commands.run("echo again").stdout
    handle = sandbox.commands.run("cat", background=True, stdin=True)
    sandbox.commands.send_stdin(handle.pid, "in\n")
    time.sleep(0.2)
    found["killed"] = sandbox.commands.kill(handle.pid)
    watch = sandbox.files.watch_dir(".")
    sandbox.files.write("b", "x")
    events = []
    while not events:
        events = watch.get_new_events()
    found["event"] = [events[0].name, events[0].type.value]
    watch.stop()
    query = e2b.SandboxQuery(metadata={"from": "older"})
    found["listed"] = len(e2b.Sandbox.list(query=query).next_items())
    found["running"] = sandbox.is_running()
print(json.dumps(found))
