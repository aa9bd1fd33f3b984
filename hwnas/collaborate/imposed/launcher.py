"""Run a command within a network namespace, and end it when the process that started it ends.

`python -m hwnas.collaborate.imposed.launcher NAMESPACE PARENT COMMAND...`
"""

from __future__ import annotations

import os
import signal
import sys

from hwnas.collaborate.imposed.namespaces import call_libc, enter

PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent, of this id, ends."""
    call_libc("prctl", PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit(1)


if __name__ == "__main__":
    end_with_parent(int(sys.argv[2]))
    enter(sys.argv[1])
    os.execvp(sys.argv[3], sys.argv[3:])
