# What befalls a fleet. Each case prints its figure and fails by its first failing command; they run in this order, in one
# machine, and leave the fleet serving. Sourced by run.
# shellcheck shell=bash disable=SC2317 # they are called by their names in CASES

CASES=(install verify start forced settings pi reload certificates restart crash stalled drain sandbox affinity tune refused upgrade remove)

FLEET=(madrpc-orchestrator madrpc-node@a madrpc-node@b)
PORT=8080

# Words that must be found.
expect() {
    local text=$1 words
    shift
    for words in "$@"; do
        if [[ $text != *"$words"* ]]; then
            say "no \`$words\` in: $text"
            return 1
        fi
    done
}

# A text that must be this one.
is() {
    [ "$1" = "$2" ] || { say "\`$1\`, and \`$2\` is right"; return 1; }
}
# A command that must not succeed.
fails() {
    ! "$@" || { say "it succeeds, and must not: $*"; return 1; }
}
is_active() { is "$(inside systemctl is-active "${FLEET[@]}")" $'active\nactive\nactive'; }

call() { operator call "127.0.0.1:$PORT" "$@"; }
serves() { call version >/dev/null; }
runs_version() { [ "$(call version)" = "$1" ]; }
# A unit was started anew so often, and is there.
is_back() { [ "$(show "$1" NRestarts)" = "$2" ] && [ "$(show "$1" ActiveState)" = active ]; }
# Both nodes are behind the orchestrator.
whole() { operator top "127.0.0.1:$PORT" --once --json | grep -o '"connected_shards":[0-9]*' | grep -vc ':0' | grep -qx 2; }
settle() { within 20 whole; }

write_script() {
    cat "examples/monte-carlo-pi/scripts/pi.js" - >"$ROOT/etc/madrpc/functions.js" <<SCRIPT
madrpc.register("version", () => $1);
madrpc.register("search", () => "x".repeat(4e5).includes("x".repeat(2e5) + "y"));
madrpc.register("work", (ms) => { const end = Date.now() + ms; while (Date.now() < end) {} return "done"; });
SCRIPT
}

issue() {
    local role
    for role in node orchestrator operator; do
        "$MADRPC" tls issue "$role" machine --ca "$1" --out "$ROOT/etc/madrpc/tls"
    done
}

case_install() {
    local lint
    lint=$(lintian --allow-root "$DEB" 2>&1 || true)
    [ -z "$lint" ] || { say "$lint"; return 1; }
    cp "$DEB" "$ROOT/root/madrpc.deb"
    inside dpkg -i /root/madrpc.deb >&2
    is "$(inside systemctl is-enabled madrpc-node madrpc-orchestrator || true)" $'disabled\ndisabled'
    [ -z "$(inside systemctl list-units --no-legend 'madrpc-*.service')" ]
    is "$(inside stat -c '%a %U:%G' /etc/madrpc)" '750 root:madrpc'
    # Started without being told anything, it says what is missing and stays down.
    fails inside systemctl start madrpc-node
    expect "$(show madrpc-node StatusText)" 'script is not set'
    is "$(show madrpc-node NRestarts)" 0
    inside systemctl reset-failed madrpc-node
    echo "$(du -k "$DEB" | cut -f 1) KiB, lintian clean, nothing started"
}

case_verify() {
    local unit score told
    for unit in madrpc-node madrpc-orchestrator madrpc-node@a; do
        told=$(inside systemd-analyze verify --man=no "$unit.service" 2>&1)
        [ -z "$told" ] || { say "$told"; return 1; }
        score=$(inside systemd-analyze security --no-pager "$unit.service" | awk '/Overall exposure/ { print $(NF - 2) }')
        awk -v score="$score" 'BEGIN { exit !(score > 0 && score <= 1.5) }' || { say "exposure $score"; return 1; }
    done
    echo "units are sound; exposure $score of at most 1.5"
}

