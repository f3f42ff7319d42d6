"""The program that runs inside a sandbox. Standard library only, Python 3.8 and later."""
