"""`python -m hwnas.cli`."""

from hwnas.cli.entry import main

main()
