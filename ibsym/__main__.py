"""python -m ibsym: the command line."""

from ibsym.cli import main

if __name__ == "__main__":
    main()
