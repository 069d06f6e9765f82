#!/usr/bin/env bash
# Runs a command of topshelf as a task on AWS, with the network and the configuration of the nights, as the owner of the database.
#
#   deploy/aws/task.sh [--name NAME] [--region REGION] [--as night] COMMAND…
#
#   deploy/aws/task.sh --as night doctor
#   deploy/aws/task.sh run --day 2026-11-20
#   deploy/aws/task.sh keys create --name 'acme shop' --advertiser acme
#   deploy/aws/task.sh grant serve reader --iam
#
# The owner may do everything in it; --as night logs in as the nights do, and makes no keys. Prints what the command says, and ends with
# its exit code. A task takes about a minute to begin. The log that it comes by is deleted once it is shown, since keys come so; as the
# night it stays in the log of the nights.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=deploy/aws/stacks.sh
. "$here/stacks.sh"

NAME=topshelf
region=''
as=hand
while [ $# -gt 0 ]; do
    case $1 in
        --name) NAME=$2; shift 2 ;;
        --region) region=$2; shift 2 ;;
        --as) as=$2; shift 2 ;;
        -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;;
        *) break ;;
    esac
done
case $as in night | hand) ;; *) die "--as $as is not known" 'there is night' ;; esac
[ $# -gt 0 ] || die 'no command is named' "$0 --help"
case "$as $* " in
    'night '*keys*' create '*) die 'a key that is made as the night would stay in its log' 'leave out --as night: by hand the log is deleted once the key is shown' ;;
esac
find_account "$region" ''
now=$(state "$NAME-night")
[ "$now" != NONE ] || die "there is no stack $NAME-night" "deploy/aws/deploy.sh makes it; or another --name or --region is meant"
task --as "$as" "$@"
