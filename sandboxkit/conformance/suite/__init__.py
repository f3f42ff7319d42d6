"""The contract, topic by topic. `from sandboxkit.conformance.suite import *` is all of it."""

from __future__ import annotations

from .test_code import *
from .test_code_bash import *
from .test_code_stream import *
from .test_commands import *
from .test_crash import *
from .test_egress import *
from .test_errors import *
from .test_facade import *
from .test_faults import *
from .test_files import *
from .test_fork import *
from .test_lifecycle import *
from .test_lifetime import *
from .test_limits import *
from .test_metrics import *
from .test_model import *
from .test_mounts import *
from .test_network import *
from .test_pause import *
from .test_ports import *
from .test_snapshots import *
from .test_streaming import *
from .test_terminals import *
from .test_transfer import *
from .test_unsupported import *
from .test_watch import *

# Else the marks of one module would count for the whole of whoever imports this with a star.
del pytestmark  # noqa: F821
