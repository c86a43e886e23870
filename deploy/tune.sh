#!/bin/bash
# What a machine can do for a thread per core, beside what the units ask for: interrupts of the network card spread over
# the cores, long enough receive queues, cores that do not slow down, and large socket buffers.
#
#   tune.sh --check    says what is and what should be; changes nothing; exit code 1 where something should be changed
#   tune.sh --apply    changes it, until the next boot; needs root
#   NIC=eth0           only this network card; default: all that are physical
set -euo pipefail

mode=${1:-}
case $mode in
--check | --apply) ;;
*)
    echo "usage: tune.sh --check|--apply" >&2
    exit 2
    ;;
esac
if [ "$mode" = --apply ] && [ "$(id -u)" -ne 0 ]; then
    echo "tune.sh: --apply needs root" >&2
    exit 1
fi

wrong=0
# As it is, as it should be, and how to make it so.
tell() {
    local what=$1 is=$2 should=$3
    shift 3
    if [ "$is" = "$should" ]; then
        echo "ok      $what: $is"
    elif [ "$mode" = --apply ] && "$@" 2>/dev/null; then
        echo "set     $what: $is -> $should"
    else
        echo "should  $what: $is, better $should"
        wrong=1
    fi
}
# The first so many cores as the kernel writes them: groups of 32, in hexadecimal.
mask() {
    local left=$1 groups=
    while [ "$left" -gt 32 ]; do
        groups=,ffffffff$groups
        left=$((left - 32))
    done
    printf '%x%s' $(((1 << left) - 1)) "$groups"
}
none() { echo "-       $1"; }
# shellcheck disable=SC2317 # `tell` calls it
write() { echo "$2" >"$1"; }

# Buffers: what madrpc asks for at the start.
for key in net.core.rmem_max net.core.wmem_max; do
    file=/proc/sys/${key//.//}
    is=$(cat "$file")
    if [ "$is" -ge 4194304 ]; then
        echo "ok      $key: $is"
    else
        tell "$key" "$is" 4194304 write "$file" 4194304
    fi
done

# Datagrams that wait between the card and the sockets, for all cores' bursts. A container does not have it.
file=/proc/sys/net/core/netdev_max_backlog
if [ ! -e $file ]; then
    none "net.core.netdev_max_backlog: is the host's"
elif [ "$(cat $file)" -ge 5000 ]; then
    echo "ok      net.core.netdev_max_backlog: $(cat $file)"
else
    tell net.core.netdev_max_backlog "$(cat $file)" 5000 write $file 5000
fi

# A core that sleeps deeply or runs slowly answers late.
found=0
for file in /sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor; do
    [ -e "$file" ] || continue
    found=1
    core=${file#/sys/devices/system/cpu/}
    tell "governor of ${core%%/*}" "$(cat "$file")" performance write "$file" performance
done
[ $found -eq 1 ] || none "governor: the system does not let it be chosen (a virtual machine?)"

# irqbalance moves interrupts; with one queue for each core they should stay where they are.
if systemctl is-active --quiet irqbalance 2>/dev/null; then
    tell irqbalance running stopped systemctl stop irqbalance
else
    echo "ok      irqbalance: not running"
fi

cores=$(nproc --all)
cards=0
for path in /sys/class/net/*; do
    card=${path##*/}
    [ -e "$path/device" ] || continue
    [ -z "${NIC:-}" ] || [ "$NIC" = "$card" ] || continue
    cards=1
    queues=$(find "$path/queues" -maxdepth 1 -name 'rx-*' | wc -l)
    if [ "$queues" -ge "$cores" ]; then
        echo "ok      $card: $queues receive queues for $cores cores"
    elif command -v ethtool >/dev/null; then
        tell "$card: receive queues" "$queues" "$cores" ethtool -L "$card" combined "$cores"
    else
        echo "should  $card: $queues receive queues for $cores cores; install ethtool to change that"
        wrong=1
    fi
    # One queue's interrupt for each core, in turn.
    at=0
    for irq in "$path"/device/msi_irqs/*; do
        [ -e "$irq" ] || continue
        number=${irq##*/}
        file=/proc/irq/$number/smp_affinity_list
        [ -r "$file" ] || continue
        tell "$card: interrupt $number on core" "$(cat "$file")" $((at % cores)) write "$file" $((at % cores))
        at=$((at + 1))
    done
    # With fewer queues than cores, the kernel hands datagrams on to all cores (RPS).
    if [ "$queues" -lt "$cores" ]; then
        mask=$(mask "$cores")
        for file in "$path"/queues/rx-*/rps_cpus; do
            is=$(sed 's/^[0,]*//' "$file")
            queue=${file%/rps_cpus}
            tell "$card: ${queue##*/} is handed on to cores" "${is:-none}" "$mask" write "$file" "$mask"
        done
    fi
done
[ $cards -eq 1 ] || none "network cards: none that is physical"

exit $wrong
