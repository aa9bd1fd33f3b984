"""Output on a terminal: progress and errors (`terminal`), and the results of commands (`results`)."""

from hwnas.console.terminal import Terminal, quietly, show_error

__all__ = ["Terminal", "quietly", "show_error"]
