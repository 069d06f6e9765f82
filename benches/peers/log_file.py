"""Where a log of a benchmark lies, compressed or not."""

from pathlib import Path


def log_file(folder: str, log: str) -> str:
    (path,) = Path(folder).glob(f"{log}.csv*")
    return str(path)
