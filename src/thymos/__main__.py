"""``python -m thymos`` is the command ``thymos``."""

from thymos.interruption import ending_when_interrupted
from thymos.streams import take_closed_numbers


def main() -> None:
    """Run the command line, and end by Ctrl-C already while it is imported."""
    take_closed_numbers()
    with ending_when_interrupted():
        from thymos.cli import main as run

        run()


if __name__ == "__main__":
    main()
