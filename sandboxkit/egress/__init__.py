"""The egress proxy: the one way out of a sandbox that may reach only what its rules name.

Standard library only, Python 3.8 and later: the same program runs beside a local daemon and in a
container. The sandbox itself has no network. What it has is a socket that listens on its own
loopback, and the proxy, which is outside, accepts from that very socket.
"""
