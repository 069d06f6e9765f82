# What the scripts here share: who asks and where, in which state a stack is, a command as a task in the network. Sourced, not run.
#
# shellcheck shell=bash disable=SC2016 # backticks are meant for people, and for JMESPath
#
# Needs nothing but bash and the AWS CLI. What the program does is the program's business: here it is only called.

# Seconds between two looks at what is under way.
: "${TOPSHELF_LOOK_SECONDS:=5}"
# How long anything may be under way: a database takes a quarter of an hour.
LOOKS_MAX=$((3600 / (TOPSHELF_LOOK_SECONDS > 0 ? TOPSHELF_LOOK_SECONDS : 1)))

say() { printf '%s\n' "$*" >&2; }

# die MESSAGE [REMEDY]
die() {
    say "error: $1"
    [ $# -lt 2 ] || say "help: $2"
    exit 1
}

# The remedy for what the AWS CLI said, if it is one of the usual ones.
remedy() {
    case $1 in
        *'Unable to locate credentials'* | *NoCredentials*) echo 'log in: `aws configure sso` and `aws sso login`, or `aws configure`; in AWS CloudShell you are' ;;
        *ExpiredToken* | *'has expired'* | *InvalidClientTokenId* | *'Token is expired'*) echo 'the credentials are not valid (any more): `aws sso login`, or `aws configure`' ;;
        *AccessDenied* | *UnauthorizedOperation* | *'not authorized'*) echo 'who you are may not do this: take a role that may make stacks, roles, networks and databases (AdministratorAccess has it all)' ;;
        *LimitExceeded* | *'limit on the number of'* | *QuotaExceeded* | *'quota'*) echo "a quota of the account is reached: \`aws service-quotas list-service-quotas --service-code fargate\` (vpc, rds) shows it, \`aws service-quotas request-service-quota-increase\` asks for more" ;;
        *'Could not connect to the endpoint'*) echo 'is the region spelt well, and is there a way to the internet?' ;;
        *) echo 'the message is that of the AWS CLI' ;;
    esac
}

# ask ARGUMENTS…: the AWS CLI; ends everything with a remedy when it fails.
ask() {
    local answer errors
    errors=$(mktemp)
    if answer=$(aws "$@" 2> "$errors"); then
        rm -f "$errors"
        printf '%s' "$answer"
    else
        answer=$(cat "$errors")
        rm -f "$errors"
        die "aws $1 $2: $answer" "$(remedy "$answer")"
    fi
}

# Whom we are and where: sets ACCOUNT and AWS_REGION. $1 is the region or nothing, $2 the account that it must be, or nothing.
find_account() {
    command -v aws > /dev/null || die 'the AWS CLI is not here' 'https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html'
    AWS_REGION=${1:-${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region || true)}}}
    [ -n "$AWS_REGION" ] || die 'no region is named' 'say --region us-east-1, or `aws configure set region us-east-1`'
    export AWS_REGION AWS_DEFAULT_REGION=$AWS_REGION AWS_PAGER=
    ACCOUNT=$(ask sts get-caller-identity --query Account --output text) || exit 1
    [ -z "$2" ] || [ "$2" = "$ACCOUNT" ] || die "these are credentials of account $ACCOUNT, and not of $2" 'choose others by AWS_PROFILE, or leave out --account'
    say "account $ACCOUNT, region $AWS_REGION, name $NAME"
}

# The state of a stack, NONE if there is none.
state() {
    local answer
    if answer=$(aws cloudformation describe-stacks --stack-name "$1" --query 'Stacks[0].StackStatus' --output text 2>&1); then
        printf '%s' "$answer"
    else
        case $answer in
            *'does not exist'*) printf NONE ;;
            *) die "aws cloudformation describe-stacks: $answer" "$(remedy "$answer")" ;;
        esac
    fi
}

# Waits until nothing is under way on a stack, whoever began it; ends everything if it is in a state that cannot be updated.
settle() {
    local now looks=0
    now=$(state "$1") || exit 1
    while case $now in REVIEW_IN_PROGRESS) false ;; *_IN_PROGRESS) true ;; *) false ;; esac do
        [ $looks -gt 0 ] || say "stack $1: $now, waiting for its end"
        looks=$((looks + 1))
        [ $looks -lt "$LOOKS_MAX" ] || die "stack $1 is still $now" "look at its events: aws cloudformation describe-stack-events --stack-name $1"
        sleep "$TOPSHELF_LOOK_SECONDS"
        now=$(state "$1") || exit 1
    done
    case $now in
        ROLLBACK_COMPLETE)
            failures "$1"
            die "stack $1 is in $now: it was never whole, and cannot be updated" "mend what failed, then: aws cloudformation delete-stack --stack-name $1, and this script again"
            ;;
        ROLLBACK_FAILED | DELETE_FAILED)
            failures "$1"
            case $1 in
                # A first one that could not be taken back: it is the database's protection that keeps it.
                *-base) die "stack $1 is in $now: part of it is still there, and cannot be updated" "mend what failed, then: deploy/aws/destroy.sh --name $NAME --delete-data, which lets go of the database's protection too, and this script again" ;;
                *) die "stack $1 is in $now: part of it is still there, and cannot be updated" "mend what failed, then: aws cloudformation delete-stack --stack-name $1, and this script again" ;;
            esac
            ;;
        UPDATE_ROLLBACK_FAILED)
            failures "$1"
            die "stack $1 is in $now" "mend what failed, then: aws cloudformation continue-update-rollback --stack-name $1, and this script again"
            ;;
    esac
}

