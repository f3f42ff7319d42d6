"""Finding providers: lazily, by entry point, and with errors that say what to do."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandboxkit import plugins
from sandboxkit.capabilities import Capabilities
from sandboxkit.errors import ConfigError, ProviderNotFoundError, ProviderUnavailableError
from sandboxkit.plugins import Check, ProviderInfo

Install = Callable[..., None]

GOOD = """
from sandboxkit.capabilities import Capabilities
from sandboxkit.plugins import Check, ProviderInfo, hookimpl


def load():
    import {name}_sdk
    return {name}_sdk.Provider


@hookimpl
def sandboxkit_providers():
    yield ProviderInfo("{name}", "for tests", Capabilities(isolation="none"), load)
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Make a distribution with an entry point appear as installed."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(plugins, "_infos", {})
    monkeypatch.setattr(plugins, "_auto", [])
    before = set(sys.modules)

    def install(name: str, source: str = GOOD, *, distribution: str = "", module: str = "") -> None:
        distribution, module = distribution or f"{name}-dist", module or f"{name}_plugin"
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source).replace("{name}", name))
        info = tmp_path / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n"
        )
        (info / "entry_points.txt").write_text(f"[sandboxkit]\n{name} = {module}\n")

    yield install
    for name in set(sys.modules) - before:
        if name.endswith(("_plugin", "_sdk")):
            del sys.modules[name]


def test_names_are_listed_without_importing(install: Install) -> None:
    install("acme", "raise AssertionError('imported')")
    assert "acme" in plugins.provider_names()
    assert plugins.provider_names() == sorted(plugins.provider_names())
    assert "acme_plugin" not in sys.modules


def test_info_imports_that_plugin_only_and_not_its_sdk(install: Install) -> None:
    install("acme")
    install("other", "raise AssertionError('imported')")
    info = plugins.provider_info("acme")
    assert (info.name, info.summary) == ("acme", "for tests")
    assert info.capabilities == Capabilities(isolation="none")
    assert plugins.provider_info("acme") is info
    assert "other_plugin" not in sys.modules
    assert "acme_sdk" not in sys.modules


def test_load_imports_the_class(install: Install, tmp_path: Path) -> None:
    install("acme")
    (tmp_path / "acme_sdk.py").write_text("class Provider:\n    name = 'acme'\n")
    assert plugins.load_provider("acme").name == "acme"


def test_load_refuses_a_class_of_another_name(install: Install, tmp_path: Path) -> None:
    install("acme")
    (tmp_path / "acme_sdk.py").write_text("class Provider:\n    name = 'emca'\n")
    with pytest.raises(ProviderUnavailableError, match="calls itself 'emca'"):
        plugins.load_provider("acme")


def test_a_missing_sdk_is_reported_with_the_reason(install: Install) -> None:
    install("acme")
    with pytest.raises(ProviderUnavailableError) as caught:
        plugins.load_provider("acme")
    assert "No module named 'acme_sdk'" in caught.value.message
    assert "acme-dist" in caught.value.message
    assert caught.value.hint == "pip install --upgrade acme-dist"
    assert caught.value.provider == "acme"


@pytest.mark.parametrize(
    ("sdk", "reason"),
    [("\nlen(5)\n", "TypeError"), ("\ndef (:\n", "SyntaxError")],
)
def test_a_mistake_in_the_code_is_named_by_its_place(
    install: Install,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    sdk: str,
    reason: str,
) -> None:
    from sandboxkit.cli.app import run

    install("acme")
    (tmp_path / "acme_sdk.py").write_text(sdk)
    with pytest.raises(ProviderUnavailableError, match=reason) as caught:
        plugins.load_provider("acme")
    assert caught.value.hint == f"look at {tmp_path / 'acme_sdk.py'}:2"
    assert run(["doctor", "acme"]) == 1
    told = capsys.readouterr().out
    assert "acme: does not work" in told
    assert "cannot be loaded" in told
    assert f"try: {caught.value.hint}" in told


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_module", "No module named 'no_such_module'"),
        ("1 / 0", "ZeroDivisionError"),
        ("nothing = 1", "describes no such provider"),
        (GOOD.replace('"{name}"', '"someone-else"'), "describes no such provider"),
        (GOOD.replace("sandboxkit_providers", "sandboxkit_provider"), "sandboxkit_provider"),
        (GOOD.replace("yield ProviderInfo", "raise RuntimeError"), "RuntimeError"),
    ],
)
def test_a_broken_plugin_is_named(install: Install, source: str, reason: str) -> None:
    install("acme", source)
    with pytest.raises(ProviderUnavailableError) as caught:
        plugins.provider_info("acme")
    assert reason in caught.value.message
    assert "acme-dist" in caught.value.message


