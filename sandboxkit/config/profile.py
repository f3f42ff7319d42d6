"""A profile put together from all that has a say in it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from sandboxkit.errors import ConfigError
from sandboxkit.spec import worded

from .schema import TABLES, ProfileFields, suggestion
from .secret import has_secret, redact, reveal

__all__ = ["AUTO", "Layer", "ResolvedProfile", "resolve"]

AUTO = "auto"
"""Stands for the first provider that works here; also the profile that asks for it."""

_S = TypeVar("_S", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Layer:
    """One place that has a say.

    Attributes:
        values: what it says.
        origin: where it stands, for people.
    """

    values: Mapping[str, Any]
    origin: str


@dataclass(frozen=True, slots=True)
class ResolvedProfile:
    """What a profile comes to.

    Attributes:
        name: the profile's.
        provider: a provider's name, or ``"auto"``.
        origin: where each value came from, by key; within tables by ``table.key``.
    """

    name: str
    provider: str
    origin: dict[str, str]
    _defaults: dict[str, Any] = field(repr=False)
    _settings: dict[str, Any] = field(repr=False)

    @property
    def defaults(self) -> dict[str, Any]:
        """What `create` is preset with, by the names of its arguments, secrets looked up.

        Raises:
            ConfigError: a secret is not there.
        """
        return {key: reveal(value, key) for key, value in self._defaults.items()}

    @property
    def settings(self) -> dict[str, Any]:
        """What is said to the provider alone, secrets looked up.

        Raises:
            ConfigError: a secret is not there.
        """
        return {key: reveal(value, key) for key, value in self._settings.items()}

    def setting(self, name: str) -> Any:
        """One of them; ``None`` if it is not said.

        Raises:
            ConfigError: it is a secret that is not there.
        """
        return reveal(self._settings.get(name), name)

    def settings_as(self, model: type[_S]) -> _S:
        """The settings as a provider's ``settings_type``.

        Raises:
            ConfigError: the provider does not know a key, or a value is wrong.
        """
        try:
            return model(**self.settings)
        except ValidationError as error:
            raise ConfigError("\n".join(self._problems(model, error))) from None

    @property
    def has_settings(self) -> bool:
        """Whether anything is said to the provider alone."""
        return bool(self._settings)

    def wrong_settings(self, model: type[BaseModel]) -> list[str]:
        """What a provider's ``settings_type`` refuses, without a look at any secret."""
        hidden = {key for key, value in self._settings.items() if has_secret(value)}
        plain = {key: "" if key in hidden else value for key, value in self._settings.items()}
        try:
            model(**plain)
        except ValidationError as error:
            return list(self._problems(model, error, hidden))
        return []

    def shown(self) -> dict[str, Any]:
        """Everything by key, fit to be printed: secrets stay references or are hidden."""
        values = {"provider": self.provider, **self._defaults, **self._settings}
        return {key: redact(key, value) for key, value in values.items()}

    def __repr__(self) -> str:
        return f"ResolvedProfile({self.name!r}, {self.shown()!r})"

    def _problems(
        self, model: type[BaseModel], error: ValidationError, hidden: Collection[str] = ()
    ) -> Iterable[str]:
        known = [*model.model_fields, *ProfileFields.model_fields]
        for problem in error.errors(include_url=False, include_input=False):
            key = ".".join(str(part) for part in problem["loc"])
            where = self.origin.get(key.partition(".")[0], f"profile {self.name!r}")
            if problem["type"] == "extra_forbidden":
                means = f"means nothing to provider {self.provider!r}"
                yield f"{where}: {key!r} {means}; {suggestion(key, known)}"
            elif problem["loc"][:1] not in [(name,) for name in hidden]:
                yield f"{where}: {key}: {worded(problem)}"


def resolve(name: str, layers: Iterable[Layer]) -> ResolvedProfile:
    """Put layers together, the last one winning key by key.

    What was said to one provider is dropped where a later layer chooses another.
    """
    provider = AUTO
    defaults: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for layer in layers:
        chosen = layer.values.get("provider")
        if chosen and chosen != provider:
            if provider != AUTO:
                for key in settings:
                    del origin[key]
                settings = {}
            provider = chosen
            origin["provider"] = layer.origin
        for key, value in layer.values.items():
            if key in ("provider", "extends"):
                continue
            into = defaults if key in ProfileFields.model_fields else settings
            into[key] = _merged(key, into.get(key), value, layer.origin, origin)
    origin.setdefault("provider", "default")
    return ResolvedProfile(name, provider, origin, defaults, settings)


def _merged(key: str, old: Any, new: Any, where: str, origin: dict[str, str]) -> Any:
    if key not in TABLES:
        origin[key] = where
        return new
    for inner in new:
        origin[f"{key}.{inner}"] = where
    return {**(old or {}), **new}
