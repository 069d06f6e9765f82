#!/bin/sh
# Copies of this repository only what names its dependencies, with empty sources, so that a container's build compiles
# the dependencies in a layer that stays as long as they do.
#
#   deploy/docker/skeleton.sh FOLDER
set -eu
cd "$(dirname "$0")/../.."
folder=$1

find . -name Cargo.toml -o -name Cargo.lock -o -path ./deploy/static.sh | while read -r file; do
    mkdir -p "$folder/$(dirname "$file")"
    cp -p "$file" "$folder/$file"
done
# Whatever the manifests name, or cargo finds by its place.
find . \( -path '*/src/lib.rs' -o -path '*/src/main.rs' -o -path '*/src/bin/*.rs' -o -name build.rs \
    -o -path '*/tests/*/main.rs' -o -path '*/benches/*.rs' \) | while read -r file; do
    mkdir -p "$folder/$(dirname "$file")"
    echo 'fn main() {}' > "$folder/$file"
done
