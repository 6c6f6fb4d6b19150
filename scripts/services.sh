#!/usr/bin/env bash
# What the tests need beyond a Rust toolchain and make, above all RabbitMQ, Redis, a Redis Cluster and two servers that
# speak MongoDB's protocol: installs only what is missing, and starts it on ports and folders of our own.
#
#   services.sh [start [SERVICE..]]   leaves alone what answers already
#   services.sh stop [SERVICE..]      only what was started from this checkout
#   services.sh status                what runs where
#   services.sh with COMMAND..        starts, runs the command, stops what it started itself; exits like the command
#   services.sh rabbitmqctl ARGS..    with our node's name, cookie and ports
#
# A service whose URL the environment gives is neither installed nor started. One that cannot be had is said so, and is
# an error only where PAYRIG_REQUIRE_SERVICES=1. More in docs/services.md.
set -euo pipefail
cd "$(dirname "$0")/.."

all_services="rabbitmq redis redis-cluster mongodb ferretdb"
here=scripts/services
state=$PWD/target/services
run=$state/run
mkdir -p "$run"

say() { echo "services: $*" >&2; }

for part in process install rabbitmq redis mongodb; do
    # shellcheck source=/dev/null
    . "$here/$part.sh"
done

# variable_of SERVICE: the variable that gives its URL, if any does; else nothing.
variable_of() {
    local name
    for name in $(case $1 in
        rabbitmq) echo PAYRIG_TEST_RABBITMQ_URL ;;
        redis) echo PAYRIG_TEST_REDIS_URL ;;
        redis-cluster) echo PAYRIG_TEST_REDIS_CLUSTER_URL ;;
        mongodb) echo MONGODB_URL PAYRIG_TEST_MONGODB_URL ;;
        ferretdb) echo PAYRIG_TEST_FERRETDB_URL ;;
        esac); do
        if [ -n "${!name:-}" ]; then
            echo "$name"
            return
        fi
    done
}

# url_of SERVICE: as it was given, else where ours is. Tests have the same defaults.
url_of() {
    local given
    given=$(variable_of "$1")
    if [ -n "$given" ]; then
        echo "${!given}"
        return
    fi
    case $1 in
    rabbitmq) echo "amqp://payrig:payrig@127.0.0.1:$rabbitmq_port/%2f" ;;
    redis) echo "redis://127.0.0.1:$redis_port" ;;
    redis-cluster) echo "redis-cluster://127.0.0.1:${redis_cluster_ports%% *}" ;;
    mongodb) echo "mongodb://127.0.0.1:$mongodb_port" ;;
    ferretdb) echo "mongodb://127.0.0.1:$ferretdb_port" ;;
    esac
}

without_login() { sed -E 's#//[^@/]*@#//#' <<<"$1"; }

# call SERVICE WHAT: each service has SERVICE_packages (which of the system's packages it lacks), SERVICE_launch
# (1 where it cannot be had, which it says itself) and SERVICE_processes (first the one that answers).
call() { "${1//-/_}_$2"; }

ping() { python3 "$here/ping.py" "$(url_of "$1")" "${@:2}"; }

# What the tests needed before there were services: a C compiler, and the reader that checks our logs from outside.
prepare_tools() {
    if ! command -v cc >/dev/null || ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
        if ! apt_install gcc libc6-dev python3 python3-venv; then
            say "cc and python3 with venv are needed: install them and try again"
            exit 1
        fi
    fi
    sh results/tests/install_foreign_readers.sh
}

# start_services MARK SERVICE..: with a mark, those that it starts are the tests' and go when the last test is done.
start_services() {
    local mark=$1 service said wanted="" missing=""
    shift
    for service in "$@"; do
        if [ -n "$(variable_of "$service")" ]; then
            say "$service: $(variable_of "$service") is given: $(without_login "$(url_of "$service")")"
        elif said=$(ping "$service"); then
            say "$service: runs already: $said"
            [ -n "$mark" ] || rm -f "$run/$service.for-tests"
        else
            wanted="$wanted $service"
        fi
    done
    [ -n "$wanted" ] || return 0
    if [ "$(uname)" != Linux ]; then
        say "not had:$wanted: this script starts services on Linux only; compose.yaml and URLs do elsewhere (docs/services.md)"
        return 1
    fi
    install_packages $wanted
    for service in $wanted; do
        if [ -n "$mark" ] && ! any_alive "$service"; then touch "$run/$service.for-tests"; fi
        [ -n "$mark" ] || rm -f "$run/$service.for-tests"
        if ! call "$service" launch; then missing="$missing $service"; fi
    done
    for service in $wanted; do
        case " $missing " in *" $service "*) continue ;; esac
        await "$service" || missing="$missing $service"
    done
    [ -z "$missing" ] || say "not had:$missing: tests of it are skipped, or fail where PAYRIG_REQUIRE_SERVICES=1"
    [ -z "$missing" ]
}

