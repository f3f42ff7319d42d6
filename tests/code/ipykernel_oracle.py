"""Runs sessions of cells in a real ipykernel, JSON in and out; for the data environment."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from typing import Any

from jupyter_client import KernelManager


def run_cell(client: Any, code: str) -> dict[str, Any]:
    """One cell: what it printed, showed and raised, by the kernel's own messages."""
    told: dict[str, Any] = {"stdout": "", "stderr": "", "results": [], "error": None}
    message_id = client.execute(code, allow_stdin=False)
    while True:
        message = client.get_iopub_msg(timeout=60)
        if message["parent_header"].get("msg_id") != message_id:
            continue
        kind, content = message["msg_type"], message["content"]
        if kind == "stream":
            told[content["name"]] += content["text"]
        elif kind in ("execute_result", "display_data", "update_display_data"):
            told["results"].append([kind == "execute_result", content["data"]])
        elif kind == "error":
            told["error"] = [content["ename"], content["evalue"], "\n".join(content["traceback"])]
        elif kind == "status" and content["execution_state"] == "idle":
            break
    while True:
        reply = client.get_shell_msg(timeout=60)
        if reply["parent_header"].get("msg_id") == message_id:
            break
    if told["error"] is None and reply["content"]["status"] == "error":
        told["error"] = [reply["content"]["ename"], reply["content"]["evalue"], ""]
    return told


def main() -> None:
    """Every session in a kernel of its own."""
    os.chdir(tempfile.mkdtemp())
    os.environ["IPYTHONDIR"] = os.getcwd()
    outcomes = []
    for session in json.load(sys.stdin):
        manager = KernelManager(kernel_name="python3")
        manager.start_kernel()
        client = manager.blocking_client()
        client.start_channels()
        client.wait_for_ready(timeout=60)
        outcomes.append([run_cell(client, code) for code in session])
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    json.dump(outcomes, sys.stdout)


main()
