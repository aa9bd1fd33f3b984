"""Links between edge and cloud as distributions: presets, traces, and the time that TCP takes over them."""
