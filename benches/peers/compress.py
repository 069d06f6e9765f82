"""Compresses a file as the end of the new name says, at the level that the tools take by themselves: FROM TO."""

import gzip
import shutil
import sys

import zstandard

source, target = sys.argv[1:]


def opened(name: str):
    if name.endswith(".gz"):
        return gzip.open(name, "wb", compresslevel=6)
    return zstandard.open(name, "wb", cctx=zstandard.ZstdCompressor(level=3, write_checksum=True))


with open(source, "rb") as plain, opened(target) as compressed:
    shutil.copyfileobj(plain, compressed, 1 << 20)
