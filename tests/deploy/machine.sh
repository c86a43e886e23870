# A Debian of its own, booted by systemd-nspawn: made, entered, and ended. Sourced by run and series.sh.
# shellcheck shell=bash

SUITE=${SUITE:-trixie}
BASE=$PWD/target/deploy/$SUITE
ROOT=$PWD/target/deploy/machine
INIT=

# What the package depends on, and what people would have.
PACKAGES=systemd,systemd-sysv,dbus,libstdc++6,procps,mount,init-system-helpers

say() { printf '%s\n' "$*" >&2; }

# It cannot be tried here. CI has installed what it needs from the same mirrors: there that is a failure.
not_here() {
    if [ -n "${CI:-}" ]; then
        echo "test-deploy: failed: $1"
        exit 1
    fi
    echo "test-deploy: skipped: $1"
    exit 0
}

make_base() {
    [ ! -e "$BASE/.whole" ] || return 0
    say "making a Debian $SUITE (once)"
    rm -rf "$BASE"
    mkdir -p "$(dirname "$BASE")"
    debootstrap --variant=minbase --include="$PACKAGES" "$SUITE" "$BASE" >"$BASE.log" 2>&1 || {
        tail -n 5 "$BASE.log" >&2
        return 1
    }
    touch "$BASE/.whole"
}

# System calls that real machines allow and systemd-nspawn does not by itself: what units restrict themselves by.
ALLOWED="bpf landlock_create_ruleset landlock_add_rule landlock_restrict_self"

# A fresh copy, booted; it has a network of its own, in which there is nobody else.
boot() {
    rm -rf "$ROOT"
    cp -a "$BASE" "$ROOT"
    echo machine >"$ROOT/etc/hostname"
    SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn --boot --quiet --directory="$ROOT" --machine=madrpc-test \
        --register=no --keep-unit --private-network --system-call-filter="$ALLOWED" --resolv-conf=off --timezone=off \
        >"$ROOT.log" 2>&1 </dev/null &
    NSPAWN=$!
    local tries
    for tries in $(seq 300); do
        INIT=$(pgrep -P "$NSPAWN" -x systemd || true)
        if [ -n "$INIT" ] && inside systemctl is-system-running 2>/dev/null | grep -qx 'running\|degraded'; then
            return 0
        fi
        kill -0 "$NSPAWN" 2>/dev/null || break
        sleep 0.1
    done
    tail -n 5 "$ROOT.log" >&2
    say "the machine did not boot (try $tries)"
    return 1
}

# Numbers of processes that have ROOT as their root directory, or that boot it.
processes_of_machine() {
    local root
    pgrep -f -- "--directory=$ROOT( |\$)" || true
    root=$(stat -c '%d:%i' "$ROOT" 2>/dev/null) || return 0
    # Some end meanwhile.
    { stat -Lc '%d:%i %n' /proc/[0-9]*/root 2>/dev/null || true; } |
        awk -v root="$root" '$1 == root { split($2, path, "/"); print path[3] }'
}

end_processes_of_machine() {
    local tries left
    for tries in $(seq 50); do
        mapfile -t left < <(processes_of_machine)
        [ ${#left[@]} -gt 0 ] || return 0
        [ "$tries" -gt 1 ] || say "test-deploy: ending ${#left[@]} processes that a former run has left"
        kill -KILL "${left[@]}" 2>/dev/null || true
        sleep 0.1
    done
    say "test-deploy: these do not end: ${left[*]}"
    return 1
}

# systemd-nspawn makes control groups below the one that it is started in, and leaves them.
remove_groups_of_machine() {
    local group top
    while IFS=: read -r _ _ group; do
        for top in /sys/fs/cgroup{,/unified,/systemd}; do
            find "$top$group/payload" "$top$group/supervisor" -depth -type d -exec rmdir {} + 2>/dev/null || true
        done
    done </proc/self/cgroup
}

# Runs a command in the machine.
inside() { nsenter -t "$INIT" -m -u -i -p -n -C -- "$@"; }

# Runs a command of an operator of the fleet there.
operator() { inside env MADRPC_TLS_DIR=/etc/madrpc/tls/operator madrpc "$@"; }

# A property of a unit.
show() { inside systemctl show -P "$2" "$1"; }

# The process of a unit as it is numbered outside: one that has the unit's number there.
outer_pid() {
    local wanted file
    wanted=$(show "$1" MainPID)
    # Some end meanwhile.
    for file in $(awk -v wanted="$wanted" '/^NSpid:/ && NF > 2 && $NF == wanted { print FILENAME }' /proc/[0-9]*/status || true); do
        if grep -q "/$1.service" "${file%status}cgroup"; then
            file=${file%/status}
            echo "${file#/proc/}"
            return 0
        fi
    done
    say "no process of $1 is number $wanted there"
    return 1
}

now_ms() { date +%s%3N; }

# Tries until a command succeeds, for at most so many seconds; then says what the last try said.
within() {
    local seconds=$1 end=$(($(now_ms) + $1 * 1000)) - said
    # Each try would be a dozen lines.
    set +x
    shift
    until said=$("$@" 2>&1); do
        [ "$(now_ms)" -lt $end ] || { say "not within $seconds s: $*: $said"; return 1; }
        sleep 0.05
    done
}
