"""A bundle or a deployment checked again: files, signature, self-test, quality, latency, and against another one."""
