"""What runs inside of containers beside the agent. Standard library only, Python 3.8 and later."""
