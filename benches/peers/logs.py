"""Where a log of a benchmark lies, and the file of the answer."""

from collections.abc import Iterable
from pathlib import Path


def log_file(folder: str, log: str) -> tuple[str, str]:
    """The log's path, and its format: csv, csv.gz, csv.zst, jsonl or parquet."""
    (path,) = Path(folder).glob(f"{log}.*")
    return str(path), path.name.removeprefix(f"{log}.")


def write_answer(answer: str, rankings: dict[str, Iterable[tuple]]) -> None:
    """A line for each ranked product, of one model after the other."""
    with open(answer, "w", encoding="utf-8", newline="\n") as out:
        for model, products in rankings.items():
            out.writelines("\t".join(map(str, (model, *product))) + "\n" for product in products)
