# Sourced by scripts/services.sh: one RabbitMQ node with an Erlang port mapper of its own, all of it on loopback.

rabbitmq_port=25682
epmd_port=25683
rabbitmq_dist_port=25684
rabbitmq_dir=$state/rabbitmq

# Debian's command on PATH changes to another user; the scripts behind it do as well for any.
rabbitmq_bin() {
    if [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]; then
        echo /usr/lib/rabbitmq/bin
    else
        dirname "$(command -v rabbitmq-server)" 2>/dev/null
    fi
}

rabbitmq_packages() { if ! rabbitmq_bin >/dev/null; then echo rabbitmq-server; fi; }

rabbitmq_processes() { echo rabbitmq epmd; }

# One scheduler that is bound to no core and does not spin: this machine has others to serve. For a subshell.
rabbitmq_env() {
    local loopback="-kernel inet_dist_use_interface {127,0,0,1}"
    export HOME=$rabbitmq_dir/home LC_ALL=C.UTF-8
    export ERL_EPMD_PORT=$epmd_port ERL_EPMD_ADDRESS=127.0.0.1 RABBITMQ_DIST_PORT=$rabbitmq_dist_port
    export RABBITMQ_NODENAME=payrig@localhost RABBITMQ_USE_LONGNAME=false
    export RABBITMQ_CONF_ENV_FILE=$rabbitmq_dir/none RABBITMQ_ADVANCED_CONFIG_FILE=$rabbitmq_dir/none.config
    export RABBITMQ_CONFIG_FILE=$rabbitmq_dir/rabbitmq.conf
    export RABBITMQ_ENABLED_PLUGINS_FILE=$rabbitmq_dir/enabled_plugins
    export RABBITMQ_MNESIA_BASE=$rabbitmq_dir/data RABBITMQ_LOG_BASE=$rabbitmq_dir/log
    export RABBITMQ_SCHEDULER_BIND_TYPE=u RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+S 1:1 +SDio 2 $loopback"
    export RABBITMQ_CTL_ERL_ARGS="+S 1:1 $loopback"
    # The virtual machine in the place of the start script, which would need stopping by another command.
    export RABBITMQ_ALLOW_INPUT=1
}

rabbitmq_launch() {
    local bin
    if ! bin=$(rabbitmq_bin); then
        say "rabbitmq: no rabbitmq-server here: install it, or give PAYRIG_TEST_RABBITMQ_URL"
        return 1
    fi
    mkdir -p "$rabbitmq_dir/home"
    cat >"$rabbitmq_dir/rabbitmq.conf" <<END
listeners.tcp.1 = 127.0.0.1:$rabbitmq_port
default_user = payrig
default_pass = payrig
vm_memory_high_watermark.absolute = 768MB
disk_free_limit.absolute = 50MB
raft.wal_max_size_bytes = 67108864
log.file.level = info
log.connection.level = warning
log.console = true
log.console.level = error
END
    echo '[].' >"$rabbitmq_dir/enabled_plugins"
    spawn epmd epmd -port "$epmd_port" -address 127.0.0.1
    (
        rabbitmq_env
        spawn rabbitmq "$bin/rabbitmq-server" -noinput
    )
}

rabbitmq_ctl() {
    local bin
    bin=$(rabbitmq_bin)
    rabbitmq_env
    exec "$bin/rabbitmqctl" "$@"
}
