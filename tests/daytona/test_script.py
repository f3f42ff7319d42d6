"""A program that was written for Daytona alone runs unchanged against our server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("scripts") / "tour.py"

PRINTED = """state started 15
code 0 Hello World from code!
argv argument
exec 3 ['hello', 'trouble']
session 0 ['/tmp', 'one'] ['warning']
logs hi daytona
exit 0
sessions []
terminal 7 True
bytes True
files ['1.txt', '2.txt', 'all.bin']
found [(1, 'one TODO')]
named 2
moved b'one DONE\\n' 0600 9
missing FILE_NOT_FOUND
url b'one DONE\\n'
state 42
error ZeroDivisionError
context NameError
stopped True
kept b'one DONE\\n'
copy b'one DONE\\n'
listed ['tour'] 2
preview True
async async
gone
"""


def test_the_tour(private_daemon: None) -> None:
    serve = [sys.executable, "-m", "sandboxkit.cli", "serve", "--wire", "daytona", "--port", "0"]
    done = subprocess.run(
        [
            *serve,
            *("--profile", "local", "--"),
            *(sys.executable, str(SCRIPT)),
        ],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert (done.stdout, done.returncode) == (PRINTED, 0), done.stderr
    assert "Traceback" not in done.stderr
