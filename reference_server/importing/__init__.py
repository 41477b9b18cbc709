"""Reading what other programs have stored."""
