#!/usr/bin/env bash
# shellcheck disable=SC2016,SC2153 # backticks are meant for people, and for JMESPath; ACCOUNT comes from stacks.sh
# Puts topshelf on AWS, or a new version in the place of the old one. May be repeated, and broken off at any moment and repeated.
#
#   deploy/aws/deploy.sh                                    builds the image with docker, podman or buildah
#   deploy/aws/deploy.sh --image topshelf.oci.tar           takes what `cargo xtask image` or a release made
#   deploy/aws/deploy.sh --tag TAG                          goes back to an image that was pushed before
#   deploy/aws/deploy.sh --dry-run …                        shows what would change, and changes nothing
#
#   --name NAME          what everything is called                                [topshelf]
#   --region REGION      where                                                    [of the AWS CLI]
#   --account ID         ends if the credentials are of another account
#   --set STACK.PARAMETER=VALUE   a parameter of base.yaml, night.yaml or api.yaml, such as night.TimeZone=Europe/Madrid;
#                        may be repeated; what is not set keeps its last value
#
#   TOPSHELF_FEATURES=cluster in the environment builds the image with counting on a cluster (docs/cluster.md).
#
# In this order: base.yaml; the image is pushed; night.yaml; `topshelf migrate` and `topshelf doctor` as tasks in the network;
# api.yaml; a first key, if there is none. Needs bash, the AWS CLI, and one of skopeo, docker, podman, buildah.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=deploy/aws/stacks.sh
. "$here/stacks.sh"

NAME=topshelf
account='' region='' archive='' tag='' is_tag_named='' is_dry_run=''
settings=()
while [ $# -gt 0 ]; do
    case $1 in
        --name) NAME=$2; shift 2 ;;
        --region) region=$2; shift 2 ;;
        --account) account=$2; shift 2 ;;
        --image) archive=$2; shift 2 ;;
        --tag) tag=$2 is_tag_named=yes; shift 2 ;;
        --set) settings+=("$2"); shift 2 ;;
        --dry-run) is_dry_run=yes; shift ;;
        -h | --help) sed -n '3,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;;
        *) die "$1 is not known" "$0 --help" ;;
    esac
done

main() {
    check_settings
    find_account "$region" "$account"
    name_image
    if [ -n "$is_dry_run" ]; then
        show_changes
        return
    fi
    deploy base
    BASE=$(outputs "$NAME-base")
    repository=$(output Repository "$BASE")
    push
    ask_database
    deploy night "Image=$repository:$tag" "${database[@]}"
    say 'topshelf migrate, as a task: about a minute'
    task migrate >&2 || unmigrated
    say 'topshelf doctor, as a task that logs in as the nights do'
    local is_well=yes
    task --as night doctor >&2 || is_well=''
    deploy_api
    first_key
    local address
    address=$(outputs "$NAME-api")
    address=$(output Address "$address")
    address=https://${address#https://}
    say
    [ -n "$is_well" ] || say "The doctor misses something that a night needs: see above. Logs belong below s3://$(output Bucket "$BASE")/logs/."
    say "topshelf is at $address"
    say "  curl -H 'Authorization: Bearer KEY' $address/stats/"
    printf '%s\n' "$address"
}

# The nights are defined anew before, since the migration is a task like theirs; the API is what it was.
unmigrated() {
    local was
    was=$(ask cloudformation describe-stacks --stack-name "$NAME-api" --query "Stacks[0].Parameters[?ParameterKey=='Image'].ParameterValue" --output text 2> /dev/null) || was=''
    case $was in
        '' | "$repository:$tag") die 'the database could not be migrated' 'what the program said stands above; `deploy/aws/task.sh doctor` tries each step' ;;
    esac
    die 'the database could not be migrated; the API is as it was, the nights have the new version already' \
        "what the program said stands above; \`deploy/aws/task.sh doctor\` tries each step, \`deploy/aws/deploy.sh --tag ${was##*:}\` takes the nights back"
}

check_settings() {
    local setting stack key
    for setting in "${settings[@]+"${settings[@]}"}"; do
        stack=${setting%%.*} key=${setting#*.} key=${key%%=*}
        case $setting in
            base.*=* | night.*=* | api.*=*) ;;
            *) die "--set $setting is not STACK.PARAMETER=VALUE" 'STACK is base, night or api' ;;
        esac
        sed -n '/^Parameters:/,/^Conditions:/p' "$here/$stack.yaml" | grep -q "^  $key:\$" ||
            die "$stack.yaml has no parameter $key" "it has: $(sed -n '/^Parameters:/,/^Conditions:/s/^  \([A-Za-z]*\):$/\1/p' "$here/$stack.yaml" | tr '\n' ' ')"
    done
}

