"""The fleet API's client, without a server."""
