"""The vision process, started by ../vision.py: `python -m reference_server.detectors.child MEMORY_MB`."""
