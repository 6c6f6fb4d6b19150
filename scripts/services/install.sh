# Sourced by scripts/services.sh: installs programs from the system's packages, and only those that are missing.
# The packages' own daemons are neither started now nor enabled for the next boot: we only want the programs.

policy=/usr/sbin/policy-rc.d

# Where nobody can be asked for a password, none is asked for.
sudo_flags=$([ -t 0 ] || echo -n)

as_root() {
    # shellcheck disable=SC2086
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo $sudo_flags "$@"; fi
}

# apt_install PACKAGE...: 1 where there is no apt, no root or no such package. What apt says goes to install.log.
# A subshell, so that the way it ends, Ctrl-C too, leaves no policy of ours behind.
apt_install() (
    command -v apt-get >/dev/null || exit 1
    as_root true 2>/dev/null || exit 1
    say "installing $* (log: $state/install.log)"
    trap allow_daemons EXIT
    trap 'exit 130' INT TERM HUP
    forbid_daemons || exit 1
    # A fresh image has no package lists yet, an old one has lists of versions that are gone.
    apt_get install "$@" || { apt_get update && apt_get install "$@"; } || exit 1
)

apt_get() {
    local verb=$1
    shift
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$verb" \
        ${1:+--no-install-recommends} "$@" >>"$state/install.log" 2>&1 </dev/null
}

# While this file answers 101, no package's script starts a daemon. One that is there already is put back afterwards.
forbid_daemons() {
    # One that is saved already is from an installation that was killed: what stands in its place is ours.
    if [ ! -e "$policy.payrig" ]; then
        if [ -e "$policy" ]; then as_root mv "$policy" "$policy.payrig"; else as_root touch "$policy.payrig"; fi
    fi
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
}

allow_daemons() {
    [ -e "$policy.payrig" ] || return 0
    if [ -s "$policy.payrig" ]; then
        as_root mv -f "$policy.payrig" "$policy"
    else
        as_root rm -f "$policy" "$policy.payrig"
    fi
}

# disable_daemons UNIT...: what we installed for its programs must not come up at the next boot either.
disable_daemons() {
    local unit
    for unit in "$@"; do
        if command -v update-rc.d >/dev/null && [ -e "/etc/init.d/$unit" ]; then
            as_root update-rc.d "$unit" disable >>"$state/install.log" 2>&1 || true
        elif command -v systemctl >/dev/null; then
            as_root systemctl disable "$unit" >>"$state/install.log" 2>&1 || true
        fi
    done
}
