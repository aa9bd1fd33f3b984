"""A kit's first file, its `__main__.py`: readable by any Python, so that one that is too old gets a clear error."""

import os
import sys

if sys.version_info < (3, 9):  # noqa: UP036
    sys.exit("error: this is Python %d.%d, a kit needs 3.9 or newer" % sys.version_info[:2])  # noqa: UP031

if __name__ == "__main__":
    from hwnas.boards.runner import main

    sys.exit(main(os.path.dirname(os.path.abspath(__file__)), sys.argv[1:]))
