# Sourced by scripts/services.sh: one Redis, and a Redis Cluster of three masters without replicas. Both keep an
# append-only file that is made durable once a second, as the flow's operators would have it.

redis_port=26390
redis_cluster_ports="26391 26392 26393"

redis_packages() { if ! command -v redis-server >/dev/null; then echo redis-server; fi; }
redis_cluster_packages() {
    redis_packages
    if ! command -v redis-cli >/dev/null; then echo redis-tools; fi
}

redis_processes() { echo redis; }
redis_cluster_processes() {
    # shellcheck disable=SC2086
    printf 'redis-%s ' $redis_cluster_ports
}

# redis_spawn NAME PORT [OPTION..]
redis_spawn() {
    local name=$1 port=$2 dir=$state/$1
    shift 2
    if ! command -v redis-server >/dev/null; then
        say "$name: no redis-server here: install it, or give PAYRIG_TEST_REDIS_URL and PAYRIG_TEST_REDIS_CLUSTER_URL"
        return 1
    fi
    mkdir -p "$dir"
    spawn "$name" redis-server --bind 127.0.0.1 --port "$port" --dir "$dir" --daemonize no \
        --appendonly yes --appendfsync everysec --save '' "$@"
}

redis_launch() { redis_spawn redis "$redis_port"; }

redis_cluster_launch() {
    local port addresses=""
    for port in $redis_cluster_ports; do
        # The bus is by default 10,000 above, where the kernel takes the local ports of outgoing connections from.
        redis_spawn "redis-$port" "$port" --cluster-enabled yes --cluster-node-timeout 2000 \
            --cluster-config-file nodes.conf --cluster-port "$((port + 10))" || return 1
        addresses="$addresses 127.0.0.1:$port"
    done
    for port in $redis_cluster_ports; do
        python3 "$here/ping.py" "redis://127.0.0.1:$port" --wait 30 --pid "$(pid_of "redis-$port")" >/dev/null || return 0
    done
    # Nodes that know each other already find each other again.
    if [ "$(redis-cli -p "${redis_cluster_ports%% *}" cluster nodes | wc -l)" -gt 1 ]; then return 0; fi
    # shellcheck disable=SC2086
    redis-cli --cluster create $addresses --cluster-replicas 0 --cluster-yes >"$run/redis-cluster.log" 2>&1 || {
        say "redis-cluster: could not be joined, see $run/redis-cluster.log"
        return 1
    }
}
