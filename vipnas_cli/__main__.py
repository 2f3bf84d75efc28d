"""`python -m vipnas_cli` is `vipnas`."""

from vipnas_cli.cli.app import main

if __name__ == "__main__":
    main()
