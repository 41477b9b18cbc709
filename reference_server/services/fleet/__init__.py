"""The farm: the same printers, prints and events as groups, jobs, materials, figures and web hooks (docs/fleet.md)."""
