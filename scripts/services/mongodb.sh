# Sourced by scripts/services.sh: what speaks MongoDB's protocol. A mongod on PATH is taken first, then nx-27017; and as a
# second opinion that shares no code with either, FerretDB 1.24, where Go is there to build it.

mongodb_port=27027
ferretdb_port=27028
# Named by its version: another one gets a folder of its own.
nx_venv=$state/$(grep -o '^nx-27017.*' "$here/nx-27017.txt" | tr -s '=' '-')
ferretdb_program=$state/ferretdb/ferretdb

# python3 with venv and go are no packages of its own: the one is there already, the other is nothing we would bring.
mongodb_packages() { :; }
ferretdb_packages() { :; }

mongodb_processes() { echo mongodb; }
ferretdb_processes() { echo ferretdb; }

mongodb_launch() {
    if command -v mongod >/dev/null; then
        mkdir -p "$state/mongod"
        spawn mongodb mongod --dbpath "$state/mongod" --bind_ip 127.0.0.1 --port "$mongodb_port" --nounixsocket \
            --wiredTigerCacheSizeGB 0.25 --setParameter diagnosticDataCollectionEnabled=false
        return
    fi
    if [ ! -e "$nx_venv/complete" ]; then
        say "mongodb: no mongod on PATH: installing nx-27017 into $nx_venv"
        rm -rf "$nx_venv"
        if ! { python3 -m venv "$nx_venv" && "$nx_venv/bin/python" -m pip install -r "$here/nx-27017.txt"; } \
            >>"$state/install.log" 2>&1; then
            say "mongodb: not installed, see $state/install.log; put mongod on PATH, or give MONGODB_URL"
            return 1
        fi
        touch "$nx_venv/complete"
    fi
    mkdir -p "$state/nx-27017"
    # Its own notes go to our folders too; one that is left over would keep it from starting.
    pid_of mongodb >/dev/null || rm -f "$state/nx-27017/own.pid"
    spawn mongodb "$nx_venv/bin/nx-27017" --host 127.0.0.1 -p "$mongodb_port" -j WAL \
        --data-dir "$state/nx-27017/data" --log-file "$state/nx-27017/own.log" --pid-file "$state/nx-27017/own.pid"
}

ferretdb_launch() {
    local source=$here/ferretdb
    if ! go_is_enough; then
        say "ferretdb: needs go 1.22 or later on PATH to build it, or PAYRIG_TEST_FERRETDB_URL"
        return 1
    fi
    if [ ! -x "$ferretdb_program" ] || [ -n "$(find "$source" -newer "$ferretdb_program" -type f)" ]; then
        say "ferretdb: building it (once, half a minute or more)"
        mkdir -p "$state/ferretdb"
        if ! GOTOOLCHAIN=local GOWORK=off go -C "$source" build -mod=readonly -o "$ferretdb_program" . \
            >>"$state/install.log" 2>&1; then
            say "ferretdb: could not be built, see $state/install.log"
            return 1
        fi
        # Go leaves a program alone that would come out the same.
        touch "$ferretdb_program"
    fi
    mkdir -p "$state/ferretdb/data"
    spawn ferretdb "$ferretdb_program" "$state/ferretdb/data" "127.0.0.1:$ferretdb_port"
}

go_is_enough() {
    local version
    version=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) || return 1
    [[ $version =~ ^go([0-9]+)\.([0-9]+) ]] && ((BASH_REMATCH[1] > 1 || BASH_REMATCH[2] >= 22))
}
