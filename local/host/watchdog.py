"""Ends the gateway's process group when the gateway is gone, however it went.

Started by the gateway with a pipe as its standard input; the pipe's other end is held by the gateway alone, so
that end of file means that it has ended. Model servers and Lambda workers are in the same group.
"""

import os
import signal
import sys

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.stdin.buffer.read()
    os.killpg(os.getpgrp(), signal.SIGKILL)
