"""``python -m sandboxkit.cli``."""

from . import main

main()
