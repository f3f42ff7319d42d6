"""Blaxel's wire, as its official SDKs speak it.

Two servers share one port. The control plane is under ``/v0``. Each sandbox has an API of its own,
for processes, files and ports, under ``/WORKSPACE/sandboxes/NAME``, which is the ``url`` in its
metadata; previews, under ``/preview/ID``, lead to one port of a sandbox, or, as sessions, to its
API. Facts of the wire are from Blaxel's MIT SDK: its generated clients and models, and its
docstrings.
"""
