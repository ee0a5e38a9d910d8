"""Measured speed on the user's own machine, beside peers in the same run; each measurement is a process of its own."""
