"""The commands of `moonraker-obico`, one module each; only the one that is called is imported."""
