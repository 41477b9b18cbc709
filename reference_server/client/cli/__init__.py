"""`obico-fleet`: the farm from a terminal, built on the client. main.py runs it."""
