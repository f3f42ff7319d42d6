"""Any image works, and nothing of ours gets into one."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile

import pytest

from sandboxkit import Sandbox, TemplateNotFoundError
from tests import engine

IMAGES = {
    "scratch": ("sh -c", "guest"),
    "musl": ("sh -c", "guest"),
    "node": ("bash -c", "guest"),
    "base": ("bash -c", "image"),
}


@pytest.mark.parametrize("name", IMAGES)
def test_the_contract_in_short(name: str, session: str) -> None:
    shell, interpreter = IMAGES[name]
    with Sandbox.create("docker", image=f"sandboxkit-test:{name}", session=session) as sandbox:
        assert sandbox.info().shell == shell
        assert sandbox.run("id -u; pwd; echo $HOME $USER").stdout == (
            "1000\n/home/user\n/home/user user\n"
        )
        assert sandbox.run("exit 42").exit_code == 42
        assert sandbox.run("kill -TERM $$").exit_code == 143
        assert sandbox.run("cat", stdin="through").stdout == "through"
        sandbox.files.write("a/file", b"\0\xff")
        assert sandbox.files.read_bytes("a/file") == b"\0\xff"
        assert sandbox.run("wc -c < a/file").stdout.strip() == "2"
        assert [one.name for one in sandbox.files.list("a")] == ["file"]
        process = sandbox.start("sleep 300")
        process.kill()
        assert sandbox.run_code("x = 20").error is None
        executable = sandbox.run_code("import sys; x += 1; print(x); sys.executable").text
        assert executable is not None
        assert ("/dev/.sandboxkit/" in executable) == (interpreter == "guest")
        assert sandbox.info().python == executable.strip("'")
        # Which of the two it is can be called by its name, in every image with a shell.
        again = sandbox.run_code(
            "import subprocess\n"
            "subprocess.run([sys.executable, '-c', 'print(6 * 7)'], capture_output=True).stdout"
        )
        assert again.text == "b'42\\n'"


def test_musl_programs_run_and_no_glibc_is_there(session: str) -> None:
    with Sandbox.create("docker", image="sandboxkit-test:musl", session=session) as sandbox:
        assert sandbox.run("hello-musl").stdout == "linked with musl\n"
        assert not sandbox.run("ls /lib64 /lib/x86_64-linux-gnu").ok


def test_node_runs(session: str) -> None:
    with Sandbox.create("docker", image="sandboxkit-test:node", session=session) as sandbox:
        assert sandbox.run("node -e 'console.log(6 * 7)'").stdout == "42\n"


def test_the_richer_image_shows_tables_and_charts(session: str) -> None:
    with Sandbox.create("docker", image="sandboxkit-test:data", session=session) as sandbox:
        shown = sandbox.run_code(
            "import pandas, matplotlib.pyplot as plt\n"
            "plt.plot([1, 2]); plt.show()\n"
            "pandas.DataFrame({'a': [1, 2]})",
            timeout=60,
        )
        assert shown.error is None, shown.error
        assert any(result.html for result in shown.results)
        assert any(result.png for result in shown.results)
        assert shown.results[-1].data == {"a": [1, 2]}
        # With the image's IPython.
        assert sandbox.run_code("!echo $((6 * 7))").logs.stdout == "42\n"


def test_an_image_that_is_nowhere() -> None:
    with pytest.raises(TemplateNotFoundError) as caught:
        Sandbox.create("docker", image="sandboxkit-test:no-such-image")
    assert caught.value.outcome == "not_started"
    assert "docker pull" in str(caught.value)


def test_nothing_of_ours_is_in_a_snapshot(session: str) -> None:
    env = {"TOP_SECRET": "do-not-keep-4711"}
    with Sandbox.create("docker", session=session, env=env) as sandbox:
        sandbox.files.write("mine", "kept")
        sandbox.run_code("1 + 1")
        snapshot = sandbox.snapshot()
    try:
        reference = f"sandboxkit-snapshot:{snapshot.id}"
        shown = engine.ask("GET", f"/images/{reference}/json")[1]
        below = engine.ask("GET", "/images/sandboxkit-test:base/json")[1]
        assert shown["RootFS"]["Layers"][:-1] == below["RootFS"]["Layers"]
        config = {**shown["Config"], "Labels": None}
        assert "do-not-keep-4711" not in json.dumps(shown)
        assert ".sandboxkit" not in json.dumps(config)
        assert shown["Config"]["Labels"]["sandboxkit.owner"]
        added = names_of_last_layer(reference)
        assert "home/user/mine" in added
        allowed = ("etc", "home", "dev", "proc", "sys", "root", "tmp", "var")
        assert {name.partition("/")[0] for name in added} <= set(allowed), added
        assert not [name for name in added if "sandboxkit" in name or name.startswith("dev/")]
        # It is an ordinary image, good for the engine's own tools.
        ran = ["docker", "run", "--rm", "--network", "none", reference, "cat", "/home/user/mine"]
        assert subprocess.run(ran, capture_output=True, text=True).stdout == "kept"
    finally:
        snapshot.delete()


def names_of_last_layer(reference: str) -> list[str]:
    saved = subprocess.run(["docker", "save", reference], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(saved)) as archive:
        manifest = json.load(archive.extractfile("manifest.json"))
        layer = archive.extractfile(manifest[0]["Layers"][-1]).read()
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        return [member.name.strip("/") for member in archive]


def test_what_the_image_says_holds(session: str) -> None:
    build = (
        "FROM sandboxkit-test:base\n"
        "RUN useradd --create-home worker && mkdir /app && chown worker /app\n"
        'ENV GREETING=hello\nUSER worker\nWORKDIR /app\nENTRYPOINT ["/bin/false"]\n'
    )
    tag = f"sandboxkit-test:{session}"
    command = ["docker", "build", "--quiet", "--network", "none", "--tag", tag, "-"]
    subprocess.run(command, input=build, text=True, check=True, capture_output=True)
    try:
        with Sandbox.create("docker", image=tag, session=session) as sandbox:
            assert sandbox.run("id -un; pwd; echo $GREETING").stdout == "worker\n/app\nhello\n"
            snapshot = sandbox.snapshot()
            with Sandbox.create(snapshot=snapshot, session=session) as copy:
                assert copy.run("id -un; pwd; echo $GREETING").stdout == "worker\n/app\nhello\n"
            snapshot.delete()
        with Sandbox.create("docker", image=tag, user="root", session=session) as sandbox:
            assert sandbox.run("id -un").stdout == "root\n"
    finally:
        subprocess.run(["docker", "rmi", "--force", tag], check=True, capture_output=True)


def test_the_guests_modules_come_from_its_bundle_and_hide_no_others(session: str) -> None:
    with Sandbox.create("docker", image="sandboxkit-test:musl", session=session) as sandbox:

        def value(code: str) -> str | None:
            execution = sandbox.run_code(code)
            assert execution.error is None, execution.error
            return execution.text

        assert value("import json, socket; type(json.__spec__.loader).__name__") == "'Bundle'"
        assert value("import json.tool; json.tool.__file__[:11]") == "'/dev/.sandb'"
        assert value("import inspect; inspect.getsource(socket.socket)[:6]") == "'class '"
        sandbox.files.write("sandboxkit_docker.py", "whose = 'mine'")
        sandbox.files.write("sandboxkit/__init__.py", "whose = 'mine'")
        found = value(
            "import sandboxkit, sandboxkit_docker\nsandboxkit.whose, sandboxkit_docker.whose"
        )
        assert found == "('mine', 'mine')"
