"""A farm without printers: any number of them, played by one process, each with a real agent of its own in front.

`printer` is the machine and its own record, `moonraker` what an agent and a browser see of it, `python -m demo.farm`
the process. It outlives its agents, as printers do: what was printed is known from here, whatever server and agents
believe.
"""
