"""The server as a client: requests to addresses that people typed in."""