case_start() {
    local begun
    rm -rf target/deploy/ca
    "$MADRPC" tls init target/deploy/ca
    issue target/deploy/ca
    write_script 1
    printf '%s\n' 'script = "/etc/madrpc/functions.js"' 'bind = "127.0.0.1:9001"' 'cpus = "0"' >"$ROOT/etc/madrpc/node-a.toml"
    printf '%s\n' 'script = "/etc/madrpc/functions.js"' 'bind = "127.0.0.1:9002"' 'cpus = "1"' >"$ROOT/etc/madrpc/node-b.toml"
    printf '%s\n' "bind = \"127.0.0.1:$PORT\"" 'node = ["127.0.0.1:9001", "127.0.0.1:9002"]' 'cpus = "1"' \
        >"$ROOT/etc/madrpc/orchestrator.toml"
    begun=$(now_ms)
    inside systemctl enable --now "${FLEET[@]}" 2>&1 | cat >&2
    is_active
    echo "an orchestrator and two nodes are ready after $(($(now_ms) - begun)) ms"
    settle
}

# The unit's filter of system calls leaves what stops calls by force.
case_forced() {
    local told begun taken
    told=$(inside journalctl --no-pager -u madrpc-node@a -u madrpc-node@b)
    expect "$told" ready
    [[ $told != *'calls lose the core only'* ]] || { say "not by force: $told"; return 1; }
    begun=$(now_ms)
    told=$(call search null --timeout 200ms 2>&1 || true)
    taken=$(($(now_ms) - begun))
    expect "$told" DeadlineExceeded
    # All of it takes 40 s.
    [ $taken -lt 3000 ] || { say "after $taken ms"; return 1; }
    runs_version 1
    echo "a built-in of 40 s ends by its deadline of 200 ms, and its caller is back after $taken ms"
}

case_settings() {
    local told
    told=$(inside madrpc config node --config /etc/madrpc/node-a.toml)
    expect "$told" 'cpus = 0 ' '/etc/madrpc/node-a.toml:3' '# default'
    expect "$(inside runuser -u nobody -- madrpc config node --config /etc/madrpc/node-a.toml 2>&1 || true)" 'ermission denied'
    echo "each with its source; others than the group cannot read them"
}

case_pi() {
    local seed inside_circle=0 total=0 result begun
    begun=$(now_ms)
    for seed in $(seq 20); do
        result=$(call monte_carlo_sample "{\"samples\": 500000, \"seed\": $seed}")
        inside_circle=$((inside_circle + $(grep -o '"inside":[0-9]*' <<<"$result" | cut -d : -f 2)))
        total=$((total + $(grep -o '"total":[0-9]*' <<<"$result" | cut -d : -f 2)))
    done
    [ $total -eq 10000000 ]
    awk -v i=$inside_circle -v t=$total -v ms=$(($(now_ms) - begun)) 'BEGIN {
        pi = 4 * i / t
        printf "pi is %.5f by %d samples in %d ms\n", pi, t, ms
        exit !(pi > 3.138 && pi < 3.145)
    }'
    # Both nodes had their part.
    expect "$(operator top "127.0.0.1:$PORT" --once)" 127.0.0.1:9001 127.0.0.1:9002
}

case_reload() {
    local begun taken
    write_script 2
    begun=$(now_ms)
    inside systemctl reload madrpc-node@a madrpc-node@b
    taken=$(($(now_ms) - begun))
    within 5 runs_version 2
    is "$(show madrpc-node@a NRestarts)" 0
    # A script that cannot be used fails the reload, and nothing changes.
    echo 'nonsense(' >"$ROOT/etc/madrpc/functions.js"
    fails inside systemctl reload madrpc-node@a
    runs_version 2
    runs_version 2
    expect "$(inside journalctl --no-pager -u madrpc-node@a -n 20)" SyntaxError
    write_script 2
    echo "both nodes run the new script after $taken ms; one that does not load fails the reload and changes nothing"
}

case_certificates() {
    local begun taken
    rm -rf target/deploy/new-ca
    "$MADRPC" tls init target/deploy/new-ca
    issue target/deploy/new-ca
    # The operator has the new one already, the servers do not.
    fails serves
    begun=$(now_ms)
    inside systemctl reload "${FLEET[@]}"
    taken=$(($(now_ms) - begun))
    call version >&2
    # Sessions between the servers that were open go on; the next ones are made with the new certificates.
    settle
    inside systemctl restart madrpc-node@a
    settle
    [ "$(show madrpc-orchestrator NRestarts)" = 0 ]
    echo "certificates of another authority are in use after $taken ms"
}

case_restart() {
    local begun
    begun=$(now_ms)
    inside systemctl restart madrpc-node@a
    echo "a node is ready again after $(($(now_ms) - begun)) ms"
    settle
}

