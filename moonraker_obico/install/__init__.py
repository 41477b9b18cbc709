"""The installer: `install.sh`, or `python3 -m moonraker_obico.install`. Standard library only, it runs before anything
of ours is installed.

look → plan → apply: `look` reads the host, `plan` says what would have to change (nothing, on a second run), `apply`
does it and takes it all back when something fails. `texts` and `units` are pure.
"""
