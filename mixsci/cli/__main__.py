"""`python -m mixsci.cli` is `mixsci`."""

from mixsci.cli import main

if __name__ == "__main__":
    main()
