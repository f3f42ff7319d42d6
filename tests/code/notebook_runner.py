"""Runs cells as a notebook, in a real ipykernel, and writes it; for the data environment."""

from __future__ import annotations

import json
import sys

import nbformat
from jupyter_client import KernelManager
from nbformat import v4

SHOWN = ("stream", "execute_result", "display_data", "error")


def main() -> None:
    """Sources of cells as JSON in, an executed and valid notebook out."""
    notebook = v4.new_notebook(cells=[v4.new_code_cell(code) for code in json.load(sys.stdin)])
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel()
    client = manager.blocking_client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    for cell in notebook.cells:
        client.execute_interactive(
            cell.source,
            timeout=60,
            output_hook=lambda message, cell=cell: (
                cell.outputs.append(v4.output_from_msg(message))
                if message["msg_type"] in SHOWN
                else None
            ),
        )
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    nbformat.validate(notebook)
    print(nbformat.writes(notebook))


main()