def test_a_broken_plugin_does_not_hide_the_others(install: Install) -> None:
    install("acme")
    install("broken", "1 / 0")
    found = plugins.all_providers()
    assert isinstance(found["acme"], ProviderInfo)
    assert isinstance(found["broken"], ProviderUnavailableError)


def test_a_conflict_names_both_distributions(install: Install) -> None:
    install("acme", distribution="acme-one", module="acme_one_plugin")
    install("acme", distribution="acme-two", module="acme_two_plugin")
    with pytest.raises(ConfigError) as caught:
        plugins.provider_info("acme")
    assert "acme-one" in caught.value.message
    assert "acme-two" in caught.value.message
    assert isinstance(plugins.all_providers()["acme"], ConfigError)


def test_one_module_may_describe_several_providers(install: Install) -> None:
    several = GOOD + '    yield ProviderInfo("second", "", Capabilities(isolation="none"), load)\n'
    install("first", several, module="both_plugin")
    install("second", several.replace("{name}", "first"), module="both_plugin")
    assert plugins.provider_info("first").name == "first"
    assert plugins.provider_info("second").name == "second"


def test_an_unknown_name_gets_the_nearest(install: Install) -> None:
    install("acme")
    with pytest.raises(ProviderNotFoundError, match="did you mean 'acme'"):
        plugins.provider_info("acmee")


def test_a_known_provider_that_is_missing_gets_its_install_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # All that are known may be installed here, so there is one more.
    missing = "faraway"
    known = plugins.DEFAULT_PROVIDERS["e2b"]._replace(extra=missing)
    monkeypatch.setitem(plugins.DEFAULT_PROVIDERS, missing, known)
    for asked in (missing, f"{missing}x"):
        with pytest.raises(ProviderNotFoundError) as caught:
            plugins.load_provider(asked)
        assert f"sandboxkit-py[{missing}]" in str(caught.value)
        assert f"pip install -e '.[{missing}]'" in str(caught.value)


def test_no_install_command_names_the_stranger() -> None:
    for name in plugins.DEFAULT_PROVIDERS:
        assert "sandboxkit-py" in plugins.install_command(name)
    assert plugins.install_command("of-someone-else") == ""


def _auto(
    monkeypatch: pytest.MonkeyPatch, checks: dict[str, list[Check] | None], extra: str = ""
) -> None:
    known = {name: plugins._Default(extra, auto=True) for name in checks}
    monkeypatch.setattr(plugins, "DEFAULT_PROVIDERS", known)
    monkeypatch.setattr(plugins, "_auto", [])

    def info(name: str) -> ProviderInfo:
        found = checks[name]
        if found is None:
            raise ProviderNotFoundError(f"provider {name!r} is not installed")
        return ProviderInfo(
            name,
            "",
            Capabilities(isolation="none"),
            lambda: object,
            lambda: found,  # type: ignore[arg-type, return-value]
        )

    monkeypatch.setattr(plugins, "provider_info", info)


def test_auto_is_the_first_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    _auto(monkeypatch, {"one": [Check("x", False, "forbidden")], "two": None, "three": []})
    assert plugins.auto_provider() == "three"


def test_auto_gives_every_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    _auto(monkeypatch, {"one": [Check("namespaces", False, "forbidden")], "two": None})
    with pytest.raises(ProviderUnavailableError) as caught:
        plugins.auto_provider()
    assert "one: namespaces: forbidden" in caught.value.message
    assert "two: provider 'two' is not installed" in caught.value.message
    assert caught.value.hint == "sandboxkit doctor"
