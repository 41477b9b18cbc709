"""Jobs: what is to be printed, and the copies of it on their way (fleet-api.md §3, docs/fleet.md)."""
