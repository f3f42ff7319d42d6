"""Profiles and templates: which file wins, what is refused, what is never shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import Field, ValidationError

from sandboxkit.config import DEFAULTS, Config, load_config
from sandboxkit.errors import ConfigError, InvalidRequestError, TemplateNotFoundError
from sandboxkit.plugins import provider_names
from sandboxkit.provider import ProviderSettings
from sandboxkit.spec import SandboxSpec


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project folder below the user's, and no variables of ours."""
    for name in list(os.environ):
        if name.startswith("SANDBOXKIT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    (tmp_path / "user" / "sandboxkit").mkdir(parents=True)
    (tmp_path / "project" / "deep" / "down").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project" / "deep")


def project(tmp_path: Path, text: str, name: str = "sandboxkit.toml") -> Config:
    (tmp_path / "project" / name).write_text(text)
    return load_config()


def use_x(config: Config) -> None:
    config.template("x", "memory")
    config.profile("x")


def user(tmp_path: Path, text: str) -> None:
    (tmp_path / "user" / "sandboxkit" / "config.toml").write_text(text)


def test_nothing_configured() -> None:
    config = load_config()
    profile = config.profile()
    assert (profile.name, profile.provider) == ("auto", "auto")
    assert profile.defaults == DEFAULTS
    assert profile.settings == {}
    assert set(profile.origin.values()) == {"default"}


def test_every_installed_provider_is_a_profile() -> None:
    config = load_config()
    for name in provider_names():
        assert config.profile(name).provider == name
        assert config.profiles_for(name) == [name]
        assert name in config.profile_names()


def test_the_nearest_file_wins_key_by_key(tmp_path: Path) -> None:
    user(tmp_path, '[profiles.p]\nlifetime = "5m"\nuser = "ann"\nenv = { A = "1", B = "2" }')
    project(
        tmp_path, '[tool.sandboxkit.profiles.p]\nuser = "bob"\nworkdir = "/w"', "pyproject.toml"
    )
    config = project(tmp_path, '[profiles.p]\nlifetime = "7m"\nenv = { B = "3" }')
    profile = config.profile("p")
    assert profile.defaults == DEFAULTS | {
        "lifetime": "7m",
        "user": "ann",
        "workdir": "/w",
        "env": {"A": "1", "B": "3"},
    }
    assert profile.origin["lifetime"].endswith("project/sandboxkit.toml [profiles.p]")
    assert profile.origin["user"].endswith("user/sandboxkit/config.toml [profiles.p]")
    assert profile.origin["workdir"].endswith("project/pyproject.toml [profiles.p]")
    assert profile.origin["env.A"].endswith("config.toml [profiles.p]")
    assert profile.origin["env.B"].endswith("sandboxkit.toml [profiles.p]")
    assert profile.origin["network"] == "default"


def test_a_nearer_file_hides_a_farther_one(tmp_path: Path) -> None:
    (tmp_path / "sandboxkit.toml").write_text('default_profile = "far"\n[profiles.far]')
    assert load_config().default_profile == "far"
    config = project(tmp_path, 'default_profile = "near"\n[profiles.near]')
    assert config.default_profile == "near"
    assert load_config(tmp_path).default_profile == "far"
    with pytest.raises(ConfigError, match="no profile 'far'"):
        config.profile("far")


def test_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = project(tmp_path, 'default_profile = "a"\n[profiles.a]\nlifetime="1m"\n[profiles.b]')
    assert config.profile().defaults["lifetime"] == "1m"
    monkeypatch.setenv("SANDBOXKIT_LIFETIME", "2m")
    assert config.profile().defaults["lifetime"] == "2m"
    assert config.profile().origin["lifetime"] == "environment SANDBOXKIT_LIFETIME"
    monkeypatch.setenv("SANDBOXKIT_PROFILE", "b")
    assert config.profile().name == "b"
    assert config.default_profile_origin == ("b", "environment SANDBOXKIT_PROFILE")
    assert config.profile("a").name == "a"


def test_the_environment_in_every_form(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "TEMPLATE": ("data", "data"),
        "LIFETIME": ("never", None),
        "CREATE_TIMEOUT": ("90", 90.0),
        "NETWORK": ("example.org, 10.0.0.0/8", ["example.org", "10.0.0.0/8"]),
        "RESOURCES": ('{"cpu": 2, "memory": "1GiB"}', {"cpu": 2.0, "memory": "1GiB"}),
        "ENV": ('{"A": "1"}', {"A": "1"}),
        "BEST_EFFORT": ("true", True),
    }
    for name, (text, _) in values.items():
        monkeypatch.setenv(f"SANDBOXKIT_{name}", text)
    defaults = load_config().profile().defaults
    for name, (_, value) in values.items():
        assert defaults[name.lower()] == value


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("LIFETIME", "soon", "SANDBOXKIT_LIFETIME"),
        ("RESOURCES", "{", "SANDBOXKIT_RESOURCES"),
        ("RESOURCES", '{"cpuu": 1}', "did you mean 'cpu'"),
        ("ON_TIMEOUT", "explode", "SANDBOXKIT_ON_TIMEOUT"),
    ],
)
def test_a_wrong_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, said: str
) -> None:
    monkeypatch.setenv(f"SANDBOXKIT_{name}", text)
    with pytest.raises(ConfigError, match=said):
        load_config().profile()


