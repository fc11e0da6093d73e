# Sourced by scripts that call cargo: finds it where a shell that is not a login shell does not look.
# shellcheck shell=bash
command -v cargo >/dev/null || PATH="${HOME:-}/.cargo/bin:/usr/local/cargo/bin:$(getent passwd "$(id -u)" | cut -d: -f6)/.cargo/bin:$PATH"
command -v cargo >/dev/null || {
    echo "cargo is missing; install Rust from https://rustup.rs" >&2
    exit 1
}
# Under another HOME rustup does not find its toolchains, which are beside its programs.
if [[ -z "${RUSTUP_HOME:-}" ]] && ! cargo --version >/dev/null 2>&1; then
    programs=$(dirname "$(command -v cargo)")
    export RUSTUP_HOME="${programs%/.cargo/bin}/.rustup"
fi
