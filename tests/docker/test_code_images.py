"""Languages of code in images that have what they need; elsewhere what is missing is named."""

from __future__ import annotations

import pytest

from sandboxkit import CodeTimeoutError, Sandbox, UnsupportedError


def test_an_image_with_node_runs_javascript_and_bash(session: str) -> None:
    with Sandbox.create("docker", image="sandboxkit-test:node", session=session) as sandbox:

        def js(code: str, **options: object) -> str | None:
            return sandbox.run_code(code, language="javascript", **options).text

        assert js("const x = 20; await Promise.resolve(x + 1)") == "21"
        assert js("const x = 40; x + 2") == "42"
        printed = sandbox.run_code("console.log(x); console.error('e')", language="js")
        assert (printed.logs.stdout, printed.logs.stderr) == ("40\n", "e\n")
        failed = sandbox.run_code("null.x", language="js").error
        assert failed is not None
        assert failed.name == "TypeError"
        with pytest.raises(CodeTimeoutError) as caught:
            js("while (true);", timeout=0.5)
        assert caught.value.state_kept
        assert js("x") == "40"
        died = sandbox.run_code("process.kill(process.pid, 'SIGKILL')", language="js")
        assert died.error is not None
        assert "SIGKILL" in died.error.value
        assert died.context_restarted
        assert js("typeof x") == "'undefined'"
        sandbox.run_code("cd /tmp; n=41", language="bash")
        shell = sandbox.run_code("echo $((n + 1)) $PWD; (exit 3)", language="bash")
        assert (shell.logs.stdout, shell.exit_code) == ("42 /tmp\n", 3)
        # The guest brings a Python, which is there for code as well.
        assert sandbox.run_code("6 * 7").text == "42"


def test_an_image_without_node_says_what_to_install(session: str) -> None:
    with Sandbox.create("docker", image="sandboxkit-test:base", session=session) as sandbox:
        for language in ("javascript", "typescript"):
            with pytest.raises(UnsupportedError, match="apt-get install nodejs"):
                sandbox.run_code("1", language=language)
        with pytest.raises(UnsupportedError, match="pip install jupyter_client"):
            sandbox.run_code("1", language="jupyter:ir")
        shell = sandbox.run_code("echo $((6 * 7))", language="bash")
        assert (shell.logs.stdout, shell.exit_code) == ("42\n", 0)


def test_an_image_without_bash_says_what_to_install(session: str) -> None:
    with Sandbox.create("docker", image="sandboxkit-test:musl", session=session) as sandbox:
        with pytest.raises(UnsupportedError, match="install bash"):
            sandbox.run_code("echo", language="bash")
        assert sandbox.run_code("6 * 7").text == "42"