# The tag of the image says what is in it: the same again is not pushed again, and tags never move.
name_image() {
    [ -z "$tag" ] || return 0
    if [ -n "$archive" ]; then
        [ -f "$archive" ] || die "there is no file $archive" '`cargo xtask image` leaves one below target/image'
        tag=$( (sha256sum "$archive" 2> /dev/null || shasum -a 256 "$archive") | cut -c 1-12)
    else
        tag=$(git -C "$here" rev-parse --short=12 HEAD 2> /dev/null) || die 'this is no clone of the repository, so nothing can be built' 'say --image FILE'
        [ -z "$(git -C "$here" status --porcelain)" ] || tag=$tag-$(changes | cksum | cut -d ' ' -f 1)
        tag=$tag${TOPSHELF_FEATURES:+-${TOPSHELF_FEATURES//[, ]/-}}
    fi
}

# What is not in the commit: changes, and files that are new and not ignored, which an image is built of too.
changes() {
    local root file
    root=$(git -C "$here" rev-parse --show-toplevel)
    git -C "$root" diff HEAD
    git -C "$root" ls-files --others --exclude-standard -z | while IFS= read -r -d '' file; do
        printf '%s\n' "$file"
        [ ! -f "$root/$file" ] || cat "$root/$file"
    done
}

# deploy STACK [PARAMETER=VALUE]…
deploy() {
    local stack=$1 parameters=("Name=$NAME") setting
    shift
    parameters+=("$@")
    for setting in "${settings[@]+"${settings[@]}"}"; do
        [ "${setting%%.*}" != "$stack" ] || parameters+=("${setting#*.}")
    done
    settle "$NAME-$stack"
    say "stack $NAME-$stack"
    # shellcheck disable=SC2086 # empty means no word
    aws cloudformation deploy --stack-name "$NAME-$stack" --template-file "$here/$stack.yaml" --capabilities CAPABILITY_IAM \
        --no-fail-on-empty-changeset --tags "topshelf=$NAME" --parameter-overrides "${parameters[@]}" ${is_dry_run:+--no-execute-changeset} > "$work/said" 2>&1 || {
        cat "$work/said" >&2
        failures "$NAME-$stack"
        die "stack $NAME-$stack could not be deployed" "$(remedy "$(cat "$work/said")")"
    }
    [ -n "$is_dry_run" ] || grep -v '^$' "$work/said" >&2
}

# The API is told what it should have by when, as the nights are.
deploy_api() {
    local night
    night=$(outputs "$NAME-night")
    deploy api "Image=$repository:$tag" "TimeZone=$(output TimeZone "$night")" "Cron=$(output Cron "$night")" "${database[@]}"
}

# Who the database is now: one that was restored has another secret and another resource than base.yaml's exports name.
ask_database() {
    local answer resource secret
    answer=$(ask rds describe-db-instances --db-instance-identifier "$NAME" --query 'DBInstances[0].[DbiResourceId, MasterUserSecret.SecretArn]' --output text) || exit 1
    read -r resource secret <<< "$answer"
    [ "$secret" != None ] || die "database $NAME has no secret of its owner" "aws rds modify-db-instance --apply-immediately --db-instance-identifier $NAME --manage-master-user-password; docs/restore.md, On AWS"
    database=("DatabaseResource=$resource" "OwnerSecret=$secret")
}

push() {
    if aws ecr describe-images --repository-name "$NAME" --image-ids "imageTag=$tag" > /dev/null 2>&1; then
        say "image $repository:$tag is there"
        return
    fi
    [ -z "$is_tag_named" ] || die "there is no image $repository:$tag" "aws ecr describe-images --repository-name $NAME lists those that there are"
    local with
    for with in skopeo docker podman buildah; do
        # skopeo builds nothing, and docker may be there without its engine.
        case $with in
            skopeo) [ -n "$archive" ] && command -v skopeo > /dev/null && break ;;
            docker) command -v docker > /dev/null && docker info > /dev/null 2>&1 && break ;;
            *) command -v "$with" > /dev/null && break ;;
        esac
        with=''
    done
    [ -n "$with" ] || die 'neither skopeo (with --image), docker, podman nor buildah is here and works' 'install one of them; AWS CloudShell has docker'
    if [ -z "$archive" ]; then
        [ -d "$here/../docker" ] || die 'there is nothing to build from' 'say --image FILE'
        say "building the image with $with: some minutes"
        "$with" build --platform linux/amd64 --file "$here/../docker/Dockerfile" --build-arg "REVISION=$tag" --build-arg "FEATURES=${TOPSHELF_FEATURES:-}" --tag "$repository:$tag" "$here/../.." >&2 ||
            die 'the image could not be built' 'or take a ready one: --image FILE'
    fi
    say "pushing $repository:$tag with $with"
    ask ecr get-login-password | case $with in
        docker) docker login --username AWS --password-stdin "${repository%%/*}" ;;
        *) "$with" login --authfile "$work/auth.json" --username AWS --password-stdin "${repository%%/*}" ;;
    esac >&2 || die "$with could not log in to ${repository%%/*}" 'is there a way to it?'
    local is_pushed=yes
    case $with in
        skopeo) skopeo copy --quiet --authfile "$work/auth.json" "$(kind):$archive" "docker://$repository:$tag" >&2 || is_pushed='' ;;
        docker)
            [ -z "$archive" ] || docker tag "$(docker load --quiet --input "$archive" | sed -n 's/^Loaded image[^:]*: //p' | head -n 1)" "$repository:$tag" >&2
            docker push "$repository:$tag" >&2 || is_pushed=''
            ;;
        *)
            if [ -n "$archive" ]; then
                "$with" tag "$("$with" pull --quiet "$(kind):$archive")" "$repository:$tag" >&2
            fi
            "$with" push --authfile "$work/auth.json" "$repository:$tag" >&2 || is_pushed=''
            ;;
    esac
    [ -n "$is_pushed" ] || die "$repository:$tag could not be pushed" 'what the tool said stands above; tags are never written over'
}

