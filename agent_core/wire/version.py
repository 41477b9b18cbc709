"""The product's version, in one place: setup.py reads it from here too.

In `wire`, since agents and server both tell it to their peers; clients gate features on it (wire-protocol.md §8).
"""

VERSION = "3.0.0.dev0"
