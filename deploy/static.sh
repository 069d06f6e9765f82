#!/bin/sh
# Builds the program that is handed out: static, optimised as a whole, the same bytes from the same commit wherever it
# is built. The image, the release archives and `cargo xtask image` all come from here.
#
#   deploy/static.sh [TARGET]        # such as aarch64-unknown-linux-gnu; this machine's by default
#
# TOPSHELF_FEATURES names features of the program that are off by default, such as cluster. What is handed out has none.
#
# The last line on stdout is the path of the program.
set -eu
cd "$(dirname "$0")/.."
target=${1:-$(uname -m)-unknown-linux-gnu}
folder=${CARGO_TARGET_DIR:-$PWD/target}
cargo_home=${CARGO_HOME:-$HOME/.cargo}

# Messages of panics and assertions name source files: ours as they lie below this folder, others by these names, wherever
# they lie. The last that fits counts.
flags=
file_map=
for place in "$cargo_home=/cargo" "$folder=/target"; do
    flags="$flags--remap-path-prefix=$place$(printf '\037')"
    file_map="$file_map -ffile-prefix-map=$place"
done
# The addresses that the program mends as it starts are written tersely, where the linker can: not yet GNU's for arm64.
relocations=-Clink-arg=-Wl,-z,pack-relative-relocs
CARGO_ENCODED_RUSTFLAGS="$flags-Ctarget-feature=+crt-static$(printf '\037')$relocations"
export CARGO_ENCODED_RUSTFLAGS
variable="CFLAGS_$(printf '%s' "$target" | tr - _)"
# No panic passes through C, which calls Rust by functions that end the process instead: it needs no tables for that.
export "$variable=$file_map -fno-asynchronous-unwind-tables -fno-unwind-tables"

# For another kind of processor, the linker of its name; C is compiled by its compiler, which is found by itself.
if [ "$target" != "$(uname -m)-unknown-linux-gnu" ]; then
    linker="CARGO_TARGET_$(printf '%s' "$target" | tr a-z- A-Z_)_LINKER"
    export "$linker=${target%%-*}-linux-gnu-gcc"
fi

# With an explicit target, what runs while building is not static: macros could not be.
build() {
    cargo build --locked --profile dist --target "$target" --package topshelf --features "${TOPSHELF_FEATURES:-}" >&2
}
build
# Whenever it is built again, this crate compresses what it compressed before too, and carries both: it begins anew.
if [ -n "$(find "$folder/$target/dist/build" -path '*/utoipa-swagger-ui-*' -name '*.gz.gz')" ]; then
    cargo clean --quiet --profile dist --target "$target" --package utoipa-swagger-ui >&2
    build
fi
printf '%s\n' "$folder/$target/dist/topshelf"
