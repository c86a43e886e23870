# A Debian of its own, booted by systemd-nspawn: made, entered, and ended. Sourced by run.
# shellcheck shell=bash

SUITE=${SUITE:-trixie}
BASE=$PWD/target/deploy/$SUITE
ROOT=$PWD/target/deploy/machine
INIT=

# What the package depends on, and what people would have.
PACKAGES=systemd,systemd-sysv,dbus,libstdc++6,procps,mount,init-system-helpers

say() { printf '%s\n' "$*" >&2; }

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

halt() {
    [ -n "${NSPAWN:-}" ] || return 0
    kill -KILL "$NSPAWN" 2>/dev/null || true
    wait "$NSPAWN" 2>/dev/null || true
}

# Runs a command in the machine.
inside() { nsenter -t "$INIT" -m -u -i -p -n -C -- "$@"; }

# Runs a command of an operator of the fleet there.
operator() { inside env MADRPC_TLS_DIR=/etc/madrpc/tls/operator madrpc "$@"; }

# A property of a unit.
show() { inside systemctl show -P "$2" "$1"; }

# The process of a unit as this machine numbers it: one that runs PROGRAM and has the unit's number there.
outer_pid() {
    local wanted pid
    wanted=$(show "$1" MainPID)
    for pid in $(pgrep -x madrpc); do
        if [ "$(awk '/^NSpid:/ { print $NF }' "/proc/$pid/status")" = "$wanted" ] &&
            [ "$(readlink "/proc/$pid/ns/mnt" | head -c 4)" = "mnt:" ] &&
            grep -q "$1" "/proc/$pid/cgroup"; then
            echo "$pid"
            return 0
        fi
    done
    return 1
}

now_ms() { date +%s%3N; }

# Tries until a command succeeds, for at most so many seconds.
within() {
    local end=$(($(now_ms) + $1 * 1000))
    shift
    until "$@"; do
        [ "$(now_ms)" -lt $end ] || return 1
        sleep 0.05
    done
}
