"""Daytona's wire, as its official SDKs speak it.

One port serves the control plane (``/api``), the toolbox of each sandbox (``/toolbox/ID``) and the
sandboxes' ports (``PORT-ID.DOMAIN``). Facts of the wire are from the Apache-2.0 packages that are
published with Daytona's Python SDK: ``daytona`` and its generated clients.
"""