# What failed last on a stack.
failures() {
    aws cloudformation describe-stack-events --stack-name "$1" --max-items 100 --output text \
        --query "StackEvents[?contains(ResourceStatus, 'FAILED') && ResourceStatusReason != 'Resource creation cancelled'].[LogicalResourceId, ResourceStatusReason]" >&2 || true
}

# outputs STACK: the outputs of a stack, a line of name and value each.
outputs() {
    ask cloudformation describe-stacks --stack-name "$1" --query 'Stacks[0].Outputs[].[OutputKey, OutputValue]' --output text
}

# output NAME OUTPUTS: one of them; empty if it is not there.
output() {
    local key value
    while IFS=$'\t' read -r key value; do
        [ "$key" != "$1" ] || printf '%s' "$value"
    done <<< "$2"
}

# task [--as night] COMMAND…: runs the program with these arguments as a task where the nights run, and prints what it says. Returns its
# exit code. It logs in to the database as its owner, or as the nights do. Broken off, the task goes on, as a run that is stopped halfway
# helps nobody; where it can be found is said, for a key may come.
task() {
    local as=hand command='' argument network answer arn now code why stream looks=0
    [ "$1" != --as ] || { as=$2; shift 2; }
    for argument in "$@"; do
        argument=${argument//\\/\\\\}
        command="$command${command:+, }\"${argument//\"/\\\"}\""
    done
    [ -n "${BASE:-}" ] || BASE=$(outputs "$NAME-base") || exit 1
    network="subnets=[$(output PublicSubnetA "$BASE"),$(output PublicSubnetB "$BASE")],securityGroups=[$(output NightSecurityGroup "$BASE")]"
    answer=$(ask ecs run-task --cluster "$NAME" --task-definition "$NAME-$as" --launch-type FARGATE --group "$NAME-hand" \
        --network-configuration "awsvpcConfiguration={$network,assignPublicIp=ENABLED}" \
        --overrides "{\"containerOverrides\": [{\"name\": \"topshelf\", \"command\": [$command]}]}" \
        --query '[tasks[0].taskArn, failures[0].reason]' --output text) || exit 1
    read -r arn why <<< "$answer"
    [ "$arn" != None ] || die "no task could be started: $why" "$(remedy "$why")"
    stream=$as/topshelf/${arn##*/}
    # shellcheck disable=SC2064 # of this task
    trap "broken_off '$arn' '$stream' $as" HUP INT TERM
    while true; do
        answer=$(ask ecs describe-tasks --cluster "$NAME" --tasks "$arn" --query 'tasks[0].[lastStatus, containers[0].exitCode]' --output text) || exit 1
        read -r now code <<< "$answer"
        [ "$now" != STOPPED ] || break
        looks=$((looks + 1))
        [ $looks -lt "$LOOKS_MAX" ] || die "task $arn is still $now" "look at it: aws ecs describe-tasks --cluster $NAME --tasks $arn"
        sleep "$TOPSHELF_LOOK_SECONDS"
    done
    if [ "$code" = None ]; then
        die "the task did not begin: $(ask ecs describe-tasks --cluster "$NAME" --tasks "$arn" --query 'tasks[0].[stoppedReason, containers[0].reason]' --output text)" \
            'CannotPullContainerError: the image, or the way to it; ResourceInitializationError: rights of the execution role, or the log group'
    fi
    # The log comes a moment after the end. One that has not come whole is left where it is.
    if lines_of "$stream" 12 "$as"; then
        # Keys come by hand alone. What the nights say stays.
        [ "$as" != hand ] || aws logs delete-log-stream --log-group-name "/$NAME/hand" --log-stream-name "$stream" ||
            say "the log could not be deleted, and is there for a day, with a key if one was made: group /$NAME/hand, stream $stream"
    else
        say "its log has not come, or not whole: group /$NAME/$as, stream $stream"
    fi
    trap - HUP INT TERM
    return "$code"
}

broken_off() {
    say "broken off; the task goes on. To stop it: aws ecs stop-task --cluster $NAME --task $1"
    if [ "$3" = hand ]; then
        say "What it says, a key too, is kept for a day: aws logs get-log-events --log-group-name /$NAME/hand --log-stream-name $2 --start-from-head"
        say "Delete it then: aws logs delete-log-stream --log-group-name /$NAME/hand --log-stream-name $2"
    else
        say "What it says: aws logs get-log-events --log-group-name /$NAME/$3 --log-stream-name $2 --start-from-head"
    fi
    exit 130
}

# lines_of STREAM LOOKS [GROUP]: the lines of a stream, of commands by hand unless another group is named, page by page, until a look
# finds no more. Fails after so many looks in vain.
lines_of() {
    local token='' page next lines is_begun='' vain=0
    while true; do
        lines='' next=''
        if page=$(aws logs get-log-events --log-group-name "/$NAME/${3:-hand}" --log-stream-name "$1" --start-from-head ${token:+--next-token "$token"} \
            --query '[nextForwardToken, join(`"\n"`, events[].message)]' --output text 2> /dev/null); then
            next=${page%%$'\t'*} lines=${page#*$'\t'}
        fi
        if [ -n "$lines" ]; then
            printf '%s\n' "$lines"
            is_begun=yes
        # The end gives the same token again; an empty page before it gives another.
        elif [ -n "$is_begun" ] && [ -n "$next" ] && [ "$next" = "$token" ]; then
            return 0
        else
            vain=$((vain + 1))
            [ $vain -lt "$2" ] || return 1
        fi
        token=${next:-$token}
        sleep "$TOPSHELF_LOOK_SECONDS"
    done
}
