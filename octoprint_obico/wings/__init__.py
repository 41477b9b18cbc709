"""The plugin by wings: each module is one side of OctoPrint's plugin interface, and knows the others through Wing only.

A new mixin or hook gets a module of its own here; `plugin.py` lists the wings, and nothing else.
"""
