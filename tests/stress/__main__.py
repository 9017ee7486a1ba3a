"""Run many rounds and print their figures: `python -m tests.stress [--rounds N] [--seed S]`."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

from tests.stress.rounds import Figures, Round


def main() -> int:
    """Run the rounds; 1 when one has failed, whose folder is kept then."""
    parser = argparse.ArgumentParser(prog="python -m tests.stress", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="the number of the first round")
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    total, failed = Figures(), []
    for number in range(options.first, options.first + options.rounds):
        root = Path(tempfile.mkdtemp(prefix="stress-"))
        try:
            total += Round(f"{seed}-{number}", root).run()
        except Exception:
            traceback.print_exc()
            print(f"round {number} of seed {seed} failed: {root}", flush=True)
            failed.append(number)
            continue
        shutil.rmtree(root)
        if number % 10 == 9:
            print(f"{number + 1}: {total}", flush=True)
    print(total)
    print(f"failed: {failed or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
