# The run itself: builds, boots, runs the cases that are wanted, one after the other. Started by run, which sees to it that
# nothing of this outlives it.
# shellcheck shell=bash
set -euo pipefail
# A failing command ends what is in $( ) too.
shopt -s inherit_errexit

# shellcheck source=tests/deploy/machine.sh
. tests/deploy/machine.sh
# shellcheck source=tests/deploy/cases.sh
. tests/deploy/cases.sh

wanted=("$@")
[ $# -gt 0 ] || wanted=("${CASES[@]}")
for name in "${wanted[@]}"; do
    [[ " ${CASES[*]} " == *" $name "* ]] || { echo "test-deploy: there is no case $name; there are: ${CASES[*]}"; exit 2; }
done
for name in install start; do
    [[ " ${wanted[*]} " == *" $name "* ]] || wanted=("$name" "${wanted[@]}")
done

PROFILE=${PROFILE:-release}
BUILT=target/${PROFILE/#dev/debug}
export PROFILE
{
    make deb
    cargo build ${CI:+--locked} --profile "$PROFILE" -p madrpc-bin --example attempt
} >target/deploy/build.log 2>&1 || {
    cat target/deploy/build.log
    exit 1
}
DEB=$(find target/debian -name 'madrpc_*.deb' -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2)
MADRPC=$PWD/$BUILT/madrpc
# Twice, as mirrors have bad moments.
make_base || make_base || not_here "no Debian $SUITE can be had from the mirror: $BASE.log says why"
boot

passed=0
failed=0
run_case() {
    local begun status
    begun=$(now_ms)
    : >"$ROOT.case"
    # A shell of its own, which the first failing command ends; as a condition it would go on. What it runs, with all
    # words as they were, goes where its errors go.
    set +e
    (
        exec {trace}>>"$ROOT.case"
        BASH_XTRACEFD=$trace
        set -ex
        "case_$1"
    ) >"$ROOT.figure" 2>>"$ROOT.case"
    status=$?
    set -e
    if [ $status -eq 0 ]; then
        passed=$((passed + 1))
        printf 'ok      %-12s %s\n' "$1" "$(cat "$ROOT.figure")"
    else
        failed=$((failed + 1))
        printf 'FAILED  %-12s after %d ms, its exit code is %d; what it ran and heard last, and the journal:\n' \
            "$1" $(($(now_ms) - begun)) $status
        tail -n 25 "$ROOT.case" "$ROOT.figure" | cut -c 1-400 | sed 's/^/        /'
        inside journalctl --no-pager -o short-precise -n 12 2>&1 | cut -c 1-220 | sed 's/^/        /' || true
    fi
}
PS4='+ ${FUNCNAME[0]:-} ${LINENO}: '
for name in "${CASES[@]}"; do
    [[ " ${wanted[*]} " == *" $name "* ]] || continue
    run_case "$name"
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
