# Sourced by the other scripts: goes to the project's folder and sees that .venv holds the project with the wanted extra.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset PYTHONDONTWRITEBYTECODE # or every process of a run compiles all that it imports

ensure_venv() { # ensure_venv EXTRA [OPTION OF PIP ...]
    local python="${PYTHON:-python3}" stamp wanted
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        echo "Tessera needs Python 3.11 or newer; set PYTHON to one (this is $("$python" --version 2>&1))." >&2
        exit 1
    fi
    [ -x .venv/bin/python ] || "$python" -m venv .venv
    wanted="$(cksum pyproject.toml) $1"
    stamp=".venv/tessera-installed"
    if ! grep -qxF "$wanted" "$stamp" 2>/dev/null; then
        echo "Installing into .venv (a few minutes the first time) ..."
        # The CPU build of torch is enough here, and a local one is taken where pip is told of it.
        .venv/bin/python -m pip install --quiet --disable-pip-version-check "${@:2}" -e ".${1:+[$1]}"
        echo "$wanted" >>"$stamp"
    fi
    export PATH="$PWD/.venv/bin:$PATH"
}
