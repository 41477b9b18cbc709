"""The agent for Klipper printers: talks to Moonraker, hands everything to agent_core."""
