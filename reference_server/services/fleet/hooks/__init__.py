"""Web hooks of the farm: who wants to hear of what, and the queue of what is to be told (fleet-api.md §6)."""
