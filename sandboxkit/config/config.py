"""The configuration as a whole: which profiles and templates there are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandboxkit.errors import ConfigError, SandboxError, TemplateNotFoundError
from sandboxkit.plugins import DEFAULT_PROVIDERS, load_provider, provider_names

from .environment import PREFIX, from_environment, profile_from_environment, warn_once
from .files import ConfigFile, find_files, read_file
from .profile import AUTO, Layer, ResolvedProfile, resolve
from .schema import DEFAULT_TEMPLATES, DEFAULTS, TemplateFields, suggestion

__all__ = ["AUTO", "Config", "load_config"]

NATIVE = "native:"
"""Before a template's name: it is the provider's own, and goes to it as it is."""


def load_config(start: Path | None = None) -> Config:
    """Read the files that apply in `start`, which is the working directory unless given.

    Raises:
        ConfigError: a file is malformed. What is wrong with a profile or template is said when
            it is used, or by `Config.problems`.
    """
    return Config(tuple(read_file(path) for path in find_files(start)))


@dataclass(frozen=True, slots=True)
class Config:
    """Profiles and templates.

    Attributes:
        files: what they were read from, the winning one first.
    """

    files: tuple[ConfigFile, ...] = ()

    @property
    def default_profile(self) -> str:
        """The profile that is used where none is named."""
        return self.default_profile_origin[0]

    @property
    def default_profile_origin(self) -> tuple[str, str]:
        """The default profile, and where that was said."""
        named = profile_from_environment()
        if named:
            return named, f"environment {PREFIX}PROFILE"
        for file in self.files:
            if file.default_profile:
                return file.default_profile, str(file.path)
        return AUTO, "default"

    def profile(self, name: str | None = None) -> ResolvedProfile:
        """Put a profile together; ``None`` is the default one.

        A provider's name is a profile too, whether there is a table for it or not.

        Raises:
            ConfigError: there is no such profile, it extends itself, or the environment is wrong.
        """
        name = name or self.default_profile
        layers = [Layer(DEFAULTS, "default"), *self._layers(name, ())]
        for key, value in from_environment().items():
            layers.append(Layer({key: value}, f"environment {PREFIX}{key.upper()}"))
        return resolve(name, layers)

    def profile_names(self) -> list[str]:
        """All profiles: those in files, the installed providers' and ``auto``, sorted."""
        return sorted({AUTO, *self._written(), *provider_names()})

    def profiles_for(self, provider: str) -> list[str]:
        """The profiles that use a provider, sorted.

        The one that is there only because the provider is installed counts if there is no other.
        Those in which something is wrong are left out, and the log says so.
        """
        found = []
        for name in self._written():
            try:
                resolved = resolve(name, self._layers(name, ()))
            except ConfigError as error:
                _leave_out(name, error.message)
                continue
            if resolved.provider != provider:
                continue
            wrong = _wrong_settings(resolved)
            if wrong:
                _leave_out(name, wrong[0])
            else:
                found.append(name)
        return found or ([provider] if provider in provider_names() else [])

    def problems(self) -> list[str]:
        """What is wrong in any profile or template, whether it is used or not."""
        found = [
            problem
            for file in self.files
            for tables in (file.profiles, file.templates)
            for problem in tables.problems()
        ]
        for name in self._written():
            try:
                found += _wrong_settings(resolve(name, self._layers(name, ())))
            except ConfigError as error:
                found.append(error.message)
        return list(dict.fromkeys(line for text in found for line in text.split("\n")))

    def template_names(self) -> list[str]:
        """The logical templates that the files have, sorted."""
        return sorted({name for file in self.files for name in file.templates})

    def template_fields(self, name: str) -> dict[str, Any]:
        """All that the files say of a template, the common keys and the providers', merged."""
        merged: dict[str, Any] = {}
        for file in reversed(self.files):
            if name in file.templates:
                merged |= file.templates[name]
        return merged

    def template(self, name: str | None, provider: str) -> object | None:
        """What a template's name means to a provider.

        ``None`` is the provider's own default, which ``default`` and ``python`` mean unless a
        file says otherwise. Text is the provider's own name: what a file maps the name to, what
        follows ``native:``, or a name that is in no file, which the provider knows or refuses.
        A table says how to build it: the provider's table on top of the common keys.

        Raises:
            TemplateNotFoundError: a file has the name, but not for this provider.
        """
        if name is None:
            return None
        if name.startswith(NATIVE):
            return name.removeprefix(NATIVE)
        if name not in self.template_names():
            return None if name in DEFAULT_TEMPLATES else name
        fields = self.template_fields(name)
        common = {key: fields[key] for key in TemplateFields.model_fields if key in fields}
        own = fields.get(provider, {})
        if isinstance(own, str):
            return own
        recipe = {**common, **own}
        recipe.pop("aliases", None)
        if not recipe:
            raise self._unmapped(name, provider, fields.keys() - common.keys())
        return recipe

    def _unmapped(self, name: str, provider: str, others: set[str]) -> TemplateNotFoundError:
        mapped = f"it is mapped for {', '.join(sorted(others))}" if others else "it is empty"
        return TemplateNotFoundError(
            f"template {name!r} has nothing for provider {provider!r}; {mapped}. "
            f"Templates: {', '.join(self.template_names())}",
            provider=provider,
            hint=f"write {provider} = ... under [templates.{name}]",
        )

    def _written(self) -> list[str]:
        return sorted({name for file in self.files for name in file.profiles})

    def _layers(self, name: str, below: tuple[str, ...]) -> Iterator[Layer]:
        """What has a say in a profile, the weakest first."""
        if name in below:
            chain = " -> ".join([*below, name])
            raise ConfigError(f"profile {below[0]!r} extends itself: {chain}")
        said = [
            Layer(file.profiles[name], f"{file.path} [profiles.{name}]")
            for file in self.files
            if name in file.profiles
        ]
        known = name in DEFAULT_PROVIDERS or name in provider_names()
        if not (said or known or name == AUTO):
            raise self._no_profile(name, below)
        base = next((layer.values["extends"] for layer in said if "extends" in layer.values), None)
        if base:
            yield from self._layers(base, (*below, name))
        if known:
            yield Layer({"provider": name}, "default")
        yield from reversed(said)

    def _no_profile(self, name: str, below: tuple[str, ...]) -> ConfigError:
        why = f", which profile {below[-1]!r} extends" if below else ""
        names = self.profile_names()
        meant = suggestion(name, names)
        listed = "" if meant.startswith("known") else f" profiles: {', '.join(names)}"
        return ConfigError(f"there is no profile {name!r}{why}; {meant}{listed}")


def _leave_out(name: str, problem: str) -> None:
    warn_once(f"left out profile {name!r}: {problem.splitlines()[0]}")


def _wrong_settings(resolved: ResolvedProfile) -> list[str]:
    """What the profile's provider would refuse, as far as that can be known here."""
    if resolved.provider not in (AUTO, *provider_names()):
        return [_no_provider(resolved)]
    if not resolved.has_settings or resolved.provider == AUTO:
        return []
    try:
        provider = load_provider(resolved.provider)
    except SandboxError:
        return []  # whoever uses the provider hears of it
    return resolved.wrong_settings(provider.settings_type)


def _no_provider(resolved: ResolvedProfile) -> str:
    name = resolved.provider
    meant = suggestion(name, [AUTO, *provider_names()])
    return f"{resolved.origin['provider']}: provider {name!r} is not installed; {meant}"
