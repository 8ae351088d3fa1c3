#!/usr/bin/env bash
# Prove that `make demo` and the installation for `make test` work on a fresh machine, on any later day.
#   usage: fresh.sh PYTHON PIP       PIP: a version of pip, or "newest"
# From a copy of what git tracks, with an empty home, no cache, nothing installed, this pip, and an index that offers newer
# releases of everything pinned. PYTHON must be one that the pip supports.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

PYTHON=$1 PIP=$2
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
say() { printf '   pip %s: %s\n' "$PIP" "$*"; }

mkdir "$T/home" "$T/tree"
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$T/tree"
"$PYTHON" tests/install/newer_releases.py "$T/newer" requirements-*.txt
cd "$T/tree"
export HOME=$T/home PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
unset VIRTUAL_ENV PYTHONPATH MAKEFLAGS MAKELEVEL

"$PYTHON" -m venv .venv
if [[ $PIP == newest ]]; then wanted=pip; else wanted="pip==$PIP"; fi
.venv/bin/python -m pip install -q --upgrade "$wanted"
export PIP_FIND_LINKS="$T/newer ${PIP_FIND_LINKS:-}"
.venv/bin/python -m pip --version | cut -d ' ' -f 1-2 | sed 's/^/   /'
.venv/bin/python -m pip install --dry-run --no-deps click >"$T/seen" 2>&1
grep -q 'click-9999' "$T/seen" || { say "the newer releases are not seen"; exit 1; }

make demo PYTHON="$PYTHON" VENV=.venv >"$T/demo" 2>&1 || { tail -n 30 "$T/demo"; say "make demo FAILED"; exit 1; }
say "make demo: $(.venv/bin/python -m pip list --format freeze | grep -vcE '^(pip|setuptools|wheel|streamcore-redis)=') packages; $(tail -n 1 "$T/demo")"

# The tests' installation, in an environment of its own; the demo's would only be added to.
rm -rf .venv
"$PYTHON" -m venv .venv
PIP_FIND_LINKS="" .venv/bin/python -m pip install -q --upgrade "$wanted"
make setup PYTHON="$PYTHON" VENV=.venv >"$T/setup" 2>&1 || { tail -n 30 "$T/setup"; say "make setup FAILED"; exit 1; }
.venv/bin/python -m pip check
.venv/bin/python -m pytest -q tests/test_locks.py tests/core/test_entries.py >"$T/tests" 2>&1 || { tail -n 30 "$T/tests"; exit 1; }
say "make setup: $(.venv/bin/python -m pip list --format freeze | wc -l) packages; $(tail -n 1 "$T/tests")"
