"""What a container runs: finds the packages that lie beside it, and becomes the first process."""

import os
import sys

_SITE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

sys.path.insert(0, _SITE)

from sandboxkit_docker.inside.first import main  # noqa: E402

sys.path.remove(_SITE)
# Code that is forked from here must be able to import the real package of this name.
sys.modules.pop("sandboxkit_docker", None)
main()
