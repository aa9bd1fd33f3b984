"""The command line: one file a group of commands; `entry.py` lists them."""

from hwnas.cli.entry import app as app
from hwnas.cli.entry import main as main
