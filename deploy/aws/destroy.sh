#!/usr/bin/env bash
# shellcheck disable=SC2016,SC2153 # backticks are meant for people, and for JMESPath; ACCOUNT comes from stacks.sh
# Takes topshelf from AWS. The data stay, unless told otherwise.
#
#   deploy/aws/destroy.sh [--name NAME] [--region REGION] [--account ID] [--delete-data] [--yes]
#
# Without --delete-data the API and the nights go; network, bucket, images and database stay as they are, and cost what they cost.
# With it, these go too, the bucket with everything in it; of the database a last snapshot is made, which stays. Asks before, unless
# --yes is given. May be repeated.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=deploy/aws/stacks.sh
. "$here/stacks.sh"

NAME=topshelf
account='' region='' is_data_deleted='' is_sure=''
while [ $# -gt 0 ]; do
    case $1 in
        --name) NAME=$2; shift 2 ;;
        --region) region=$2; shift 2 ;;
        --account) account=$2; shift 2 ;;
        --delete-data) is_data_deleted=yes; shift ;;
        --yes) is_sure=yes; shift ;;
        -h | --help) sed -n '3,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;;
        *) die "$1 is not known" "$0 --help" ;;
    esac
done

main() {
    find_account "$region" "$account"
    [ -n "$is_sure" ] || confirm
    local stack now
    # Others that an account may have, which stand on these.
    for stack in apprunner airflow cluster; do
        now=$(state "$NAME-$stack")
        [ "$now" = NONE ] || die "there is a stack $NAME-$stack too" "aws cloudformation delete-stack --stack-name $NAME-$stack, then again"
    done
    delete "$NAME-api"
    delete "$NAME-night"
    if [ -z "$is_data_deleted" ]; then
        say "gone: the API and the nights. $NAME-base has the data; deploy.sh brings all back, --delete-data deletes it"
        return
    fi
    now=$(state "$NAME-base")
    if [ "$now" != NONE ]; then
        local said
        said=$(aws rds modify-db-instance --db-instance-identifier "$NAME" --no-deletion-protection --apply-immediately 2>&1) ||
            case $said in
                *DBInstanceNotFound*) ;;
                *) die "the database is still protected: $said" "$(remedy "$said")" ;;
            esac
    fi
    local bucket=$NAME-$ACCOUNT-$AWS_REGION
    if aws s3api head-bucket --bucket "$bucket" > /dev/null 2>&1; then
        empty "$bucket"
    fi
    [ "$now" = NONE ] || clear_network
    delete "$NAME-base"
    if aws s3api head-bucket --bucket "$bucket" > /dev/null 2>&1; then
        empty "$bucket"
        ask s3api delete-bucket --bucket "$bucket"
    fi
    say "gone, all of it. The last snapshots of the database stay: aws rds describe-db-snapshots --snapshot-type manual"
}

confirm() {
    local answer
    if [ -n "$is_data_deleted" ]; then
        say "This deletes topshelf in account $ACCOUNT, region $AWS_REGION, with its bucket and database."
    else
        say "This deletes the API and the nights in account $ACCOUNT, region $AWS_REGION. The data stay."
    fi
    printf 'Type %s to go on: ' "$NAME" >&2
    read -r answer || answer=''
    [ "$answer" = "$NAME" ] || die 'nothing was deleted'
}

delete() {
    local now looks=0
    now=$(state "$1")
    [ "$now" != NONE ] || return 0
    case $now in
        DELETE_IN_PROGRESS | REVIEW_IN_PROGRESS | DELETE_FAILED | ROLLBACK_COMPLETE | ROLLBACK_FAILED) ;;
        *) settle "$1" ;;
    esac
    say "stack $1 goes"
    ask cloudformation delete-stack --stack-name "$1"
    while true; do
        now=$(state "$1") || exit 1
        [ "$now" != NONE ] || break
        [ "$now" != DELETE_FAILED ] || { failures "$1"; die "stack $1 could not be deleted" 'mend what failed, and again'; }
        looks=$((looks + 1))
        [ $looks -lt "$LOOKS_MAX" ] || die "stack $1 is still $now" "aws cloudformation describe-stack-events --stack-name $1"
        sleep "$TOPSHELF_LOOK_SECONDS"
    done
}

# Waits until nothing is left in the network that is not the stack's, and would keep it from being deleted: the balancer of Express
# Mode and its security groups, which AWS takes away some minutes after the service; tasks that still run.
clear_network() {
    local base network ours left looks=0 looks_max=$((600 / (TOPSHELF_LOOK_SECONDS > 0 ? TOPSHELF_LOOK_SECONDS : 1)))
    base=$(outputs "$NAME-base") || exit 1
    network=$(output VpcId "$base")
    # A stack that was never whole has no outputs, and nothing of others in it.
    [ -n "$network" ] || return 0
    ours="$(output ApiSecurityGroup "$base") $(output NightSecurityGroup "$base") $(output DatabaseSecurityGroup "$base")"
    while true; do
        left=$(ask ec2 describe-network-interfaces --filters "Name=subnet-id,Values=$(output PublicSubnetA "$base"),$(output PublicSubnetB "$base")" \
            --query 'NetworkInterfaces[].[NetworkInterfaceId, Description]' --output text) || exit 1
        left=$left${left:+$'\n'}$(ask ec2 describe-security-groups --filters "Name=vpc-id,Values=$network" \
            --query "SecurityGroups[?GroupName != 'default' && !contains('$ours', GroupId)].[GroupId, GroupName]" --output text) || exit 1
        [ -n "$left" ] || return 0
        [ $looks -gt 0 ] || say "waiting for what others have in the network $network to go:"$'\n'"$left"
        looks=$((looks + 1))
        [ $looks -lt $looks_max ] || die "still in the network $network, which cannot be deleted with it:"$'\n'"$left" \
            'of a balancer: `aws elbv2 describe-load-balancers` and `delete-load-balancer`; of a task: `aws ecs stop-task`; a security group: `aws ec2 delete-security-group --group-id ID`; then again'
        sleep "$TOPSHELF_LOOK_SECONDS"
    done
}

# Deletes every version of every object.
empty() {
    local objects
    say "bucket $1 is emptied"
    while true; do
        objects=$(ask s3api list-object-versions --bucket "$1" --max-items 500 --output json \
        --query '{Objects: [Versions, DeleteMarkers][].{Key: Key, VersionId: VersionId}, Quiet: `true`}') || exit 1
        [[ $objects == *'"Key"'* ]] || break
        printf '%s' "$objects" > "$work/objects"
        objects=$(ask s3api delete-objects --bucket "$1" --delete "file://$work/objects" --query 'Errors[0].[Code, Key]' --output text) || exit 1
        [ "${objects%%[[:space:]]*}" = None ] || [ -z "$objects" ] || die "an object could not be deleted: $objects" "$(remedy "$objects")"
    done
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
main
