"""Where this machine's Python does not run on an engine, one of an image is taken."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandboxkit import ProviderUnavailableError, Sandbox
from sandboxkit_docker import guest_files
from tests import engine

FOREIGN = "f0e1d2c3b4a59687"


@pytest.fixture(autouse=True)
def foreign_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An engine of another kind than this machine, as far as the provider can tell."""
    monkeypatch.setattr(guest_files, "fits", lambda _system, _machine: False)
    monkeypatch.setattr(guest_files, "digest", lambda: FOREIGN)
    yield
    for volume in engine.ask("GET", "/volumes")[1]["Volumes"]:
        if FOREIGN in volume["Name"]:
            assert engine.ask("DELETE", f"/volumes/{volume['Name']}")[0] == 204


def test_an_image_gives_its_python(session: str, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(tmp_path, monkeypatch, "sandboxkit-test:base")
    with Sandbox.create("other", image="sandboxkit-test:musl", session=session) as sandbox:
        assert sandbox.run("echo there").stdout == "there\n"
        assert sandbox.run_code("import sys; sys.version_info[:2]").text == "(3, 11)"


def test_an_image_without_one_is_refused(
    session: str, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(tmp_path, monkeypatch, "sandboxkit-test:node")
    with pytest.raises(ProviderUnavailableError, match="guest_image") as caught:
        Sandbox.create("other", image="sandboxkit-test:musl", session=session)
    assert "python3" in str(caught.value)
    assert engine.containers(session=session) == []


def use(tmp_path, monkeypatch: pytest.MonkeyPatch, image: str) -> None:
    (tmp_path / "sandboxkit.toml").write_text(
        f'[profiles.other]\nprovider = "docker"\nguest_image = "{image}"\n'
    )
    monkeypatch.chdir(tmp_path)
