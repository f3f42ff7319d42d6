"""What the container of an egress proxy runs: finds the packages that lie beside it."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from sandboxkit_docker.inside.proxy import main

main()
