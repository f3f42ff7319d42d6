"""The seam for other languages: any kernel for Jupyter that the template has."""

from __future__ import annotations

import pytest

from sandboxkit import CodeTimeoutError, Sandbox, UnsupportedError
from tests.code import environments


def test_a_kernel_of_the_template() -> None:
    options = {"template": {"venv": str(environments.data())}}
    with Sandbox.create("local", provider_options=options) as sandbox:
        context = sandbox.contexts.create("jupyter:python3", cwd="/tmp")
        assert context.language == "jupyter:python3"
        execution = sandbox.run_code("import os; print('hi'); os.getcwd()", context=context)
        assert (execution.logs.stdout, execution.text) == ("hi\n", "'/tmp'")
        error = sandbox.run_code("x = 5; 1/0", context=context).error
        assert (error.name, error.value) == ("ZeroDivisionError", "division by zero")
        assert "\x1b" not in error.traceback
        with pytest.raises(CodeTimeoutError) as caught:
            sandbox.run_code("import time; time.sleep(60)", context=context, timeout=0.5)
        assert caught.value.state_kept
        assert sandbox.run_code("x", context=context).text == "5"
        (shown,) = sandbox.run_code("'y' * 200_000", context=context).results
        assert shown.text == repr("y" * 200_000)
        execution = sandbox.run_code("os._exit(3)", context=context, timeout=100)
        assert execution.error.value.startswith("the kernel exited with status 3; ")
        assert execution.context_restarted
        assert sandbox.run_code("'x' in globals()", context=context).text == "False"
        with pytest.raises(UnsupportedError, match="no kernel 'nope'"):
            sandbox.contexts.create("jupyter:nope")


def test_what_it_needs_is_named() -> None:
    with Sandbox.create("local") as sandbox:
        with pytest.raises(UnsupportedError, match="pip install jupyter_client"):
            sandbox.run_code("1", language="jupyter:ir")
        assert sandbox.run_code("1").text == "1"
