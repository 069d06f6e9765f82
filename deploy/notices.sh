#!/bin/sh
# Prints the licences of what is linked into the program, each text once with the crates that carry it: whoever hands the
# program out hands these out with it.
#
#   deploy/notices.sh [TARGET]        # such as aarch64-unknown-linux-gnu; this machine's by default
#
# The crates' texts are taken from where cargo unpacks sources. TOPSHELF_FEATURES is that of deploy/static.sh.
set -eu
cd "$(dirname "$0")/.."
target=${1:-$(uname -m)-unknown-linux-gnu}
sources=${CARGO_HOME:-$HOME/.cargo}/registry/src
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/texts" "$work/carriers"

cargo tree --locked --package topshelf --features "${TOPSHELF_FEATURES:-}" --target "$target" --edges normal,no-proc-macro --prefix none --format '{p}|{l}' |
    sed 's/ ([*])$//' | LC_ALL=C sort -u | grep -v ' (/' > "$work/crates"

# A folder of the crate `$1` in its version `$2`, as cargo calls it.
folder() {
    set -- "$sources"/*/"$1-$2"
    if [ ! -d "$1" ]; then
        echo "the sources of ${1##*/} are not below $sources" >&2
        exit 1
    fi
    printf '%s\n' "$1"
}

while IFS='|' read -r crate licence; do
    name=${crate%% v*} version=${crate#* v} version=${version%% *}
    place=$(folder "$name" "$version")
    find "$place" -maxdepth 3 -type f \( -iname 'licen[cs]e*' -o -iname 'copying*' -o -iname 'notice*' -o -iname 'unlicense*' \) \
        ! -name '*.rs' ! -name '*.py' ! -name '*.h' ! -name '*.toml' ! -path '*/tests/*' ! -path '*/scripts/*' | LC_ALL=C sort > "$work/files"
    [ -s "$work/files" ] || printf '%s %s (%s)\n' "$name" "$version" "$licence" >> "$work/bare"
    while read -r file; do
        tr -d '\r' < "$file" > "$work/text"
        digest=$(sha256sum < "$work/text" | cut -d ' ' -f 1)
        cp "$work/text" "$work/texts/$digest"
        printf '%s %s (%s)\n' "$name" "$version" "$licence" >> "$work/carriers/$digest"
    done < "$work/files"
done < "$work/crates"

rule=--------------------------------------------------------------------------------
cat << 'END'
topshelf itself may be had under the terms of the MIT licence or those of the Apache licence, version 2.0, as you choose.
It is linked with what follows, each under its own terms.

Rust's standard library: MIT or Apache-2.0, © The Rust Project contributors.

The GNU C library: LGPL-2.1-or-later, © Free Software Foundation, Inc. and others. The program can be linked again with
another version of it from the public sources of this one, by deploy/static.sh.

SQLite: in the public domain.
END
if [ -s "$work/bare" ]; then
    printf '\nWithout a text of their own, under the terms named here:\n\n'
    sort -u "$work/bare"
fi
# In the order of the first crate that carries each.
for carriers in "$work"/carriers/*; do
    printf '%s %s\n' "$(head -n 1 "$carriers" | tr ' ' '\t')" "${carriers##*/}"
done | LC_ALL=C sort | while read -r line; do
    digest=${line##* }
    printf '\n%s\n\n' "$rule"
    uniq "$work/carriers/$digest"
    printf '\n'
    cat "$work/texts/$digest"
done
