"""The crash test: server and agents are killed at random moments while a queue of short jobs is printed by simulated
printers. What the printers did is the truth; each copy must be printed once or reported failed, and every web hook told
in order. `python -m bench.crash --help`.
"""
