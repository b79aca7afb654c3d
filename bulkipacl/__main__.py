"""`python -m bulkipacl`."""

from bulkipacl.cli.main import main

if __name__ == "__main__":
    main()
