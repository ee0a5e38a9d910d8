"""``python -m thymos`` is the command ``thymos``."""

from thymos.cli import main

if __name__ == "__main__":
    main()
