"""A process that leads whole lives of risky calls: `python -m benchmarks.living FOLDER THREADS`.

It says that it is ready, is told for how many seconds to go on, and says what CPU that took.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks import countersigning


def main() -> None:
    """Be ready, go on for as long as is said, tell the CPU."""
    countersigning.connect(Path(sys.argv[1]))
    from benchmarks import lives  # noqa: PLC0415  it needs Django, which is loaded by now

    threads = int(sys.argv[2])
    lives.live(0.5, 0)
    print("ready", flush=True)
    seconds = float(sys.stdin.readline())
    before = time.process_time()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(partial(lives.live, seconds), range(threads)))
    print(json.dumps(time.process_time() - before), flush=True)


if __name__ == "__main__":
    main()
