"""`python -m orchestrator` is the console script."""

from orchestrator.cli import run_program

if __name__ == "__main__":
    run_program()
