"""The loop of the vision process: a request, an answer, until the input closes."""

from __future__ import annotations

import os
import signal
import sys
from typing import BinaryIO

from reference_server.detectors import pipe
from reference_server.detectors.child.limits import die_with_parent, limit_memory, no_core_dumps


def _pipes() -> tuple[BinaryIO, BinaryIO]:
    """Input and output of our own; what a library prints goes to standard error."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return sys.stdin.buffer, output


def _exactly(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise EOFError
    return data


def main() -> int:
    parent = os.getppid()
    die_with_parent(parent)
    limit_memory(int(sys.argv[1]))
    no_core_dumps()
    requests, answers = _pipes()
    from reference_server.detectors.child.desk import Desk

    desk = Desk()
    while True:
        try:
            json_length, data_length = pipe.lengths(_exactly(requests, pipe.HEAD.size))
            request = pipe.message_of(_exactly(requests, json_length))
            data = _exactly(requests, data_length)
        except EOFError:
            return 0
        # The default action of SIGALRM ends the process, also in the middle of OpenCV.
        signal.alarm(int(request.get("limit", 60)))
        answer, result = desk.answer(request, data)
        signal.alarm(0)
        answers.write(pipe.pack(answer, result))
        answers.flush()


if __name__ == "__main__":
    sys.exit(main())
