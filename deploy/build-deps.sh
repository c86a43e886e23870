#!/usr/bin/env bash
# Installs what the build needs beside Rust, on Debian and its relatives. Elsewhere it only names what is missing.
# Asks for nothing and starts no package manager where all is there.
#
#   deploy/build-deps.sh [COMMAND[=PACKAGE]...]   COMMAND: a further command wanted, whose package may have another name
set -euo pipefail

say() { printf 'build-deps: %s\n' "$*" >&2; }

# PATH as make sets it: rustup's folder is not in it before the next login.
PATH="$PATH:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin"
if ! command -v cargo >/dev/null; then
    say "Rust is missing: install it from https://rustup.rs and try again"
    exit 1
fi

# bindgen loads libclang at run time; it looks in these folders.
has_libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] || compgen -G '/usr/lib*/llvm*/lib*/libclang*.so*' >/dev/null ||
        compgen -G '/usr/lib*/libclang*.so*' >/dev/null || compgen -G '/usr/lib/*-linux-gnu*/libclang*.so*' >/dev/null
}

missing=()
want() { command -v "$1" >/dev/null || missing+=("$2"); }
want cc gcc          # links Rust; compiles QuickJS and liburing
want c++ g++         # compiles BoringSSL
want make make       # runs the Makefile and BoringSSL's build
want cmake cmake     # configures BoringSSL
want git git         # patches BoringSSL's sources; glommio's build calls it too
want clang clang     # shows bindgen where the system's headers are
has_libclang || missing+=(libclang-dev)
for command in "$@"; do want "${command%%=*}" "${command#*=}"; done

[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
    say "missing: ${missing[*]} (Debian's names; install them with this system's package manager and try again)"
    exit 1
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        say "missing: ${missing[*]}; as root, run: apt-get install ${missing[*]}"
        exit 1
    fi
    as_root=(sudo)
    # Without a terminal nobody can type a password: fail at once instead of waiting.
    [ -t 0 ] || as_root+=(-n)
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 "$@" </dev/null >>"$log" 2>&1
}
install() { apt install -y --no-install-recommends "${missing[@]}"; }
failed() {
    tail -n 20 "$log" >&2
    say "$1"
    exit 1
}

if [ ${#as_root[@]} -gt 0 ]; then
    say "asking sudo for the right to install packages"
    "${as_root[@]}" true || failed "sudo refused; as root, run: apt-get install ${missing[*]}"
fi
say "installing ${missing[*]}"
if ! install; then
    say "refreshing the package lists, then once more"
    apt update || failed "apt-get update failed"
    install || failed "could not install ${missing[*]}"
fi
say "done"
