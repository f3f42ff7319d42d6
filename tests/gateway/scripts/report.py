"""A day of work in a sandbox, written for E2B alone; prints what came of it, as JSON."""

import base64
import json

from e2b import CommandExitException, SandboxNotFoundException, SandboxQuery, SandboxState
from e2b_code_interpreter import Sandbox

DRAW = """
import matplotlib.pyplot as plt
import pandas as pd

frame = pd.read_csv("sales.csv")
plt.bar(frame["month"], frame["sales"], label="2026")
plt.title("Sales")
plt.xlabel("Month")
plt.ylabel("Sales (EUR)")
plt.show()
frame
"""
STREAM = 'for word in one two three; do echo "$GREETING $word"; sleep 0.2; done; echo late >&2'

found = {}
sandbox = Sandbox.create(timeout=300, metadata={"script": "report"}, envs={"GREETING": "hello"})
try:
    lines, errors = [], []
    sandbox.commands.run(STREAM, on_stdout=lines.append, on_stderr=errors.append)
    found["streamed"] = ["".join(lines), "".join(errors), len(lines) > 1]
    try:
        sandbox.commands.run("exit 3")
    except CommandExitException as failed:
        found["failed"] = failed.exit_code

    sandbox.files.write("sales.csv", "month,sales\nJan,3\nFeb,5\n")
    found["listed"] = [entry.name for entry in sandbox.files.list(".") if entry.name == "sales.csv"]

    told = []
    drawn = sandbox.run_code(DRAW, on_result=lambda result: told.append(list(result.formats())))
    assert drawn.error is None, drawn.error.traceback
    picture = next(result for result in drawn.results if result.png)
    chart = picture.chart
    found["chart"] = [chart.type.value, chart.title, chart.x_label, chart.y_unit]
    found["bars"] = [[bar.label, bar.value] for bar in chart.elements]
    found["png"] = base64.b64decode(picture.png)[1:4].decode()
    frame = next(result for result in drawn.results if result.data)
    found["frame"] = [frame.data, "<table" in frame.html]
    found["told"] = len(told) == len(drawn.results)

    taken = sandbox.create_snapshot(name="report-done")
    copy = Sandbox.create(taken.snapshot_id, timeout=300)
    try:
        found["copied"] = copy.files.read("sales.csv").count("\n")
        copy.files.write("sales.csv", "changed")
    finally:
        copy.kill()
    found["snapshots"] = taken.snapshot_id in [
        one.snapshot_id for one in sandbox.list_snapshots().next_items()
    ]
    found["deleted"] = Sandbox.delete_snapshot(taken.snapshot_id)

    mine = SandboxQuery(metadata={"script": "report"})
    listed = Sandbox.list(query=mine).next_items()
    found["running"] = [one.sandbox_id == sandbox.sandbox_id for one in listed]
    sandbox.run_code("kept = 41")
    server = sandbox.commands.run("sleep 1000", background=True, timeout=0)
    sandbox.pause()
    asleep = SandboxQuery(metadata={"script": "report"}, state=[SandboxState.PAUSED])
    found["paused"] = [one.state.value for one in Sandbox.list(query=asleep).next_items()]
    again = Sandbox.connect(sandbox.sandbox_id)
    found["resumed"] = again.run_code("kept + 1").text
    found["alive"] = server.pid in [one.pid for one in again.commands.list()]
    found["unchanged"] = again.files.read("sales.csv").startswith("month")
finally:
    found["killed"] = sandbox.kill()
try:
    Sandbox.connect(sandbox.sandbox_id)
except SandboxNotFoundException:
    found["gone"] = not sandbox.is_running()
print(json.dumps(found))
