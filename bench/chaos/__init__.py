"""Chaos: a simulated week of two printers in fast time, with everything going wrong that can; `make chaos`.

Real are: the agents' core with its database and outbox, the translators of both hosts, and the whole server with its
database, reached through its ASGI interface. Played are: the two printers with their hosts, the network, the disks and
the clocks. Afterwards the server's history has to equal what the printers did: nothing lost, doubled, or ended wrongly.

clock.py      the simulated time, and each machine's wall clock, which may be wrong
network.py    the line between an agent and the server: up, down, half-open, slow; frames that are no messages
served.py     the server: killed and started again, with a disk that fills up
agents.py     an agent: killed and started again, with a disk that fills up
hosts.py      a Klipper printer behind Moonraker, and an OctoPrint; they keep the truth
week.py       who prints what, and what goes wrong when; the verdict
"""
