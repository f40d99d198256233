"""Systems of a benchmark by name, from the command line."""

import argparse


def chosen(description: str | None, names) -> list[str]:
    """The names given as arguments; all without any."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("systems", nargs="*", help=f"default: all of {', '.join(names)}")
    systems = parser.parse_args().systems or list(names)
    if unknown := set(systems) - set(names):
        parser.error(f"unknown {', '.join(unknown)}: choose among {', '.join(names)}")
    return systems
