"""What large output costs in memory at its peak, on host and guest: part of `make bench-code`.

Each case has a sandbox and a client process of its own, whose peaks (VmHWM) before and after are
compared; the guest is its agent and the interpreter. Everything that arrives is checked.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from sandboxkit import OutputText, Sandbox  # noqa: E402
from tests.code import environments  # noqa: E402

PRINT = "for _ in range(500): print('x' * 99_999)"
PRINTED = 500 * 100_000
DRAW = (
    "import io, numpy as np\nfrom PIL import Image\n"
    "noise = np.random.default_rng(1).integers(0, 256, (2600, 2600, 3), dtype='uint8')\n"
    "class Big:\n    def _repr_png_(self):\n        buffer = io.BytesIO()\n"
    "        Image.fromarray(noise).save(buffer, 'png', compress_level=0)\n"
    "        return buffer.getvalue()\n"
)
PEAKS = (
    "[int(open(f'/proc/{pid}/status').read().split('VmHWM:')[1].split()[0]) for pid in (1, 'self')]"
)
FIGURE = 20_000_000


def printed(sandbox: Sandbox, context: str) -> None:
    assert len(sandbox.run_code(PRINT, context=context).logs.stdout) == PRINTED


def streamed(sandbox: Sandbox, context: str) -> None:
    items = sandbox.stream_code(PRINT, context=context)
    assert sum(len(item.text) for item in items if isinstance(item, OutputText)) == PRINTED


def drawn(sandbox: Sandbox, context: str) -> None:
    (result,) = sandbox.run_code("Big()", context=context).results
    assert result.png is not None
    assert len(result.png) * 3 // 4 > FIGURE


CASES = {"50 MB printed, run_code": printed, "50 MB printed, stream_code": streamed}
CASES["a figure of 20 MB"] = drawn


def peak() -> int:
    """Of this process, KiB."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])


def measure(name: str) -> None:
    options = environments.template(environments.data(), "IPython")
    with Sandbox.create("local", provider_options=options) as sandbox:
        context = sandbox.contexts.create().id
        sandbox.run_code(DRAW, context=context, check=True)

        def peaks() -> list[int]:
            text = sandbox.run_code(PEAKS, context=context, check=True).text
            return [*map(int, str(text).strip("[]").split(",")), peak()]

        before = peaks()
        CASES[name](sandbox, context)
        agent, interpreter, host = (b - a for a, b in zip(before, peaks(), strict=True))
    print(
        f"{name:30} host {host / 1024:6.1f} MiB   agent {agent / 1024:5.1f} MiB   "
        f"interpreter {interpreter / 1024:5.1f} MiB",
        flush=True,
    )


def main() -> None:
    if len(sys.argv) > 1:
        measure(sys.argv[1])
        return
    print("more at the peak than before:")
    for name in CASES:
        subprocess.run([sys.executable, __file__, name], check=True)


main()
