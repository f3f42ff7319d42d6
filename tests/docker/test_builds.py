"""Templates: built once, found again by their content, and refused with what went wrong."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandboxkit import InvalidRequestError, Sandbox, Template, UnsupportedError
from tests import engine

BASE = "sandboxkit-test:base"


@pytest.fixture(autouse=True)
def templates_removed() -> Iterator[None]:
    before = names()
    yield
    for name in names() - before:
        subprocess.run(["docker", "rmi", "--force", name], check=True, capture_output=True)


def names() -> set[str]:
    listed = engine.ask("GET", "/images/json?all=1")[1]
    tags = {tag for image in listed for tag in image["RepoTags"] or ()}
    return {tag for tag in tags if tag.startswith("sandboxkit-template:")}


def test_every_step(session: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "file").write_text("copied")
    template = (
        Template.from_image(BASE)
        .copy(source, "/srv/data")
        .env(GREETING='say "hi" for $5')
        .workdir("/srv/work")
        .run("id -u > who && chown 1000 /srv/work\necho 'second line' >> who")
    )
    with Sandbox.create("docker", template=template, session=session) as sandbox:
        assert sandbox.files.read_text("who") == "0\nsecond line\n"
        assert sandbox.run("pwd; echo $GREETING; cat /srv/data/deep/file").stdout == (
            '/srv/work\nsay "hi" for $5\ncopied'
        )
        assert sandbox.run("id -un").stdout == "user\n"


def test_built_once_and_again_when_something_changes(session: str, tmp_path: Path) -> None:
    source = tmp_path / "file"
    source.write_text("one")
    template = Template.from_image(BASE).copy(source, "/srv/file")

    def content() -> str:
        with Sandbox.create("docker", template=template, session=session) as sandbox:
            return sandbox.files.read_text("/srv/file")

    before = names()
    assert content() == "one"
    assert len(names() - before) == 1
    source.touch()
    assert content() == "one"
    assert len(names() - before) == 1
    source.write_text("two")
    assert content() == "two"
    assert len(names() - before) == 2


def test_a_directory_with_a_dockerfile(session: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {BASE}\nCOPY a.txt /srv/\n")
    (tmp_path / "a.txt").write_text("from the directory")
    template = Template.from_dockerfile(tmp_path)
    with Sandbox.create("docker", template=template, session=session) as sandbox:
        assert sandbox.files.read_text("/srv/a.txt") == "from the directory"


def test_a_dockerignore_is_kept(session: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {BASE}\nCOPY . /srv/\n")
    (tmp_path / ".dockerignore").write_text(
        "# secrets\n/key\n*.log\n**/*.pyc\nbuild\n!build/kept\nDockerfile\n"
    )
    for name in ("key", "sub/key", "x.log", "sub/x.log", "sub/x.pyc", "build/a", "build/kept"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    template = Template.from_dockerfile(tmp_path)
    with Sandbox.create("docker", template=template, session=session) as sandbox:
        found = sandbox.run("cd /srv; find . -type f ! -name '.docker*' | sort", check=True).stdout
    # What has no slash in it is meant for the top alone, other than in a .gitignore. The engine
    # itself keeps back its Dockerfile where that is named.
    assert found.split() == ["./build/kept", "./sub/key", "./sub/x.log"]


def test_a_step_that_fails(session: str) -> None:
    template = Template.from_image(BASE).run("echo what went wrong >&2; exit 3")
    with pytest.raises(InvalidRequestError, match="what went wrong") as caught:
        Sandbox.create("docker", template=template, session=session)
    assert "3" in str(caught.value)
    assert engine.containers(session=session) == []


def test_wrong_steps_are_refused_at_once(tmp_path: Path) -> None:
    base = Template.from_image(BASE)
    for wrong in (
        lambda: Template.from_image("a b"),
        lambda: Template.from_dockerfile(tmp_path),
        lambda: base.copy(tmp_path / "missing", "/x"),
        lambda: base.copy(tmp_path, "relative"),
        lambda: base.workdir("relative"),
        lambda: base.run(" "),
        lambda: base.pip(),
        lambda: base.env(A="two\nlines"),
    ):
        with pytest.raises(InvalidRequestError, match="template"):
            wrong()


def test_who_cannot_build_refuses(session: str) -> None:
    for provider in ("memory", "local"):
        with pytest.raises(UnsupportedError) as caught:
            Sandbox.create(provider, template=Template.from_image(BASE), session=session)
        assert caught.value.capability == "images"