def test_extends(tmp_path: Path) -> None:
    config = project(
        tmp_path,
        """
        [profiles.base]
        template = "data"
        resources = { cpu = 2, memory = "2GiB" }
        [profiles.prod]
        extends = "base"
        provider = "memory"
        resources = { cpu = 4 }
        [profiles.prod2]
        extends = "prod"
        lifetime = 60
        """,
    )
    profile = config.profile("prod2")
    assert profile.provider == "memory"
    assert profile.defaults["resources"] == {"cpu": 4.0, "memory": "2GiB"}
    assert profile.defaults["template"] == "data"
    assert profile.origin["resources.memory"].endswith("[profiles.base]")
    assert config.profiles_for("memory") == ["prod", "prod2"]
    assert config.profile("base").provider == "auto"


def test_what_was_said_to_one_provider_is_not_told_to_another(tmp_path: Path) -> None:
    config = project(
        tmp_path,
        """
        [profiles.one]
        provider = "local"
        api_url = "https://one.example"
        [profiles.two]
        extends = "one"
        provider = "memory"
        [profiles.shared]
        api_url = "https://any.example"
        [profiles.three]
        extends = "shared"
        provider = "memory"
        """,
    )
    assert config.profile("one").settings == {"api_url": "https://one.example"}
    assert config.profile("two").settings == {}
    assert "api_url" not in config.profile("two").origin
    assert config.profile("three").settings == {"api_url": "https://any.example"}


def test_a_table_named_for_a_provider_is_its_profile(tmp_path: Path) -> None:
    config = project(
        tmp_path, '[profiles.b]\nuser="u"\n[profiles.memory]\nextends="b"\nlifetime = "5m"'
    )
    profile = config.profile("memory")
    assert (profile.provider, profile.defaults["user"]) == ("memory", "u")
    assert config.profiles_for("memory") == ["memory"]


def test_a_cycle_is_refused(tmp_path: Path) -> None:
    config = project(tmp_path, '[profiles.a]\nextends = "b"\n[profiles.b]\nextends = "a"')
    with pytest.raises(ConfigError, match="a -> b -> a"):
        config.profile("a")


