"""A context whose interpreter was ready before is like any other, with IPython too."""

from __future__ import annotations

import time

from sandboxkit import Sandbox
from tests.code import environments

# Everything that the cell which made it ready could have left.
TRACES = (
    "import sys; [In, Out, _, __, _i, [name for name in dir() if not name.startswith('__')], "
    "get_ipython().execution_count, sys.argv, sys.path[:1], __name__]"
)


def test_nothing_of_its_preparation_is_left() -> None:
    options = environments.template(environments.data(), "IPython")
    with Sandbox.create("local", provider_options=options) as sandbox:
        contexts = [sandbox.contexts.create()]
        time.sleep(1)  # it is made ready
        began = time.monotonic()
        contexts += [sandbox.contexts.create() for _ in range(2)]
        prepared, forked = (
            sandbox.run_code(TRACES, context=context, check=True).text for context in contexts[1:]
        )
        assert time.monotonic() - began < 10
        assert prepared == forked
        code = "import numpy, random; (numpy.random.random(), random.random())"
        drawn = {sandbox.run_code(code, context=context).text for context in contexts}
        assert len(drawn) == 3
        failed = sandbox.run_code("1/0", context=contexts[1]).error
        assert "Cell In[3], line 1" in failed.traceback
