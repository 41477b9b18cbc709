"""Carries alerts to mailboxes, Apprise's services and web hooks: in child processes, started when there is something to
carry and ended when there is not. Nothing of what they need is ever loaded by the server itself."""
