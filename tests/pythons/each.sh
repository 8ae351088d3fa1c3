#!/usr/bin/env bash
# Run a make target on every Python from 3.11 to the newest, each in an environment of its own.
#   usage: each.sh TARGET [VERSION...]       TARGET: test, smoke, ...; VERSION: 3.12, pypy; default: all of them
# A Python is looked for on the path, then under pyenv, then in the folder that debian.sh keeps. Where one cannot be had, a line
# says so; with CI=true that is a failure. PyPy runs the core's tests only: it has no wheels of what the others need.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

DEBIAN=${STREAMCORE_DEBIAN:-$HOME/.cache/streamcore/debian}
TARGET=$1
shift
VERSIONS=${*:-3.11 3.12 3.13 3.14 3.15 pypy}

# In the folder there is no other server than the wheel's.
inside() { tests/pythons/inside.sh "$DEBIAN" env -u STREAMCORE_REDIS7 -u STREAMCORE_REDIS8 "$@"; }

# run VERSION: exit code 3 where the Python cannot be had.
run() {
    local make=(make --keep-going "$TARGET" "VENV=.venv-$1") python
    if python=$(tests/pythons/find.sh "$1"); then
        "${make[@]}" "PYTHON=$python"
    elif ! tests/pythons/debian.sh "$DEBIAN" >/dev/null 2>&1; then
        return 3
    elif [[ $1 == pypy ]]; then
        inside make core PYTHON=pypy3 VENV=.venv-pypy
    else
        inside "${make[@]}" "PYTHON=python$1"
    fi
}

status=0
for version in $VERSIONS; do
    began=$SECONDS
    run "$version"
    case $? in
        0) verdict=passed ;;
        3)
            verdict="NOT AVAILABLE: not on the path, not under pyenv, and no Debian unstable could be made"
            if [[ ${CI:-} == true ]]; then status=1; fi
            ;;
        *) verdict=FAILED status=1 ;;
    esac
    echo "== Python $version, $TARGET: $verdict ($((SECONDS - began)) s)"
done
exit "$status"