# Runs calls through the orchestrator, so many a second, while a command does something; prints the bench's document.
under_load() {
    local rate=$1 seconds=$2
    shift 2
    operator bench "127.0.0.1:$PORT" version --rate "$rate" --duration "${seconds}s" --connections 1 --json \
        >"$ROOT.bench" 2>"$ROOT.bench.err" &
    local bench=$!
    sleep 2
    "$@" >&2
    wait $bench || true
    cat "$ROOT.bench"
}
results() { grep -o '"results":[0-9]*' <<<"$1" | head -n 1 | cut -d : -f 2; }
errors() { grep -o '"errors":{[^}]*}' <<<"$1" | head -n 1 | cut -d : -f 2-; }
# A field of the bench's errors: only calls that may have been under way at what failed.
only_unavailable() { [[ $(errors "$1") =~ ^\{(\"Unavailable\":[0-9]+)?\}$ ]]; }

kill_node() {
    local begun
    begun=$(now_ms)
    inside systemctl kill -s KILL madrpc-node@a
    within 15 is_back madrpc-node@a 1
    echo "active again after $(($(now_ms) - begun)) ms" >"$ROOT.back"
}

case_crash() {
    local document
    settle
    document=$(under_load 1000 8 kill_node)
    only_unavailable "$document"
    [ "$(results "$document")" -gt 7500 ]
    settle
    echo "$(cat "$ROOT.back"); of 8000 calls at 1000/s $(results "$document") returned, errors $(errors "$document")"
}

# Stops one thread of a process and nothing else, for so many seconds: what a core that hangs looks like.
stall_thread() {
    perl -e '
        # A text would be handed over by its address.
        my ($call, $thread, $seconds) = map { $_ + 0 } @ARGV;
        my ($seize, $interrupt) = (0x4206, 0x4207);
        die "seize: $!" if syscall($call, $seize, $thread, 0, 0) < 0;
        die "interrupt: $!" if syscall($call, $interrupt, $thread, 0, 0) < 0;
        # A thread that is watched is gone only once its watcher has looked (__WALL, WNOHANG).
        for (1 .. $seconds * 10) {
            waitpid($thread, 0x40000001);
            select(undef, undef, undef, 0.1);
        }
    ' "$(case $(uname -m) in x86_64) echo 101 ;; *) echo 117 ;; esac)" "$1" "$2" &
}

case_stalled() {
    local pid thread begun restarts
    settle
    restarts=$(show madrpc-node@b NRestarts)
    pid=$(outer_pid madrpc-node@b)
    thread=$(grep -lx shard-0 "/proc/$pid/task"/*/comm | head -n 1 | cut -d / -f 5)
    begun=$(now_ms)
    stall_thread "$thread" 90
    within 60 is_back madrpc-node@b $((restarts + 1))
    expect "$(inside journalctl --no-pager -u madrpc-node@b -n 40)" 'shard 0: no answer for' 'watchdog'
    echo "a shard that hangs is replaced after $(($(now_ms) - begun)) ms (WatchdogSec=20s)"
    settle
}

case_drain() {
    local begun taken answer
    settle
    operator call 127.0.0.1:9001 work 3000 >"$ROOT.work" 2>&1 &
    answer=$!
    sleep 0.7
    begun=$(now_ms)
    inside systemctl stop madrpc-node@a
    taken=$(($(now_ms) - begun))
    wait $answer
    expect "$(cat "$ROOT.work")" '"done"'
    is "$(show madrpc-node@a Result)" success
    [ $taken -gt 1500 ]
    [ $taken -lt 10000 ]
    inside systemctl start madrpc-node@a
    settle
    echo "stopped $taken ms after it was told, once the call under way had returned"
}

# What is tried, what must come of it in a node, and what comes of it in a process that nothing was taken from: an attempt
# that fails there too would prove nothing.
ATTEMPTS='
own-file               ok                ok
read-script            ok                ok
udp-bind               ok                ok
read-home              EACCES|ENOENT     ok
read-root              EACCES|ENOENT     ok
read-key               EACCES            ok
write-settings         EROFS|EACCES      ok
write-program          EROFS|EACCES      ok
write-state-of-others  EROFS|EACCES      ok
read-processes         ENOENT|EACCES     ok
signal-processes       EPERM             ok
make-device            EPERM             ok
mount                  EPERM             ok
namespace              EPERM             ok
write-and-run-memory   EPERM|EACCES      ok
tcp-connect            EACCES            EINPROGRESS|ECONNREFUSED
tcp-bind               EACCES            ok
tcp6-connect           EACCES            EINPROGRESS|ECONNREFUSED
tcp6-bind              EACCES            ok
netlink                EAFNOSUPPORT      ok
packet                 EAFNOSUPPORT      ok
'

# Compares what every thread of a process found with a column of ATTEMPTS.
attempts_are() {
    local column=$1 -
    set +x
    awk -F '\t' -v table="$ATTEMPTS" -v column="$column" '
        BEGIN {
            rows = split(table, lines, "\n")
            for (row = 1; row <= rows; row++)
                if (split(lines[row], words, " +") > 1) wanted[words[1]] = words[column]
        }
        !($2 in wanted) { printf "%s: not in the table: %s\n", $1, $2; wrong++; next }
        $3 !~ "^(" wanted[$2] ")$" { printf "thread %s: %s: %s, and %s is right\n", $1, $2, $3, wanted[$2]; wrong++ }
        { tried[$2]++ }
        END {
            for (attempt in wanted) if (!tried[attempt]) { print "not tried: " attempt; wrong++ }
            exit !NR || wrong > 0
        }
    ' >&2
}

case_sandbox() {
    local found homes="$ROOT/home"
    mkdir -p "$homes/ann"
    echo secret | tee "$homes/ann/secret" >"$ROOT/root/secret"
    chmod 644 "$homes/ann/secret" "$ROOT/root/secret"
    inside systemd-run --quiet --unit=free sleep 60
    found=$("$BUILT/examples/attempt" "$(outer_pid free)" /root)
    attempts_are 3 <<<"$found"
    inside systemctl stop free
    inside umount /mnt
    inside rm /usr/bin/madrpc-other /var/lib/madrpc-other
    found=$("$BUILT/examples/attempt" "$(outer_pid madrpc-node@a)" /var/lib/madrpc/node-a)
    attempts_are 2 <<<"$found"
    is "$(show madrpc-node@a ActiveState)" active
    serves
    awk -F '\t' '
        { threads += $2 == "own-file" }
        $3 != "ok" && !refused[$2]++ { attempts++ }
        END { printf "%d things that others may are refused to each of a node'\''s %d threads\n", attempts, threads }
    ' <<<"$found"
}

case_affinity() {
    mkdir -p "$ROOT/etc/systemd/system/madrpc-node@b.service.d"
    printf '%s\n' '[Service]' 'CPUAffinity=0' >"$ROOT/etc/systemd/system/madrpc-node@b.service.d/mask.conf"
    sed -i '/^cpus/d' "$ROOT/etc/madrpc/node-b.toml"
    inside systemctl daemon-reload
    inside systemctl restart madrpc-node@b
    expect "$(inside journalctl --no-pager -u madrpc-node@b -n 5)" '1 shard on core 0'
    # A core outside of the mask is no setting that works.
    echo 'cpus = "1"' >>"$ROOT/etc/madrpc/node-b.toml"
    fails inside systemctl restart madrpc-node@b
    expect "$(show madrpc-node@b StatusText)" 'core 1 is not among those this process may use (0)'
    rm -r "$ROOT/etc/systemd/system/madrpc-node@b.service.d"
    inside systemctl daemon-reload
    inside systemctl restart madrpc-node@b
    settle
    echo "the unit's CPUAffinity decides the shards, and no setting goes beyond it"
}

case_tune() {
    local before told status=0
    before=$(inside sysctl -a 2>/dev/null | grep '^net.core')
    told=$(inside /usr/lib/madrpc/tune.sh --check) || status=$?
    [ $status -le 1 ]
    expect "$told" net.core.rmem_max net.core.wmem_max governor irqbalance 'network cards'
    [ "$(grep -c '^should' <<<"$told" || true)" -gt 0 ] || [ $status -eq 0 ]
    [ "$(inside sysctl -a 2>/dev/null | grep '^net.core')" = "$before" ]
    echo "--check says what should be, and changes nothing"
}

# Starts a node that cannot be: it fails at once, with its reason as its status, and is not started again.
refuse() {
    local code=$1 begun
    shift
    begun=$(now_ms)
    fails inside systemctl start madrpc-node
    [ $(($(now_ms) - begun)) -lt 5000 ]
    is "$(show madrpc-node ActiveState)" failed
    is "$(show madrpc-node ExecMainStatus)" "$code"
    expect "$(show madrpc-node StatusText)" "$@"
    sleep 2.2
    is "$(show madrpc-node NRestarts)" 0
    is "$(show madrpc-node ActiveState)" failed
    inside systemctl reset-failed madrpc-node
}

case_refused() {
    local settings=$ROOT/etc/madrpc/node.toml key=$ROOT/etc/madrpc/tls/node/key.pem
    local good='script = "/etc/madrpc/functions.js"'
    printf '%s\n' "$good" 'slise = "1ms"' >"$settings"
    refuse 2 "/etc/madrpc/node.toml:2: there is no key \`slise\`: did you mean \`slice\`?"
    printf '%s\n' "$good" 'bind = "127.0.0.1:9001"' >"$settings"
    refuse 78 '127.0.0.1:9001: in use by another process'
    printf '%s\n' "$good" 'bind = "127.0.0.1:9003"' >"$settings"
    chmod 644 "$key"
    refuse 78 '/etc/madrpc/tls/node/key.pem' 'open to others (mode 0644)' chmod
    chmod 600 "$key"
    mv "$key" "$key.away"
    refuse 78 '/etc/madrpc/tls/node/key.pem is missing or empty' 'madrpc tls issue'
    echo nonsense >"$key"
    chmod 600 "$key"
    refuse 78 '/etc/madrpc/tls/node/key.pem holds no private key'
    mv "$key.away" "$key"
    echo 'throw new Error("not today")' >"$ROOT/etc/madrpc/bad.js"
    printf '%s\n' 'script = "/etc/madrpc/bad.js"' >"$settings"
    refuse 78 bad.js:1 'not today'
    printf '%s\n' "$good" 'bind = "127.0.0.1:9003"' >"$settings"
    mkdir -p "$ROOT/etc/systemd/system/madrpc-node.service.d"
    printf '%s\n' '[Service]' 'LimitMEMLOCK=64K' >"$ROOT/etc/systemd/system/madrpc-node.service.d/memory.conf"
    inside systemctl daemon-reload
    refuse 78 'locked memory' LimitMEMLOCK=
    rm -r "$ROOT/etc/systemd/system/madrpc-node.service.d"
    inside systemctl daemon-reload
    inside systemctl start madrpc-node
    inside systemctl stop madrpc-node
    echo "seven units that cannot be: each failed at once with its reason, and none was started again"
}

case_upgrade() {
    local document before newer
    settle
    make deb ARGS='--deb-version 0.2.0-1' >&2
    newer=target/debian/madrpc_0.2.0-1_$(dpkg --print-architecture).deb
    cp "$newer" "$ROOT/root/newer.deb"
    rm "$newer"
    before=$(show madrpc-node@a MainPID)
    document=$(under_load 500 10 inside dpkg -i --force-confold /root/newer.deb)
    expect "$(inside dpkg -s madrpc)" 'Version: 0.2.0-1'
    [ "$(show madrpc-node@a MainPID)" != "$before" ]
    is_active
    expect "$(cat "$ROOT/etc/madrpc/node.toml")" functions.js
    only_unavailable "$document"
    settle
    serves
    echo "version 0.2.0 runs, settings are kept; of 5000 calls at 500/s $(results "$document") returned, errors $(errors "$document")"
}

case_remove() {
    inside dpkg -r madrpc >&2
    [ -z "$(inside systemctl list-units --no-legend --state=active 'madrpc-*.service')" ]
    [ -e "$ROOT/etc/madrpc/node.toml" ]
    inside dpkg -P madrpc >&2
    [ ! -e "$ROOT/etc/madrpc/node.toml" ]
    [ ! -e "$ROOT/var/lib/private/madrpc" ]
    # What the administrator has put there is not the package's to remove.
    [ -e "$ROOT/etc/madrpc/tls/node/key.pem" ]
    [ -e "$ROOT/etc/madrpc/functions.js" ]
    echo "removed: settings stay; purged: settings and state are gone, certificates and scripts are not"
}
