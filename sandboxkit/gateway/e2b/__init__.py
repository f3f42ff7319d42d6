"""E2B's wire, as its official SDKs speak it.

Three servers share one port: the control plane, ``envd`` (port 49983 of each sandbox) and the
code interpreter (port 49999 of each sandbox). Everything else that names a sandbox goes to a port
of it. Facts of the wire are from E2B's Apache-2.0 specifications and its MIT SDKs.
"""