# Which kind of archive it is.
kind() {
    if tar -tf "$archive" 2> /dev/null | grep -cx 'oci-layout' > /dev/null; then echo oci-archive; else echo docker-archive; fi
}

# A key must be shown once, and is only in the log until then: one that a broken-off run has made is found there.
first_key() {
    show_keys && return
    local listed
    listed=$(task keys list --json) || die 'the keys could not be listed' 'what the program said stands above'
    case $listed in
        *'"keys":[]'*) ;;
        *) say 'there are keys already: deploy/aws/task.sh keys list'; return ;;
    esac
    say 'making the first key'
    task keys create --name first --all || die 'no key could be made' 'what the program said stands above'
}

show_keys() {
    local streams stream lines is_shown=''
    streams=$(ask logs describe-log-streams --log-group-name "/$NAME/hand" --query 'logStreams[].logStreamName' --output text) || exit 1
    for stream in $streams; do
        # What came is shown, even if the log has not come whole.
        lines=$(lines_of "$stream" 3 | grep '^tsk_') || [ -n "$lines" ] || continue
        say 'a run that was broken off had made this key:'
        printf '%s\n' "$lines"
        ask logs delete-log-stream --log-group-name "/$NAME/hand" --log-stream-name "$stream" || exit 1
        is_shown=yes
    done
    [ -n "$is_shown" ]
}

# Change sets that are made, shown and deleted.
show_changes() {
    repository=$ACCOUNT.dkr.ecr.$AWS_REGION.amazonaws.com/$NAME
    local stack set before='' now
    for stack in base night api; do
        now=$(state "$NAME-$stack")
        # The empty shell that a dry run has left which was broken off.
        [ "$now" != REVIEW_IN_PROGRESS ] || now=NONE
        if [ "$before" = NONE ]; then
            printf '%s-%s: new, with %s resources; what exactly, can be told once the stack before is there\n' "$NAME" $stack "$(grep -c '^    Type: AWS::' "$here/$stack.yaml")"
            continue
        fi
        before=$now
        if [ "$stack" = night ]; then
            BASE=$(outputs "$NAME-base")
            repository=$(output Repository "$BASE")
            ask_database
        fi
        case $stack in
            base) deploy base ;;
            night) deploy night "Image=$repository:$tag" "${database[@]}" ;;
            api) deploy_api ;;
        esac
        set=$(grep -o 'arn:[^ ]*:changeSet/[^ ]*' "$work/said" | head -n 1) || true
        if [ -z "$set" ]; then
            printf '%s-%s: no changes\n' "$NAME" $stack
            continue
        fi
        printf '%s-%s:\n' "$NAME" $stack
        ask cloudformation describe-change-set --change-set-name "$set" --output text \
            --query 'Changes[].ResourceChange.[Action, ResourceType, LogicalResourceId, Replacement]' | sed 's/^/  /; s/\tNone$//; s/\tFalse$//; s/\tTrue$/\tis replaced/'
        echo
        ask cloudformation delete-change-set --change-set-name "$set"
        # A change set of a new stack leaves the empty shell of one.
        [ "$now" != NONE ] || ask cloudformation delete-stack --stack-name "$NAME-$stack"
    done
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
main
