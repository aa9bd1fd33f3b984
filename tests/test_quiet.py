"""Muting reaches native code and ends when it should."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hwnas.io.quiet import suppress_stdio


def test_native_code_is_not_heard_and_is_afterwards(capfd: pytest.CaptureFixture[str]) -> None:
    print("before")
    with suppress_stdio():
        os.write(1, b"hidden")
        os.write(2, b"hidden")
        with suppress_stdio():
            os.write(1, b"hidden")
        os.write(1, b"hidden")
    os.write(1, b"after")
    os.write(2, b"after")
    assert capfd.readouterr() == ("before\nafter", "after")


def test_an_error_ends_the_silence(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError), suppress_stdio():
        raise RuntimeError
    os.write(1, b"heard")
    assert capfd.readouterr().out == "heard"


def test_buffered_text_keeps_its_side() -> None:
    code = "from hwnas.io.quiet import suppress_stdio\nprint('a')\nwith suppress_stdio(): print('b')\nprint('c')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "a\nc\n"


def test_a_closed_stream_is_no_obstacle() -> None:
    code = "import os\nfrom hwnas.io.quiet import suppress_stdio\nos.close(2)\n"
    code += "with suppress_stdio(): os.write(1, b'b')\nprint('c')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "c\n"
