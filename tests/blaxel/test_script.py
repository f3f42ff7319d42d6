"""A program that was written for Blaxel alone runs unchanged against our server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("scripts") / "tour.py"

PRINTED = """status DEPLOYED docs
exec failed 3 'hello\\n' 'no\\n'
streamed ['1', '2', '3'] completed
stdin completed ['typed'] 'typed\\n'
killed killed
listed ['greet', 'long']
binary True
ls ['config.json', 'large.bin'] ['src']
tree ['/tmp/app/config.json', '/tmp/app/src/main.py']
find ['/tmp/app/src/main.py']
grep [('/tmp/app/src/main.py', 1)]
read {"debug": true}
watch True
missing ResponseError 404
fetch {"debug": true}
preview 401 200
session {"debug": true}
copy {"debug": true}
ttl 2h
twice SANDBOX_ALREADY_EXISTS 409
sync my-sandbox
gone []
code ['21']
"""


def test_the_tour(private_daemon: None) -> None:
    serve = [sys.executable, "-m", "sandboxkit.cli", "serve", "--wire", "blaxel", "--port", "0"]
    led = [sys.executable, "-m", "sandboxkit.gateway.blaxel.redirect", str(SCRIPT)]
    done = subprocess.run(
        [*serve, "--profile", "local", "--", *led],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        env={**os.environ, "DO_NOT_TRACK": "1"},
    )
    assert (done.stdout, done.returncode) == (PRINTED, 0), done.stderr
    assert "Traceback" not in done.stderr
