"""Where work is done: this process, or worker processes."""
