"""Profiles and templates: what the configuration files and the environment say.

The files, the first winning key by key (profiles and templates merge by name):

1. the nearest ``sandboxkit.toml``, from the working directory upwards;
2. the user's, ``$XDG_CONFIG_HOME/sandboxkit/config.toml``;
3. ``[tool.sandboxkit]`` in the nearest ``pyproject.toml``.

An argument wins over the environment, that over the profile, that over the default. Nothing is
read when this is imported, and secrets are looked up only when they are used.
"""

from .config import AUTO, Config, load_config
from .profile import ResolvedProfile
from .schema import DEFAULT_TEMPLATES, DEFAULTS
from .secret import Secret

__all__ = [
    "AUTO",
    "DEFAULTS",
    "DEFAULT_TEMPLATES",
    "Config",
    "ResolvedProfile",
    "Secret",
    "load_config",
]
