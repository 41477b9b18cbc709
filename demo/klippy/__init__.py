"""A stand-in for Klipper's host process, for the demo and the tests.

It speaks Klippy's unix-socket protocol to a real Moonraker and models one Cartesian printer: positions, modes,
heaters, the virtual SD card, pausing, idle time-out, restarts and shutdowns. What it does was taken from the
recordings of a real Klipper in `tests/data/recordings/moonraker`, and `tests/contract/test_klippy_standin.py` holds
it against them.

Who knows whom: `server` and `control` (sockets) -> `host` (lifecycle, G-code lock) -> `interpreter` (commands)
-> `print_job`, `gcode_move`, `motion`, `thermal` (models; time is always an argument).
"""
