"""The fleet API, `/v1` (docs/fleet.md)."""
