# Sourced by scripts/services.sh: processes of our own that outlive it. $run/NAME.pid holds the process id and the tick
# of the kernel's clock at which it started, so that a number that another process has by now is never taken for ours.

started_at() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    # After the name, which may hold anything, come the state (a zombie has ended) and, twentieth, the start.
    # shellcheck disable=SC2086
    set -- ${stat##*) }
    [ "$1" != Z ] && echo "${20}"
}

# pid_of NAME: 1 where it does not run (any more).
pid_of() {
    local pid tick
    { read -r pid tick <"$run/$1.pid"; } 2>/dev/null || return 1
    [ -n "$tick" ] && [ "$(started_at "$pid")" = "$tick" ] && echo "$pid"
}

# spawn NAME COMMAND..: in a session of its own, so that the terminal's signals pass it by; nothing where it runs already.
spawn() {
    local name=$1 pid
    shift
    if pid_of "$name" >/dev/null; then return 0; fi
    setsid "$@" >>"$run/$name.log" 2>&1 </dev/null 8>&- 9>&- &
    pid=$!
    disown "$pid"
    echo "$pid $(started_at "$pid")" >"$run/$name.pid"
}

ask_to_end() {
    local pid
    if pid=$(pid_of "$1"); then kill -TERM "$pid" 2>/dev/null || true; fi
}

# halt NAME: asks it to end, waits up to 20 s, and then insists. Its whole process group goes with it.
halt() {
    local pid tries=200
    if pid=$(pid_of "$1"); then
        kill -TERM "$pid" 2>/dev/null || true
        while pid_of "$1" >/dev/null && [ "$tries" -gt 0 ]; do
            tries=$((tries - 1))
            sleep 0.1
        done
        kill -KILL -- "-$pid" 2>/dev/null || true
    fi
    rm -f "$run/$1.pid"
}
