"""Where tasks are worked on: this process, worker processes of this machine, or a Ray cluster (see ``tasks``)."""