install_packages() {
    local service package packages="" mapper=""
    for service in "$@"; do packages="$packages $(call "$service" packages)"; done
    packages=$(tr ' ' '\n' <<<"$packages" | sort -u | tr '\n' ' ')
    [ -n "${packages// /}" ] || return 0
    # Erlang's comes with RabbitMQ.
    if ! command -v epmd >/dev/null; then mapper="epmd.socket epmd.service"; fi
    # Each launch looks for its program again and says what it lacks.
    # shellcheck disable=SC2086
    apt_install $packages || say "could not install: $packages"
    # Only what was not there before: somebody else's daemon comes up as it did.
    for package in $packages; do
        case $package in
        rabbitmq-server) disable_daemons rabbitmq-server $mapper ;;
        redis-server) disable_daemons redis-server ;;
        esac
    done
}

# await SERVICE: until it answers; 1 where its process ends or 90 s pass (a cold disk, a busy machine), with its last words.
await() {
    local main said
    main=$(call "$1" processes)
    main=${main%% *}
    if said=$(ping "$1" --wait 90 --pid "$(pid_of "$main" || echo 0)"); then
        say "$1: started: $said at $(without_login "$(url_of "$1")")"
        return 0
    fi
    say "$1: $said; the end of $run/$main.log:"
    tail -n 5 "$run/$main.log" | sed 's/^/    /' >&2
    halt_service "$1"
    return 1
}

any_alive() {
    local process
    for process in $(call "$1" processes); do
        if pid_of "$process" >/dev/null; then return 0; fi
    done
    return 1
}

halt_service() {
    local process
    for process in $(call "$1" processes); do halt "$process"; done
    rm -f "$run/$1.for-tests"
}

# All are asked to end before any is waited for.
stop_services() {
    local service process
    for service in "$@"; do
        for process in $(call "$service" processes); do
            [ "$process" = epmd ] || ask_to_end "$process"
        done
    done
    for service in "$@"; do halt_service "$service"; done
}

status() {
    local service said whose
    for service in $all_services; do
        said=$(ping "$service") || true
        whose=$(variable_of "$service")
        if [ -n "$whose" ]; then
            whose="given by $whose"
        elif any_alive "$service"; then
            whose="from here, process$(for p in $(call "$service" processes); do printf ' %s' "$(pid_of "$p" || echo '-')"; done)"
        else
            whose="not from here"
        fi
        printf '%-14s %-34s %-34s %s\n' "$service" "$said" "$(without_login "$(url_of "$service")")" "$whose"
    done
}

# Several tests at once share the services; the one that leaves last stops those that were started for tests.
with_services() {
    local code=0
    exec 9>"$run/in-use.lock"
    locked -s 9
    child=""
    trap leave EXIT
    trap 'signal=INT; forward' INT
    trap 'signal=TERM; forward' TERM HUP
    signal=""
    under_lock start_services for-tests $all_services || required || exit 1
    [ -z "$signal" ] || exit 130
    # A process group of its own, so that a signal reaches what the command started, too.
    set -m
    "$@" </dev/null 8>&- 9>&- &
    child=$!
    set +m
    while :; do
        wait "$child" && code=0 || code=$?
        kill -0 "$child" 2>/dev/null || break
    done
    if [ -n "$signal" ]; then
        kill -KILL -- "-$child" 2>/dev/null || true
        [ "$signal" = INT ] && code=130 || code=143
    fi
    exit "$code"
}

forward() { [ -z "$child" ] || kill "-$signal" -- "-$child" 2>/dev/null || true; }

leave() {
    local code=$? service started=""
    trap '' INT TERM HUP
    if locked -n -x 9; then
        for service in $all_services; do
            if [ -e "$run/$service.for-tests" ]; then started="$started $service"; fi
        done
        # shellcheck disable=SC2086
        [ -z "$started" ] || under_lock stop_services $started
    fi
    exit "$code"
}

# Whether a missing service is no error.
required() { [ "${PAYRIG_REQUIRE_SERVICES:-}" != 1 ]; }

# Two that start or stop at once would get into each other's way.
under_lock() {
    exec 8>"$run/start.lock"
    locked -x 8
    local code=0
    "$@" || code=$?
    exec 8>&-
    return "$code"
}

locked() { ! command -v flock >/dev/null || flock "$@"; }

verb=${1:-start}
shift || true
case $verb in
start | stop)
    for service in "$@"; do
        case " $all_services " in *" $service "*) ;; *)
            say "no service $service: there are $all_services"
            exit 2
            ;;
        esac
    done
    # shellcheck disable=SC2086
    [ $# -gt 0 ] || set -- $all_services
    if [ "$verb" = start ]; then
        prepare_tools
        under_lock start_services "" "$@" || required
    else
        under_lock stop_services "$@"
    fi
    ;;
status) status ;;
with)
    prepare_tools
    with_services "$@"
    ;;
rabbitmqctl) rabbitmq_ctl "$@" ;;
*)
    sed -n '5,9s/^# *//p' "$0" >&2
    exit 2
    ;;
esac
