"""The load generator of `bench/server_load.py`: agents and web viewers by the thousand, in processes of their own."""
