#!/bin/sh
# Print the machine's CPython of a version: on the path, or under pyenv. Fails where there is none.
#   usage: find.sh VERSION       for instance 3.12
set -eu
for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python; do
    found=$("$candidate" -c "
import sys
if '%d.%d' % sys.version_info[:2] == '$1' and sys.implementation.name == 'cpython': print(sys.executable)" 2>/dev/null) || continue
    [ "$found" ] || continue
    echo "$found"
    exit 0
done
exit 1