def test_an_unknown_profile_gets_the_nearest_and_the_list(tmp_path: Path) -> None:
    config = project(tmp_path, '[profiles.production]\n[profiles.x]\nextends = "prodution"')
    with pytest.raises(ConfigError, match="did you mean 'production'") as caught:
        config.profile("prodcution")
    assert "auto" in caught.value.message
    with pytest.raises(ConfigError, match="which profile 'x' extends"):
        config.profile("x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[profiles.x\n", r"sandboxkit\.toml:1: not TOML"),
        ("a = 1\nb = = 2", r"sandboxkit\.toml:2: not TOML"),
        ('\ndefalt_profile = "x"', r"sandboxkit\.toml:2: .*did you mean 'default_profile'"),
        ("default_profile = 1", r"toml:1: default_profile must be text"),
        ("profiles = 1", r"toml:1: profiles must be tables"),
        ("[profiles]\nx = 1", r"\[profiles\.x\]: must be a table"),
        ('\n[profiles.x]\nlifetime = "soon"', r"toml:2 \[profiles\.x\]: lifetime: "),
        ("[profiles.x]\nlifetime = -1", "lifetime"),
        ("[profiles.x]\nresources = { cpuu = 1 }", "did you mean 'cpu'"),
        ('[profiles.x]\nresources = { memory = "2 elephants" }', r"resources\.memory"),
        ('[profiles.x]\nnetwork = "some"', "network"),
        ("[profiles.x]\nenv = { A = 1 }", r"env\.A"),
        ('[profiles.x]\non_timeout = "explode"', "on_timeout"),
        ('[templates.x]\nalises = ["a"]', "did you mean 'aliases'"),
        ("[templates.x]\nlocal = 3", "local: must be text or a table"),
        ('[templates.x]\npip = "pandas"', "pip"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        use_x(project(tmp_path, text))
    assert "sandboxkit.toml" in caught.value.message
    assert "Value error" not in caught.value.message
    assert "Input should" not in caught.value.message


def test_what_is_wrong_is_said_when_it_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = project(
        tmp_path,
        """
        [profiles.good]
        provider = "memory"
        [profiles.cpus]
        resources = { cpus = 2 }
        [profiles.setting]
        provider = "memory"
        lifetme = "5m"
        key = "env:NOT_SET"
        [profiles.endless]
        extends = "endless"
        [templates.t]
        alises = ["a"]
        """,
    )
    assert config.profile("good").provider == "memory"
    assert config.profile().provider == "auto"
    assert config.profiles_for("memory") == ["good"]
    assert config.template("other", "memory") == "other"
    told = "\n".join(config.problems())
    for said in ("resources.cpus", "'lifetme' means nothing", "'key' means", "extends", "alises"):
        assert said in told
    config.profiles_for("memory")
    assert caplog.text.count("left out profile 'setting'") == 1
    with pytest.raises(ConfigError, match="did you mean 'cpu'"):
        config.profile("cpus")
    with pytest.raises(ConfigError, match="did you mean 'aliases'"):
        config.template("t", "memory")


def test_a_variable_that_is_nearly_ours(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SANDBOXKIT_LIFETME", "5m")
    for name in ("STATE_DIR", "OWNER", "DAEMON_IDLE", "TEST_PROVIDERS", "DEBUG"):
        monkeypatch.setenv(f"SANDBOXKIT_{name}", "x")
    load_config().profile()
    load_config().profile()
    said = "SANDBOXKIT_LIFETME means nothing; did you mean SANDBOXKIT_LIFETIME?"
    assert [record.getMessage() for record in caplog.records] == [said]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"network": "some"}, 'network = \'some\': must be "none", "full" or a list of hosts'),
        ({"resources": {"cpus": 2}}, "resources: there is no 'cpus'; did you mean 'cpu'?"),
        ({"resources": {"gpu": 2}}, "resources: there is no 'gpu'; did you mean 'cpu'?"),
        ({"resources": {"zzz": 2}}, "there is no 'zzz'; known: cpu, disk, memory, pids"),
        ({"lifetime": "soon"}, "create: lifetime 'soon' is not a duration"),
        ({"resources": {"memory": "x"}}, "create: resources.memory 'x' is not a size"),
        ({"on_timeout": "x"}, "on_timeout = 'x': must be 'kill' or 'pause'"),
        ({"env": {"A": 1}}, "env.A = 1: must be text"),
        ({"ports": ["x"]}, "ports.0 = 'x': must be"),
        ({"files": {"a": 3}}, "create: files = 3: must be"),
    ],
)
def test_a_wrong_argument_is_told_in_our_words(given: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        SandboxSpec.build(given)
    assert said in caught.value.message
    for noise in ("Value error", "Input should", "literal[", "Extra inputs"):
        assert noise not in caught.value.message


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    project(tmp_path, '[profiles.p]\nuser = "ann"')
    assert (
        project(tmp_path, '[profiles.p]\nuser = "berta"').profile("p").defaults["user"] == "berta"
    )


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "project" / "sandboxkit.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config()


@pytest.mark.root
def test_what_another_user_planted_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    shared = tmp_path / "project"
    planted = shared / "sandboxkit.toml"
    planted.write_text('default_profile = "evil"\n[profiles.evil]')
    os.chown(planted, 4242, 4242)
    assert load_config().default_profile == "evil"  # the folder is not open to all
    shared.chmod(0o1777)
    assert load_config().default_profile == "auto"
    assert "another user" in caplog.text


# -- secrets ------------------------------------------------------------------------------------


def test_secrets_are_looked_up_late_and_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project" / "token.txt").write_text("t0ken\n")
    config = project(
        tmp_path,
        """
        [profiles.p]
        provider = "memory"
        api_key = "env:SOME_KEY"
        token = "file:token.txt"
        plain_password = "hunter2"
        url = "https://x.example"
        headers = { Authorization = "env:SOME_KEY" }
        env = { GH = "env:SOME_KEY" }
        """,
    )
    profile = config.profile("p")
    with pytest.raises(ConfigError, match="api_key = 'env:SOME_KEY': the variable SOME_KEY"):
        _ = profile.settings
    monkeypatch.setenv("SOME_KEY", "s3cret")
    settings = profile.settings
    assert settings["api_key"] == "s3cret"
    assert settings["token"] == "t0ken"
    assert settings["headers"] == {"Authorization": "s3cret"}
    assert profile.defaults["env"] == {"GH": "s3cret"}
    for shown in (repr(profile), str(profile), repr(config), str(profile.shown())):
        for secret in ("s3cret", "t0ken"):
            assert secret not in shown
    assert "hunter2" not in repr(profile)
    assert "s3cret" not in repr(settings)
    assert "env:SOME_KEY" in repr(profile)
    assert "https://x.example" in repr(profile)


def test_a_secret_file_that_is_not_there(tmp_path: Path) -> None:
    config = project(tmp_path, '[profiles.p]\nkey = "file:none.txt"')
    with pytest.raises(ConfigError, match=r"key = 'file:none\.txt': cannot read"):
        _ = config.profile("p").settings


def test_settings_as_the_provider_wants_them(tmp_path: Path) -> None:
    class Settings(ProviderSettings):
        api_url: str
        retries: int = 3

    config = project(
        tmp_path,
        """
        [profiles.good]
        api_url = "u"
        [profiles.typo]
        api_ulr = "u"
        [profiles.wrong]
        api_url = "u"
        retries = "many"
        [profiles.common]
        api_url = "u"
        lifetme = "5m"
        """,
    )
    assert config.profile("good").settings_as(Settings).api_url == "u"
    for name, said in {
        "typo": "'api_ulr' means nothing .* did you mean 'api_url'",
        "wrong": r"\[profiles\.wrong\]: retries",
        "common": "did you mean 'lifetime'",
    }.items():
        with pytest.raises(ConfigError, match=said):
            config.profile(name).settings_as(Settings)


# -- templates ----------------------------------------------------------------------------------

TEMPLATES = """
[templates.data]
pip = ["pandas"]
docker = "ghcr.io/acme/data:14"
local = { root = "/srv/data" }
aliases = ["code-interpreter-v1"]
[templates.imageonly]
docker = "debian"
[templates.python]
docker = "python:3.13"
"""


def test_templates(tmp_path: Path) -> None:
    config = project(tmp_path, TEMPLATES)
    assert config.template_names() == ["data", "imageonly", "python"]
    assert config.template("data", "docker") == "ghcr.io/acme/data:14"
    assert config.template("data", "local") == {"pip": ["pandas"], "root": "/srv/data"}
    assert config.template("data", "memory") == {"pip": ["pandas"]}
    assert config.template("native:abc", "docker") == "abc"
    assert config.template("built-in", "docker") == "built-in"
    assert config.template(None, "docker") is None
    assert config.template("default", "docker") is None
    assert config.template("python", "docker") == "python:3.13"
    assert config.template_fields("data")["aliases"] == ["code-interpreter-v1"]


def test_python_is_every_providers_default() -> None:
    assert load_config().template("python", "local") is None


def test_a_template_without_anything_for_this_provider(tmp_path: Path) -> None:
    config = project(tmp_path, TEMPLATES)
    with pytest.raises(TemplateNotFoundError) as caught:
        config.template("imageonly", "local")
    assert "it is mapped for docker" in caught.value.message
    assert "data, imageonly, python" in caught.value.message


def test_templates_merge_over_files(tmp_path: Path) -> None:
    user(tmp_path, '[templates.data]\ndocker = "mine"\nlocal = "mine"')
    config = project(tmp_path, '[templates.data]\ndocker = "ours"')
    assert config.template("data", "docker") == "ours"
    assert config.template("data", "local") == "mine"


class _Account(ProviderSettings):
    api_key: str | None = Field(default=None, repr=False)
    proxy: str | None = Field(default=None, repr=False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"api_key": "hidden-key\nx"},
        {"api_key": "hidden-key\u2026"},
        {"proxy": "http://user:hidden-key@127.0.0.1:bad/"},
        {"proxy": "hidden-key"},
    ],
)
def test_a_secret_that_no_request_can_carry_is_refused_unshown(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as caught:
        _Account.model_validate(wrong)
    problems = caught.value.errors(include_url=False, include_input=False)
    assert "hidden-key" not in problems[0]["msg"]
    assert _Account(api_key=" key\n").api_key == "key"
    assert _Account(proxy="http://user:p@host:8080").proxy == "http://user:p@host:8080"
